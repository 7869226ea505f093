/* SPDX-License-Identifier: MIT */
/* Reads and writes that do not wait and raise no SIGPIPE, whatever the descriptor is and its flags are. */
#ifndef REACTOR_TRANSFER_H
#define REACTOR_TRANSFER_H

#include "reactor/fd_table.h"

/* The result of the operation, tried now; -EAGAIN if it would have to wait, if `e` is an FD_FILE for a disk. */
int64_t transfer_try(struct fd_entry *e, const struct op *op);

/* Carries the operation out, waiting as long as it takes. */
int64_t transfer_wait(const struct op *op);

#endif
