/* SPDX-License-Identifier: MIT */
/* Reads and writes that do not wait and raise no SIGPIPE, whatever the descriptor is and its flags are. */
#ifndef REACTOR_TRANSFER_H
#define REACTOR_TRANSFER_H

#include <signal.h>

#include "reactor/call.h"
#include "reactor/fd_table.h"

/* What a terminal has room for when it is ready: the kernel's TTYB_ALIGN_MASK + 1. */
#define TERMINAL_ROOM 256

#define RETRY_EINTR(call) \
	({ \
		int64_t retry_result_; \
		do \
			retry_result_ = (call); \
		while (retry_result_ == -EINTR); \
		retry_result_; \
	})

/* The result of the operation, tried now; -EAGAIN if it would have to wait, if `e` is an FD_FILE for a disk;
 * OP_NO_EVENT. */
int64_t transfer_try(struct fd_entry *e, struct op *op);

/* The same of the calls that only sockets have. */
int64_t transfer_socket(struct op *op);

/* Those of `events` that hold, or -EAGAIN. */
int64_t transfer_poll(int fd, short events);

/* Around a call that may raise SIGPIPE: `raised` tells that it failed with -EPIPE. */
struct pipe_guard {
	sigset_t old;
	bool active, was_pending;
};

void pipe_guard_begin(struct pipe_guard *guard);
void pipe_guard_end(struct pipe_guard *guard, bool raised);

/* Runs `call(arg)` with O_NONBLOCK set on the socket, for as long as that takes. Its result, or -errno. */
int64_t transfer_without_waiting(int fd, int64_t (*call)(const void *arg), const void *arg);

/* CALL_SPLICE and CALL_SENDFILE. CALL_WOULD_WAIT, or -EAGAIN where it may have to wait for a disk. */
int64_t transfer_splice(const struct call *call);

/* Carries a read or a write out, waiting as long as it takes. */
int64_t transfer_wait(const struct op *op);

#endif
