/* SPDX-License-Identifier: MIT */
/* Done callbacks: a watcher whose entry is a call instead of a task. */
#include <errno.h>

#include "base/memory.h"
#include "context/exceptions.h"
#include "core/local.h"
#include "core/loop.h"

struct done_callback {
	struct entry entry;
	struct watcher watcher;
	async_future *future;
	async_done_callback *fn;
	void *arg;
	struct locals *locals; /* of who added it */
};

static void run_callback(struct entry *entry)
{
	struct done_callback *callback = container_of(entry, struct done_callback, entry);
	async_future *future = callback->future;
	async_done_callback *fn = callback->fn;
	void *arg = callback->arg;
	struct locals *outer = locals_enter(callback->locals);

	mem_free(callback);
	/* A loop that closes drops what is queued. */
	if (atomic_load_explicit(&future->loop->refuses, memory_order_relaxed) == 0)
		FENCED(fn(future, arg));
	locals_unref(locals_leave(outer));
	future_release(future);
}

int async_add_done_callback(async_future *future, async_done_callback *fn, void *arg)
{
	int error = future_check(future);

	if (error || !fn)
		return error ? error : -EINVAL;
	/* An immortal one has no loop to call from. */
	if (!future->loop)
		return -EPERM;
	if ((error = loop_check(future->loop)))
		return error;
	struct done_callback *callback = mem_alloc(sizeof(*callback));
	if (!callback)
		return -ENOMEM;
	*callback = (struct done_callback){.future = future, .fn = fn, .arg = arg, .locals = locals_capture()};
	callback->entry.kind = ENTRY_CALLBACK;
	callback->entry.run = run_callback;
	callback->watcher.entry = &callback->entry;
	list_init(&callback->watcher.link);
	future_ref(future);
	if (future_done(future))
		ready_append(&future->loop->ready, &callback->entry);
	else
		future_watch(future, &callback->watcher);
	return 0;
}

int async_remove_done_callback(async_future *future, async_done_callback *fn, void *arg)
{
	int error = future_check(future), removed = 0;

	if (error)
		return error;
	list_for_each_safe(node, &future->watchers) {
		struct entry *entry = list_entry(node, struct watcher, link)->entry;
		struct done_callback *callback = container_of(entry, struct done_callback, entry);

		if (entry->run != run_callback || callback->fn != fn || callback->arg != arg)
			continue;
		list_remove(node);
		locals_unref(callback->locals);
		mem_free(callback);
		future_release(future);
		removed++;
	}
	return removed;
}
