/* SPDX-License-Identifier: MIT */
/* Reads and writes that do not wait and raise no SIGPIPE, whatever the descriptor is and its flags are. */
#ifndef REACTOR_TRANSFER_H
#define REACTOR_TRANSFER_H

#include "reactor/fd_table.h"

#define RETRY_EINTR(call) \
	({ \
		int64_t retry_result_; \
		do \
			retry_result_ = (call); \
		while (retry_result_ == -EINTR); \
		retry_result_; \
	})

/* The result of the operation, tried now; -EAGAIN if it would have to wait, if `e` is an FD_FILE for a disk. */
int64_t transfer_try(struct fd_entry *e, struct op *op);

/* The same of the calls that only sockets have. */
int64_t transfer_socket(struct op *op);

/* Those of `events` that hold, or -EAGAIN. */
int64_t transfer_poll(int fd, short events);

/* Carries a read or a write out, waiting as long as it takes. */
int64_t transfer_wait(const struct op *op);

#endif
