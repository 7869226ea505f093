/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. A future that is done takes its place in the list at once, in whatever order callbacks run; an iteration
 * later, as in asyncio, one more can be asked for. Callbacks that are scheduled cannot be taken back: the iterator is
 * counted, and outlives its release until the last of them has run.
 */
#include <async/wait.h>

#include "base/memory.h"
#include "compose/futures.h"
#include "sync/waiters.h"

struct completion {
	struct entry entry;
	struct watcher watcher;
	struct async_completions *all;
	async_future *future; /* NULL: given to the caller */
	struct completion *next;
	bool again; /* stands further ahead, too: is only released */
};

struct async_completions {
	struct async_loop *loop;
	struct list waiters;
	struct completion *done, **done_end; /* not given out, in the order in which they came */
	size_t available;                    /* how many of those can be asked for */
	size_t count, pending;
	size_t left; /* not asked for */
	size_t refs; /* the caller's, and one for each callback and timer that will come */
	bool timed_out, released;
	struct timer timer;
	struct completion items[];
};

static void completions_unref(struct async_completions *all)
{
	if (--all->refs == 0)
		mem_free(all);
}

/* One of those who have not been woken. */
static void wake_next(struct async_completions *all)
{
	list_for_each(node, &all->waiters) {
		if (!waiter_waits(node))
			continue;
		waiter_wake(node);
		return;
	}
}

static void stop_timer(struct async_completions *all)
{
	if (!heap_has(&all->timer.node))
		return;
	timer_disarm(all->loop, &all->timer);
	all->refs--;
}

static void on_done(struct entry *entry)
{
	struct completion *item = container_of(entry, struct completion, entry);
	struct async_completions *all = item->all;

	if (!all->timed_out && !all->released) {
		all->available++;
		if (--all->pending == 0)
			stop_timer(all);
		wake_next(all);
	}
	completions_unref(all);
}

/* Its future is done: from here on it has its place. */
static void take_place(struct completion *item)
{
	struct async_completions *all = item->all;

	item->next = NULL;
	*all->done_end = item;
	all->done_end = &item->next;
	item->entry.kind = ENTRY_CALLBACK;
	item->entry.run = on_done;
	ready_append(&all->loop->ready, &item->entry);
}

static void on_notice(struct entry *entry)
{
	take_place(container_of(entry, struct completion, entry));
}

/* Takes back every callback that is not scheduled. */
static void unwatch(struct async_completions *all)
{
	for (size_t i = 0; i < all->count; i++) {
		struct list *link = &all->items[i].watcher.link;

		if (list_empty(link))
			continue;
		list_remove(link);
		all->refs--;
	}
}

static void on_timeout(struct entry *entry)
{
	struct timer *timer = container_of(entry, struct timer, entry);
	struct async_completions *all = container_of(timer, struct async_completions, timer);

	if (!all->released && all->pending > 0) {
		all->timed_out = true;
		unwatch(all);
		list_for_each(node, &all->waiters)
			if (waiter_waits(node))
				waiter_wake(node);
	}
	completions_unref(all);
}

/* True if the last who began to watch the future did so for an earlier place of the same list. An immortal future
 * stands for whatever failed to be created: each of its places is another one. */
static bool is_again(const struct async_completions *all, const async_future *future)
{
	const struct list *last = future->watchers.prev;
	const struct completion *item = list_entry(last, struct completion, watcher.link);

	return !future->immortal && last != &future->watchers && (uintptr_t)item >= (uintptr_t)all->items &&
	       (uintptr_t)item < (uintptr_t)(all->items + all->count);
}

/* Those that are done are watched as well until all are seen, so that they are found again. */
static void watch_all(struct async_completions *all, async_future *const *futures)
{
	for (size_t i = 0; i < all->count; i++) {
		struct completion *item = &all->items[i];

		*item = (struct completion){.all = all, .future = futures[i]};
		item->entry.kind = ENTRY_NOTICE;
		item->entry.run = on_notice;
		item->watcher.entry = &item->entry;
		list_init(&item->watcher.link);
		item->again = is_again(all, futures[i]);
		if (item->again) {
			all->pending--;
			all->left--;
			continue;
		}
		all->refs++;
		if (!futures[i]->immortal)
			future_watch(futures[i], &item->watcher);
	}
	for (size_t i = 0; i < all->count; i++) {
		struct completion *item = &all->items[i];

		if (item->again || !future_done(item->future))
			continue;
		list_remove(&item->watcher.link);
		take_place(item);
	}
}

static int make(struct async_loop *loop, size_t count, async_time timeout, struct async_completions **ret_all)
{
	if (!loop || count > (SIZE_MAX - sizeof(struct async_completions)) / sizeof(struct completion))
		return -ENOMEM;
	struct async_completions *all = mem_alloc(sizeof(*all) + count * sizeof(all->items[0]));
	if (!all)
		return -ENOMEM;
	*all = (struct async_completions){.loop = loop, .count = count, .pending = count, .left = count, .refs = 1};
	list_init(&all->waiters);
	all->done_end = &all->done;
	timer_init(&all->timer, on_timeout, ENTRY_CALLBACK);
	if (count > 0 && timeout != ASYNC_FOREVER) {
		int error = timer_arm(loop, &all->timer, clock_add(loop_read_clock(loop), timeout));

		if (error) {
			mem_free(all);
			return error;
		}
		all->refs += heap_has(&all->timer.node);
	}
	*ret_all = all;
	return 0;
}

int async_as_completed(async_future *const *futures, size_t count, async_time timeout,
		       async_completions **ret_completions)
{
	struct async_completions *all = NULL;
	int error;
	struct async_loop *loop = futures_loop(futures, count, &error);

	if (!error && !ret_completions)
		error = -EINVAL;
	if (!error && loop)
		error = loop_check(loop);
	if (!error)
		error = make(loop, count, timeout, &all);
	if (error) {
		futures_release(futures, count);
		return error;
	}
	watch_all(all, futures);
	*ret_completions = all;
	return 0;
}

static const struct wait_class wait_completion = {
	.name = "the next of several futures",
	.withdraw = waiter_withdraw,
	.on = ASYNC_LAYOUT_ON_ANY,
	.children = {.kind = ASYNC_LAYOUT_ARRAY,
		     .first = offsetof(struct async_completions, items),
		     .count = offsetof(struct async_completions, count),
		     .stride = sizeof(struct completion),
		     .future = offsetof(struct completion, future)},
};

int async_next_completed(async_completions *all, async_future **ret_future)
{
	struct task *task = task_current();

	if (!all || !ret_future)
		return -EINVAL;
	if (!task || task->future.loop != all->loop)
		return -EPERM;
	if (all->left == 0)
		return 0;
	all->left--;
	while (all->available == 0) {
		if (all->timed_out)
			return -ETIMEDOUT;
		if (waiters_wait(&all->waiters, task, &wait_completion, all) == 0)
			continue;
		all->left++;
		/* What it was woken for is somebody else's. */
		if (all->available > 0)
			wake_next(all);
		return -ECANCELED;
	}
	struct completion *item = all->done;
	all->available--;
	all->done = item->next;
	if (!all->done)
		all->done_end = &all->done;
	*ret_future = item->future;
	item->future = NULL;
	return 1;
}

void async_completions_free(async_completions *all)
{
	if (!all)
		return;
	all->released = true;
	unwatch(all);
	stop_timer(all);
	for (size_t i = 0; i < all->count; i++)
		async_release(all->items[i].future);
	completions_unref(all);
}
