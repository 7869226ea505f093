/* SPDX-License-Identifier: MIT */
/*
 * The one stop flag, the descriptor beside it, and SIGINT.
 *
 * Whatever computes asks stop_requested now and then; whatever blocks polls stop_fd beside; the main task of a loop
 * is cancelled. So Ctrl-C works in every mode, also where a task holds the loop. A second Ctrl-C ends the process
 * as if nothing was caught.
 */
#ifndef CLI_STOP_H
#define CLI_STOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <async.h>

enum stop_reason {
	STOP_NONE,
	STOP_SIGNAL, /* Ctrl-C */
	STOP_OUTPUT, /* the results cannot be written */
};

extern atomic_int stop_flag;

static inline bool stop_requested(void)
{
	return atomic_load_explicit(&stop_flag, memory_order_relaxed) != STOP_NONE;
}

/* Creates the descriptor and catches SIGINT unless it is ignored. Returns: 0 or -errno. */
int stop_open(void);

/* Readable once the stop was requested; -1, which poll ignores, before stop_open. */
int stop_fd(void);

/* The first reason given counts. Thread: any, and signal handlers. */
void stop_request(enum stop_reason reason);

/* Has the running task cancelled on request. Returns: 0 or -errno. */
int stop_cancels_this_task(void);
/* Ends that; before the task does. */
void stop_forget_task(void);

/* Blocks the thread. Returns: 0, or -ECANCELED as soon as the stop is requested. */
int stop_sleep(async_time delay);

/* A blocking read(2). Returns: as read(2) or -errno; -ECANCELED as soon as the stop is requested. */
ssize_t stop_read(int fd, void *buffer, size_t size);

#endif
