/* SPDX-License-Identifier: MIT */
#include <async/condition.h>

#include "sync/waiters.h"
#include "context/exceptions.h"

static const struct wait_class wait_condition = {
	.name = "a condition", .on = ASYNC_LAYOUT_ON_OBJECT, .withdraw = waiter_withdraw};

static struct async_lock *lock_of(struct async_condition *condition)
{
	return condition->lock ? condition->lock : &condition->own;
}

int async_condition_acquire(struct async_condition *condition)
{
	return condition ? async_lock_acquire(lock_of(condition)) : -EINVAL;
}

int async_condition_release(struct async_condition *condition)
{
	return condition ? async_lock_release(lock_of(condition)) : -EINVAL;
}

bool async_condition_locked(const struct async_condition *condition)
{
	return condition && async_lock_locked(condition->lock ? condition->lock : &condition->own);
}

/* Those who were woken or cancelled drop out on the way: they need no notification. */
static void notify(struct async_condition *condition, size_t count)
{
	struct list *line = waiters_list(&condition->waiters), *node;

	while (count > 0 && (node = list_pop(line))) {
		if (!waiter_waits(node))
			continue;
		waiter_wake(node);
		count--;
	}
}

/* Comes back with the lock, however often the task is cancelled meanwhile. */
static int acquire_again(struct async_lock *lock)
{
	int result = 0, error;

	while ((error = async_lock_acquire(lock)) == -ECANCELED)
		result = error;
	return error ? error : result;
}

int async_condition_wait(struct async_condition *condition)
{
	struct task *task = task_current();

	if (!condition || !task)
		return condition ? -EPERM : -EINVAL;
	struct list *line = waiters_list(&condition->waiters);
	struct async_lock *lock = lock_of(condition);
	/* Releasing fails if the lock is not held here. */
	if (waiters_foreign(line, task) || async_lock_release(lock) < 0)
		return -EPERM;
	int error = waiters_wait(line, task, &wait_condition, condition);
	int cancelled = acquire_again(lock);
	if (cancelled)
		error = cancelled;
	/* It may have come with a notification, or after one: somebody else shall look. */
	if (error)
		notify(condition, 1);
	return error;
}

intptr_t async_condition_wait_for(struct async_condition *condition, async_fn *predicate, void *arg)
{
	intptr_t value;
	int error = 0;

	if (!condition || !predicate)
		return -EINVAL;
	if (!task_current() || !async_condition_locked(condition))
		return -EPERM;
	while ((value = FENCED_VALUE(predicate(arg))) == 0 && error == 0)
		error = async_condition_wait(condition);
	return error ? error : value;
}

int async_condition_notify(struct async_condition *condition, size_t count)
{
	if (!condition)
		return -EINVAL;
	if (!async_condition_locked(condition) || waiters_check(waiters_list(&condition->waiters)) == -EPERM)
		return -EPERM;
	notify(condition, count);
	return 0;
}

int async_condition_notify_all(struct async_condition *condition)
{
	return async_condition_notify(condition, SIZE_MAX);
}
