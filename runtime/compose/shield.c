/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. The shield is a future that copies the result of the inner one, an iteration after that is done as in
 * asyncio, and that a cancellation ends without going further. Whoever looks at the shield looks at the inner
 * future; until then the value is the inner one's, to keep or to drop, and so is a failure that comes too late for
 * the shield.
 */
#include <async/wait.h>

#include "base/memory.h"
#include "core/loop.h"

struct shield {
	async_future outer;
	struct entry entry;
	struct watcher watcher;
	async_future *inner; /* NULL: left alone by a shield that was cancelled */
};

static void leave(struct shield *shield)
{
	future_release(shield->inner);
	shield->inner = NULL;
}

static void on_inner(struct entry *entry)
{
	struct shield *shield = container_of(entry, struct shield, entry);

	if (future_done(&shield->outer))
		leave(shield);
	else
		future_complete(&shield->outer, shield->inner->result);
	future_release(&shield->outer);
}

static bool shield_cancel(async_future *outer)
{
	struct shield *shield = (struct shield *)outer;

	future_complete(outer, -ECANCELED);
	if (!list_empty(&shield->watcher.link)) {
		list_remove(&shield->watcher.link);
		leave(shield);
		future_release(outer);
	}
	return true;
}

static async_future *shield_finalize(async_future *outer)
{
	struct shield *shield = (struct shield *)outer;

	/* A failure that nobody looked at was just reported. */
	if (shield->inner && (outer->looked_at || outer->result < 0))
		future_take(shield->inner);
	return shield->inner;
}

static const struct future_class future_shield = {
	.name = "shield",
	.cancel = shield_cancel,
	.finalize = shield_finalize,
	.size = sizeof(struct shield),
	.children = {.kind = ASYNC_LAYOUT_CHILD, .first = offsetof(struct shield, inner)},
};

async_future *async_shield(async_future *inner)
{
	int error = future_check(inner);

	if (!error && future_done(inner))
		return inner;
	struct shield *shield = error ? NULL : (struct shield *)future_alloc(inner->loop, &future_shield, NULL);
	if (!shield) {
		async_release(inner);
		return async_future_failed(error ? error : -ENOMEM);
	}
	shield->inner = inner;
	shield->entry.kind = ENTRY_CALLBACK;
	shield->entry.run = on_inner;
	shield->watcher.entry = &shield->entry;
	future_watch(inner, &shield->watcher);
	/* The inner one's, until it is done or the shield cancelled. */
	future_ref(&shield->outer);
	return &shield->outer;
}
