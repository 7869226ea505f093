/* SPDX-License-Identifier: MIT */
#include <async/lock.h>

#include "sync/waiters.h"

static const struct wait_class wait_lock = {
	.name = "a lock",
	.withdraw = waiter_withdraw,
	.on = ASYNC_LAYOUT_ON_LOCK,
	.detail = offsetof(struct async_lock, holder),
};

/* If the first one was woken or cancelled already, it hands on when it runs. */
static void wake_first(struct async_lock *lock)
{
	struct list *line = waiters_list(&lock->waiters);

	if (!list_empty(line) && waiter_waits(line->next))
		waiter_wake(line->next);
}

static bool all_cancelled(struct list *line)
{
	list_for_each(node, line)
		if (!waiter_cancelled(node))
			return false;
	return true;
}

static noinline int acquire_in_turn(struct async_lock *lock, struct task *task)
{
	struct async_loop *loop = task->future.loop;
	struct list *line = waiters_list(&lock->waiters);

	if ((lock->held_on && lock->held_on != loop) || waiters_foreign(line, task))
		return -EPERM;
	if (lock->held_on || !all_cancelled(line)) {
		int error = waiters_wait(line, task, &wait_lock, lock);

		if (error) {
			if (!lock->held_on)
				wake_first(lock);
			return error;
		}
	}
	lock->held_on = loop;
	lock->holder = task->id;
	return 0;
}

int async_lock_acquire(struct async_lock *lock)
{
	struct task *task = task_current();

	if (unlikely(!task || !lock))
		return lock ? -EPERM : -EINVAL;
	if (unlikely(lock->held_on || !waiters_empty(&lock->waiters)))
		return acquire_in_turn(lock, task);
	lock->held_on = task->future.loop;
	lock->holder = task->id;
	return 0;
}

int async_lock_release(struct async_lock *lock)
{
	if (unlikely(!lock))
		return -EINVAL;
	if (unlikely(!lock->held_on))
		return -EPERM;
	/* Outside its loop, but in its thread, is allowed. A loop that is gone is not asked. */
	if (unlikely(lock->held_on != loop_running) && (loop_running || loop_check(lock->held_on) == -EPERM))
		return -EPERM;
	lock->held_on = NULL;
	if (unlikely(!waiters_empty(&lock->waiters)))
		wake_first(lock);
	return 0;
}

bool async_lock_locked(const struct async_lock *lock)
{
	return lock && lock->held_on;
}
