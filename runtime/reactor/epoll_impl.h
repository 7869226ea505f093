/* SPDX-License-Identifier: MIT */
#ifndef REACTOR_EPOLL_IMPL_H
#define REACTOR_EPOLL_IMPL_H

#include <sys/epoll.h>

#include "reactor/reactor_impl.h"

/* op->phase */
enum { PHASE_WAITING, PHASE_WORKER };

struct epoll {
	struct reactor base;
	int epoll_fd;
	bool no_pwait2;
	bool woken;
	struct list fresh, aging; /* entries with waiting operations whose registration is to be checked */
	int64_t check_at;
	struct job_sink sink;
	struct pool *pool; /* NULL until a file needs a worker */
	size_t in_workers;
	struct epoll_event events[128];
};

static inline struct epoll *epoll_of(struct reactor *r)
{
	return container_of(r, struct epoll, base);
}

void epoll_file_init(struct epoll *p);
/* Gives the operation to a worker. 0 or -errno. */
int epoll_file_start(struct epoll *p, struct op *op);
/* True if the operation is back; else it comes with the others. */
bool epoll_file_withdraw(struct epoll *p, struct op *op);
/* Makes what workers have finished arrive. */
void epoll_file_finish(struct epoll *p);

#endif
