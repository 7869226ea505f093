/* SPDX-License-Identifier: MIT */
#include <async/semaphore.h>

#include "sync/waiters.h"

static const struct wait_class wait_semaphore = {
	.name = "a semaphore", .on = ASYNC_LAYOUT_ON_OBJECT, .withdraw = waiter_withdraw};

/* The one who waits longest gets a permit now and takes it along when it runs. False: nobody waits. */
static bool wake_next(struct async_semaphore *semaphore)
{
	struct list *line = waiters_list(&semaphore->waiters), *node;

	while ((node = list_pop(line))) {
		if (!waiter_waits(node))
			continue;
		semaphore->value--;
		list_append(waiters_list(&semaphore->woken), node);
		waiter_wake(node);
		return true;
	}
	return false;
}

bool async_semaphore_locked(const struct async_semaphore *semaphore)
{
	if (!semaphore || semaphore->value == 0 || !waiters_empty(&semaphore->woken))
		return true;
	if (waiters_empty(&semaphore->waiters))
		return false;
	const struct list *line = (const struct list *)&semaphore->waiters;
	list_for_each(node, line)
		if (!waiter_cancelled(node))
			return true;
	return false;
}

static noinline int acquire_in_turn(struct async_semaphore *semaphore, struct task *task)
{
	struct list *line = waiters_list(&semaphore->waiters);

	if (waiters_foreign(line, task) || waiters_foreign(waiters_list(&semaphore->woken), task))
		return -EPERM;
	int error = waiters_wait(line, task, &wait_semaphore, semaphore);
	if (error && waiter_was_woken(task))
		semaphore->value++;
	/* Permits that came while others were in front. */
	while (semaphore->value > 0 && wake_next(semaphore))
		;
	return error;
}

int async_semaphore_acquire(struct async_semaphore *semaphore)
{
	struct task *task = task_current();

	if (unlikely(!task || !semaphore))
		return semaphore ? -EPERM : -EINVAL;
	if (unlikely(semaphore->value == 0 || !waiters_empty(&semaphore->woken) ||
		     !waiters_empty(&semaphore->waiters)) &&
	    async_semaphore_locked(semaphore))
		return acquire_in_turn(semaphore, task);
	semaphore->value--;
	return 0;
}

int async_semaphore_release(struct async_semaphore *semaphore)
{
	if (unlikely(!semaphore))
		return -EINVAL;
	if (unlikely(semaphore->value >= semaphore->bound))
		return -EOVERFLOW;
	if (likely(waiters_empty(&semaphore->waiters))) {
		semaphore->value++;
		return 0;
	}
	if (waiters_check(waiters_list(&semaphore->waiters)) == -EPERM)
		return -EPERM;
	semaphore->value++;
	wake_next(semaphore);
	return 0;
}

size_t async_semaphore_value(const struct async_semaphore *semaphore)
{
	return semaphore ? semaphore->value : 0;
}
