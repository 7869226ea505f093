/* SPDX-License-Identifier: MIT */
#ifndef IO_FD_H
#define IO_FD_H

#include "core/task.h"
#include "reactor/call.h"
#include "reactor/op.h"

/* A task that waits for an operation. */
struct fd_wait {
	struct op op;
	struct task *task;
};

/* For `complete` of each operation that a task waits for: somebody may wait for it to close the descriptor. */
void fd_completed(struct async_loop *loop, const struct op *op);

/* Carries an operation out for the calling task; its upper half is filled in but for `complete`. Returns its result, or
 * -EPERM outside a task, -ECANCELED, or the error with which the reactor could not be opened. */
int64_t fd_perform(struct fd_wait *waiting);
/* The same of a call on files. `fd` is the descriptor whose closing ends it; negative: there is none. */
int64_t fd_perform_call(int fd, struct call *call);

/* The same for `waiting->task`, which runs, in memory that somebody else sees too: who may end the wait with -EBADF, as
 * if the descriptor were closed. Nothing to do if the operation has completed. */
int64_t fd_perform_in(struct fd_wait *waiting);
void fd_withdraw(struct fd_wait *waiting);

/* As async_poll. Of those who wait so for one open file, in whatever loop, one is woken (OP_EXCLUSIVE). */
int fd_poll_exclusively(int fd, short events);

#endif
