/* SPDX-License-Identifier: MIT */
#ifndef IO_PROCESS_H
#define IO_PROCESS_H

#include <pthread.h>

#include <async/process.h>

#include "core/loop.h"

struct process_talk;

struct async_process {
	struct list link; /* among those of the loop */
	struct async_loop *loop;
	struct list waiters;
	pid_t pid;
	int status;       /* once it has ended; or why that is not known */
	bool ended;
	bool has_thread;  /* no pidfd: `exit_fd` is a pipe */
	int thread_fd;    /* the thread's end of it */
	bool orphaned;    /* the loop closes: freed by `entry` when the reactor has let go */
	int exit_fd;      /* readable from the end on */
	int fds[3];       /* our ends of the pipes, or -1 */
	async_time pipe_grace;
	struct process_talk *talk; /* what async_process_communicate has begun and not ended, or NULL */
	pthread_t thread;
	struct op op;
	struct entry entry;
};

/* Whether the running task may use it: 0, -EINVAL (NULL), -EPERM. */
int process_check(const async_process *process);

/* What was read, and what was to be written, is gone with it; NULL is nothing to do. */
void process_talk_free(struct process_talk *talk);

#endif
