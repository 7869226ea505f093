/* SPDX-License-Identifier: MIT */
/* The parts of the io_uring backend: uring_op.c has what concerns an operation, uring.c the ring as a whole. */
#ifndef REACTOR_URING_IMPL_H
#define REACTOR_URING_IMPL_H

#include "reactor/call.h"
#include "reactor/reactor_impl.h"
#include "reactor/uring_probe.h"

/* user_data is an operation's address, or one of these. */
#define TAG_CANCEL 1
#define TAG_WAKE 2

struct uring {
	struct reactor base;
	struct io_uring ring;
	struct list restart;
	size_t in_kernel;
	bool wake_armed;
	size_t withdrawn;  /* of those in the kernel, how many it has been asked to cancel */
	bool cancels_lost; /* it did not find one of them: it was between waiting and trying again */
	bool cancels_owed; /* there was no room to ask for some cancellations */
	int refused;       /* 0, or the error with which io_uring_enter failed for good: the ring is gone */
	int notify_fd;     /* eventfd that the kernel writes at completions, for who polls; < 0: none */
	int watch_fd;      /* epoll of notify_fd and wake_fd; < 0: none */
	uint64_t wake_value;
};

static inline struct uring *uring_of(struct reactor *r)
{
	return container_of(r, struct uring, base);
}

/* Takes what is in the ring. Returns how many there were. */
unsigned uring_reap(struct uring *u);
/* The same with what the kernel still has. 0 or -errno. */
int uring_reap_all(struct uring *u);

/* Room for a submission, or NULL and the reason. */
struct io_uring_sqe *uring_get_sqe(struct uring *u, int *ret_error);

/* For struct reactor_ops. */
bool uring_submit(struct reactor *r, struct fd_entry *e, struct op *op);
bool uring_cancel(struct reactor *r, struct op *op);

/* Whether the kernel's io_uring can do it; then prepares it. */
bool uring_knows_call(const struct call *call);
void uring_prepare_call(struct io_uring_sqe *sqe, const struct call *call);

/* Ends every operation that is not with a worker: with this error, or as it was asked to end. */
void uring_fail_all(struct uring *u, int error);
/* The kernel has completed the operation. Submits nothing. */
void uring_completed(struct uring *u, struct op *op, int result);
/* Starts what waits for its turn. */
void uring_restart(struct uring *u);
/* Asks for the cancellations that there was no room for, or that were lost. */
void uring_send_owed_cancels(struct uring *u);

#endif
