/* SPDX-License-Identifier: MIT */
/* Done callbacks: a watcher whose entry is a call instead of a task. */
#include <errno.h>

#include "base/memory.h"
#include "base/versioned.h"
#include "context/exceptions.h"
#include "core/local.h"
#include "core/loop.h"

struct done_callback {
	struct entry entry;
	struct watcher watcher;
	async_future *future;
	async_done_callback *fn;
	void *arg;
	async_destroy *destroy; /* gets `arg` if the call is never made; may be NULL */
	struct locals *locals; /* of who added it */
};

static void run_callback(struct entry *entry)
{
	struct done_callback *callback = container_of(entry, struct done_callback, entry);
	async_future *future = callback->future;
	async_done_callback *fn = callback->fn;
	async_destroy *destroy = callback->destroy;
	void *arg = callback->arg;
	struct locals *outer = locals_enter(callback->locals);

	mem_free(callback);
	/* A loop that closes drops what is queued. */
	if (atomic_load_explicit(&future->loop->refuses, memory_order_relaxed) == 0)
		FENCED(fn(future, arg));
	else if (destroy)
		FENCED(destroy(arg));
	locals_unref(locals_leave(outer));
	future_release(future);
}

static int check(const async_future *future, async_done_callback *fn)
{
	int error = future_check(future);

	if (error || !fn)
		return error ? error : -EINVAL;
	/* An immortal one has no loop to call from. */
	return future->loop ? loop_check(future->loop) : -EPERM;
}

int async_add_done_callback_with(async_future *future, async_done_callback *fn, void *arg,
				 const struct async_call_options *given)
{
	struct async_call_options options = ASYNC_CALL_OPTIONS_INIT;
	int error = given ? versioned_copy(&options, sizeof(options), given) : 0;

	if (error)
		return error;
	error = check(future, fn);
	struct done_callback *callback = error ? NULL : mem_alloc(sizeof(*callback));
	if (!callback) {
		if (options.destroy)
			FENCED(options.destroy(arg));
		return error ? error : -ENOMEM;
	}
	*callback = (struct done_callback){
		.future = future, .fn = fn, .arg = arg, .destroy = options.destroy, .locals = locals_capture()};
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

int async_add_done_callback(async_future *future, async_done_callback *fn, void *arg)
{
	return async_add_done_callback_with(future, fn, arg, NULL);
}

int async_remove_done_callback(async_future *future, async_done_callback *fn, void *arg)
{
	int error = future_check(future), removed = 0;

	if (error)
		return error;
	/* Those found are taken out first: what destroys their arguments may do what it likes. */
	struct list found = LIST_INIT(found), *node;
	list_for_each_safe(at, &future->watchers) {
		struct entry *entry = list_entry(at, struct watcher, link)->entry;
		struct done_callback *callback = container_of(entry, struct done_callback, entry);

		if (entry->run != run_callback || callback->fn != fn || callback->arg != arg)
			continue;
		list_remove(at);
		list_append(&found, at);
	}
	while ((node = list_pop(&found))) {
		struct entry *entry = list_entry(node, struct watcher, link)->entry;
		struct done_callback *callback = container_of(entry, struct done_callback, entry);

		locals_unref(callback->locals);
		if (callback->destroy)
			FENCED(callback->destroy(arg));
		mem_free(callback);
		future_release(future);
		removed++;
	}
	return removed;
}
