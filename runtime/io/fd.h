/* SPDX-License-Identifier: MIT */
#ifndef IO_FD_H
#define IO_FD_H

#include "core/loop.h"
#include "reactor/op.h"

/* For `complete` of each operation that a task waits for: somebody may wait for it to close the descriptor. */
void fd_completed(struct async_loop *loop, const struct op *op);

/* Carries an operation out for the calling task; its upper half is filled in but for `complete`. Its result, or
 * -EPERM outside a task, -ECANCELED, or the error with which the reactor could not be opened. */
int64_t fd_perform(struct op op);

#endif
