/* SPDX-License-Identifier: MIT */
#include "core/sleep.h"

#include "core/schedule.h"

/* An expired timer is in the ready queue when this changes: the entry then finds nothing to do. */
static bool withdraw_sleep(struct task *task)
{
	timer_disarm(task->future.loop, &task->timer);
	task_wake(task, -ECANCELED);
	return true;
}

static const struct wait_class wait_sleep = {.name = "sleep", .on = ASYNC_LAYOUT_ON_TIME, .withdraw = withdraw_sleep};

void sleep_expired(struct entry *entry)
{
	struct task *task = container_of(container_of(entry, struct timer, entry), struct task, timer);

	/* Cancelled after it was due, in the same iteration: the task is awake already, and cannot have begun
	 * another sleep before this entry's turn. */
	if (task->state == TASK_PARKED)
		task_wake(task, 0);
}

/* Gives way: the task runs again after everything that is ready. */
static always_inline int yield_once(struct task *task)
{
	struct async_loop *loop = task->future.loop;

	if (schedule_alone(loop)) {
		loop->iterations++;
		loop->switches++;
	} else {
		ready_append(&loop->ready, &task->entry);
		task_suspend(task);
	}
	return unlikely(task->undelivered) && task_take_cancel(task) ? -ECANCELED : 0;
}

static int sleep_until(struct task *task, async_time when)
{
	int error = timer_arm(task->future.loop, &task->timer, when);

	return unlikely(error) ? error : (int)task_park(task, &wait_sleep, NULL);
}

int async_sleep(async_time delay)
{
	struct task *task = task_current();

	if (unlikely(!task))
		return -EPERM;
	if (delay <= 0)
		return yield_once(task);
	return sleep_until(task, clock_add(loop_now(task->future.loop), delay));
}

int async_sleep_until(async_time when)
{
	struct task *task = task_current();

	if (unlikely(!task))
		return -EPERM;
	return sleep_until(task, when);
}
