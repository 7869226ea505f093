/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. The gathering is a future with a callback on each child. Children that are done already are counted at
 * once, so that gathering finished futures is finished; the others an iteration after they are done, as in asyncio.
 */
#include <async/wait.h>

#include "base/memory.h"
#include "compose/futures.h"
#include "core/schedule.h"

struct gather;

struct gather_child {
	struct entry entry;
	struct watcher watcher;
	struct gather *gather;
	async_future *future;
};

struct gather {
	struct future_fan fan;
	intptr_t *results;
	size_t count, finished;
	bool collect;
	intptr_t error; /* unless they are collected: of the child that failed first; cancelled is not failed */
	struct gather_child children[];
};

static async_future *gather_fan_out(struct future_fan *fan)
{
	struct gather *gather = (struct gather *)fan;

	return fan->cursor < gather->count ? gather->children[fan->cursor++].future : NULL;
}

static const struct future_class future_gather = {
	.name = "gathering",
	.fan_out = gather_fan_out,
	.size = sizeof(struct gather),
	.children = {.kind = ASYNC_LAYOUT_ARRAY,
		     .first = offsetof(struct gather, children),
		     .count = offsetof(struct gather, count),
		     .stride = sizeof(struct gather_child),
		     .future = offsetof(struct gather_child, future)},
};

/* Every child is done: their results in order. */
static intptr_t take_results(struct gather *gather)
{
	intptr_t values = 0;

	for (size_t i = 0; i < gather->count; i++) {
		async_future *child = gather->children[i].future;

		values += child->result >= 0;
		/* A value that has no place is dropped. */
		if (child->result < 0 || gather->results)
			future_take(child);
		if (gather->results)
			gather->results[i] = child->result;
	}
	return values;
}

/* Every child is done. A failure goes before the cancellation. */
static intptr_t outcome(struct gather *gather)
{
	if (!gather->fan.cancelled)
		return take_results(gather);
	return gather->error ? gather->error : -ECANCELED;
}

static void release_children(struct gather *gather)
{
	for (size_t i = 0; i < gather->count; i++)
		future_release(gather->children[i].future);
}

static void child_finished(struct gather *gather, async_future *child)
{
	async_future *outer = &gather->fan.future;
	bool last = ++gather->finished == gather->count;

	/* Its failure is the gathering's, or comes too late to be anybody's. One that is collected is taken with the
	 * results; if there are none, because of a cancellation, it is reported. */
	if (child->result < 0 && !gather->collect && future_take(child) != -ECANCELED && !gather->error)
		gather->error = child->result;
	if (!future_done(outer)) {
		/* A gathering that was cancelled waits for all: what they use may be on the stack of whoever waits. */
		if (child->result < 0 && !gather->collect && !gather->fan.cancelled)
			future_complete(outer, child->result);
		else if (last)
			future_complete(outer, outcome(gather));
	}
	if (last) {
		release_children(gather);
		future_release(outer);
	}
}

static void on_child(struct entry *entry)
{
	struct gather_child *child = container_of(entry, struct gather_child, entry);

	child_finished(child->gather, child->future);
}

async_future *async_gather(async_future *const *futures, size_t count, unsigned flags, intptr_t *results)
{
	int error;
	struct async_loop *loop = futures_loop(futures, count, &error);

	if (!error && (flags & ~(unsigned)ASYNC_GATHER_COLLECT))
		error = -EINVAL;
	if (!error && (!loop || count > (SIZE_MAX - sizeof(struct gather)) / sizeof(struct gather_child)))
		error = -ENOMEM;
	struct gather *gather = error ? NULL : mem_alloc(sizeof(*gather) + count * sizeof(gather->children[0]));
	if (!gather) {
		futures_release(futures, count);
		return async_future_failed(error ? error : -ENOMEM);
	}
	*gather = (struct gather){.results = results, .count = count, .collect = flags & ASYNC_GATHER_COLLECT};
	async_future *outer = &gather->fan.future;
	future_init(outer, loop, &future_gather, NULL);
	if (count == 0) {
		future_complete(outer, 0);
		return outer;
	}
	/* The children's, until the last is done. */
	future_ref(outer);
	for (size_t i = 0; i < count; i++) {
		struct gather_child *child = &gather->children[i];

		child->entry.kind = ENTRY_CALLBACK;
		child->entry.run = on_child;
		child->watcher.entry = &child->entry;
		list_init(&child->watcher.link);
		child->gather = gather;
		child->future = futures[i];
		if (!future_done(futures[i]))
			future_watch(futures[i], &child->watcher);
	}
	for (size_t i = 0; i < count; i++)
		if (list_empty(&gather->children[i].watcher.link))
			child_finished(gather, futures[i]);
	return outer;
}
