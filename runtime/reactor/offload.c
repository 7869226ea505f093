/* SPDX-License-Identifier: MIT */
#include "reactor/offload.h"

#include "base/fault.h"
#include "reactor/call.h"
#include "reactor/transfer.h"

static void run(struct job *job)
{
	struct op *op = container_of(job, struct op, job);

	op->result = op->code == OP_CALL ? call_run(op->buffer) : transfer_wait(op);
}

static void wake(struct job_sink *sink)
{
	reactor_wake(container_of(sink, struct reactor, sink));
}

void offload_init(struct reactor *r)
{
	r->sink.wake = wake;
}

int offload_start(struct reactor *r, struct op *op)
{
	int err = r->pool ? 0 : pool_shared_acquire(&r->pool);

	op->job = (struct job){.run = run, .sink = &r->sink, .lane = LANE_FILES};
	if (trace_on())
		job_trace(&op->job, TRACE_JOB_WORK, 0, 0, (uintptr_t)"file operation");
	if (err == 0)
		err = pool_submit(r->pool, &op->job, 1);
	if (err < 0)
		return err;
	op->phase = IN_WORKER;
	r->in_workers++;
	return 0;
}

bool offload_withdraw(struct reactor *r, struct op *op)
{
	if (pool_withdraw(r->pool, &op->job) != POOL_REMOVED)
		return false;
	r->in_workers--;
	return true;
}

void offload_finish(struct reactor *r)
{
	struct job *next;

	if (!offload_ready(r))
		return;
	for (struct job *job = job_sink_take(&r->sink); job; job = next) {
		struct op *op = container_of(job, struct op, job);

		next = job->next;
		r->in_workers--;
		reactor_arrive(r, op, atomic_load(&job->state) == JOB_WITHDRAWN ? -ECANCELED : op->result);
	}
}

void offload_close(struct reactor *r)
{
	job_sink_settle(&r->sink);
	offload_leave(r);
}

void offload_leave(struct reactor *r)
{
	if (r->pool)
		pool_shared_release(r->pool);
}
