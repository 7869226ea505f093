/* SPDX-License-Identifier: MIT */
/* Whether there is an io_uring to be had, and the best one. */
#ifndef REACTOR_URING_PROBE_H
#define REACTOR_URING_PROBE_H

#ifdef HAVE_LIBURING
#include <liburing.h>
#include <stdbool.h>

/* A liburing call, which returns -errno itself, that a test can make fail. */
#define URING(name, call) \
	({ \
		int uring_result_ = fault(name); \
		uring_result_ ? uring_result_ : (system_calls++, (call)); \
	})

/* Sets up a ring that has all that the backend needs, for the calling thread. 0 or -errno; then `*ret_reason`
 * says why not. `*ret_features` says what was got. */
int uring_ring_open(struct io_uring *ring, const char **ret_reason, const char **ret_features);
void uring_ring_close(struct io_uring *ring);

/* Whether the kernel knows it. Once a ring has been opened. */
bool uring_has_opcode(int opcode);
#endif

#endif
