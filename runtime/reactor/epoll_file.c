/* SPDX-License-Identifier: MIT */
/* Files on epoll: what is not in the page cache is read, and what cannot be written at once written, by a worker. */
#include "base/fault.h"
#include "reactor/epoll_impl.h"
#include "reactor/transfer.h"

static void run(struct job *job)
{
	struct op *op = container_of(job, struct op, job);

	op->result = transfer_wait(op);
}

static void wake(struct job_sink *sink)
{
	reactor_wake(&container_of(sink, struct epoll, sink)->base);
}

void epoll_file_init(struct epoll *p)
{
	p->sink.wake = wake;
}

int epoll_file_start(struct epoll *p, struct op *op)
{
	int err = p->pool ? 0 : pool_shared_acquire(&p->pool);

	op->job = (struct job){.run = run, .sink = &p->sink, .slow = true};
	if (err == 0)
		err = pool_submit(p->pool, &op->job, 1);
	if (err < 0)
		return err;
	op->phase = PHASE_WORKER;
	p->in_workers++;
	return 0;
}

bool epoll_file_withdraw(struct epoll *p, struct op *op)
{
	if (pool_withdraw(p->pool, &op->job) != POOL_REMOVED)
		return false;
	p->in_workers--;
	return true;
}

void epoll_file_finish(struct epoll *p)
{
	struct job *next;

	for (struct job *job = job_sink_take(&p->sink); job; job = next) {
		struct op *op = container_of(job, struct op, job);

		next = job->next;
		p->in_workers--;
		reactor_arrive(&p->base, op, atomic_load(&job->state) == JOB_WITHDRAWN ? -ECANCELED : op->result);
	}
}
