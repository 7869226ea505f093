/* SPDX-License-Identifier: MIT */
#include <async/event.h>

#include "sync/waiters.h"

static const struct wait_class wait_event = {
	.name = "an event", .on = ASYNC_LAYOUT_ON_OBJECT, .withdraw = waiter_withdraw};

int async_event_set(struct async_event *event)
{
	struct list *node, *line;

	if (!event)
		return -EINVAL;
	if (event->is_set)
		return 0;
	line = waiters_list(&event->waiters);
	if (waiters_check(line) == -EPERM)
		return -EPERM;
	event->is_set = true;
	while ((node = list_pop(line)))
		if (waiter_waits(node))
			waiter_wake(node);
	return 0;
}

int async_event_clear(struct async_event *event)
{
	if (!event)
		return -EINVAL;
	event->is_set = false;
	return 0;
}

bool async_event_is_set(const struct async_event *event)
{
	return event && event->is_set;
}

int async_event_wait(struct async_event *event)
{
	struct task *task = task_current();

	if (!event || !task)
		return event ? -EPERM : -EINVAL;
	if (event->is_set)
		return 0;
	struct list *line = waiters_list(&event->waiters);
	if (waiters_foreign(line, task))
		return -EPERM;
	return waiters_wait(line, task, &wait_event, event);
}
