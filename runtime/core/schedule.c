/* SPDX-License-Identifier: MIT */
#include "core/schedule.h"

#include "core/timer.h"

/* How long tasks may keep the loop from the kernel and the timers, as long as their slices are shorter. */
#define SERVICE_INTERVAL (100 * ASYNC_US)
/* Most switches between two looks at the clock. A look costs 20 ns, a switch 4: this makes it a thirteenth. It also
 * is how many long slices can follow short ones before the loop notices. */
#define SERVICE_STEP_MAX 64

static bool due_on_virtual_clock(const struct async_loop *loop)
{
	return !list_empty(&loop->hooks) || (loop->reactor && reactor_pending(loop->reactor) > 0);
}

static bool due_on_real_clock(struct async_loop *loop)
{
	if (loop->now - loop->serviced_at >= SERVICE_INTERVAL) {
		loop->service_step = 1;
		return true;
	}
	if (loop->service_step < SERVICE_STEP_MAX)
		loop->service_step *= 2;
	loop->service_at = loop->switches + loop->service_step;
	return false;
}

bool schedule_service_due(struct async_loop *loop)
{
	loop_read_clock(loop);
	if (loop->slow.to_tell || (loop_is_virtual(loop) ? due_on_virtual_clock(loop) : due_on_real_clock(loop)))
		return true;
	timers_expire(loop, loop->now);
	return false;
}

struct context *schedule_leave_eager(struct async_loop *loop)
{
	struct eager_frame *frame = loop->eager;

	if (unlikely(loop->observed))
		observe_switch(loop, frame->task, frame->creator);
	loop->eager = frame->outer;
	PROBE(task_switch, frame->task, frame->creator);
	loop->current = frame->creator;
	return frame->creator ? &frame->creator->context : &loop->main;
}
