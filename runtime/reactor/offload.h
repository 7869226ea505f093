/* SPDX-License-Identifier: MIT */
/* What neither the kernel nor a try can do without waiting for a disk, a worker does: for both backends. */
#ifndef REACTOR_OFFLOAD_H
#define REACTOR_OFFLOAD_H

#include "reactor/reactor_impl.h"

/* op->phase, beside the backend's own: the operation is with a worker. */
#define IN_WORKER 0x80

void offload_init(struct reactor *r);
/* Gives the operation to a worker. 0 or -errno. From its start on the result is the worker's. */
int offload_start(struct reactor *r, struct op *op);
/* True if the operation is back; else it comes with the others. */
bool offload_withdraw(struct reactor *r, struct op *op);
/* True if a worker has finished something. */
static inline bool offload_ready(struct reactor *r)
{
	return job_sink_ready(&r->sink);
}
/* Makes what workers have finished arrive. */
void offload_finish(struct reactor *r);
/* Once nothing is with a worker any more. */
void offload_close(struct reactor *r);
/* If something is. */
void offload_leave(struct reactor *r);

#endif
