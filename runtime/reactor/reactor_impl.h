/* SPDX-License-Identifier: MIT */
/* What the backends share: the part of a reactor that both have, and the calls in which they differ. */
#ifndef REACTOR_REACTOR_IMPL_H
#define REACTOR_REACTOR_IMPL_H

#include <sys/types.h>

#include "base/clock.h"
#include "reactor/fd_table.h"
#include "reactor/reactor.h"

/* The kernel transfers no more in one call (MAX_RW_COUNT). */
#define TRANSFER_MAX ((size_t)0x7ffff000)

struct reactor_ops {
	const char *name;
	/* Starts, or makes wait, `op` on `e`. True if it completed at once: op->result is set. A pending one has
	 * been put into a queue of `e`. */
	bool (*submit)(struct reactor *r, struct fd_entry *e, struct op *op);
	/* As reactor_cancel, of an operation that is in a queue of its entry. */
	bool (*cancel)(struct reactor *r, struct op *op);
	/* The operations of `e` have been withdrawn: drops what the backend holds of the descriptor. */
	void (*forget)(struct reactor *r, struct fd_entry *e);
	/* Waits and moves what completed to `arrived`. 0 or -errno. */
	int (*wait)(struct reactor *r, int64_t timeout);
	int (*fd)(struct reactor *r);
	/* Withdrawal of every operation was asked for: waits until all have arrived. False: the time was over. */
	bool (*settle)(struct reactor *r, int64_t until);
	/* After that, frees. */
	void (*close)(struct reactor *r);
	void (*abandon)(struct reactor *r);
};

struct reactor {
	const struct reactor_ops *ops;
	struct fd_table table;
	struct fd_entry nowhere; /* of calls that are on no descriptor */
	struct job_sink sink;
	struct pool *pool;   /* NULL until a file needs a worker */
	size_t in_workers;
	struct list arrived; /* completed, not yet delivered; in virtual time in the order of their submission */
	size_t arrivals;
	size_t pending;
	size_t holding_time;
	uint64_t submissions;
	int wake_fd;       /* eventfd, blocking */
	pid_t owner;       /* the only thread that may use it; 0: any may, one at a time */
	bool foreign;      /* taken over by another one, to be closed */
	bool virtual_time;
	bool embedded;     /* somebody polls reactor_fd */
};

/* Fill `*ret_reactor` with a backend whose base is initialised. 0 or -errno. */
int uring_open(const struct reactor_options *options, struct reactor **ret_reactor);
int epoll_open(const struct reactor_options *options, struct reactor **ret_reactor);

int reactor_init(struct reactor *r, const struct reactor_ops *ops, const struct reactor_options *options);
/* Closes and frees the shared part. */
void reactor_fini(struct reactor *r);

/* What the kernel was asked to withdraw may take so long to come back, ns; more than a busy machine needs. */
#define SETTLE_KERNEL INT64_C(1000000000)

/* How long until then, for a wait: -1 is for ever. */
static inline int64_t reactor_time_left(int64_t until)
{
	int64_t left = until == INT64_MAX ? -1 : until - clock_now();

	return left < 0 && until != INT64_MAX ? 0 : left;
}

/* Moves a pending operation to those that arrived. */
void reactor_arrive(struct reactor *r, struct op *op, int64_t result);
/* Takes a pending operation out at once, on its owner's request. */
void reactor_take_back(struct reactor *r, struct op *op);

#endif
