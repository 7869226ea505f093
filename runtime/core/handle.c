/* SPDX-License-Identifier: MIT */
/*
 * Handles: calls that a loop is going to make.
 *
 * A handle is counted: one reference is the schedule's while it is queued or its timer is armed, one may be the
 * user's. Those that other threads may post come from malloc, the rest from the loop's slab.
 */
#include "core/handle.h"

#include <errno.h>

#include "base/forked.h"
#include "base/memory.h"
#include "base/versioned.h"
#include "context/exceptions.h"
#include "core/local.h"
#include "core/loop.h"
#include "core/timer.h"

enum handle_origin {
	HANDLE_LOCAL,    /* call_soon and its like, in the loop's thread */
	HANDLE_REMOTE,   /* one call from another thread */
	HANDLE_PREPARED, /* may be posted again and again */
};

struct async_handle {
	struct timer timer; /* its entry is what runs */
	struct async_loop *loop;
	async_callback *fn;
	void *arg;
	async_destroy *destroy;    /* gets `arg` when it is certain that no call has it or will; may be NULL */
	struct locals *locals;     /* of who scheduled it */
	unsigned refs;
	uint8_t origin;
	bool cancelled;
	bool waker;                /* counts among what can wake the loop */
	atomic_bool posted;        /* in the inbox or in the queue */
	async_handle *next_posted;
};

size_t handle_size(void)
{
	return sizeof(struct async_handle);
}

static void destroy_arg(async_handle *handle)
{
	async_destroy *destroy = handle->destroy;

	handle->destroy = NULL;
	if (destroy)
		FENCED(destroy(handle->arg));
}

static void handle_unref(async_handle *handle)
{
	if (--handle->refs > 0)
		return;
	destroy_arg(handle);
	if (handle->waker)
		handle->loop->wakers--;
	locals_unref(handle->locals);
	if (handle->origin == HANDLE_LOCAL)
		slab_free(&handle->loop->handle_slab, handle);
	else
		mem_free(handle);
}

static void call(async_handle *handle)
{
	struct locals *outer = locals_enter(handle->locals);

	/* This is the only call, and `arg` its own. */
	if (handle->origin != HANDLE_PREPARED)
		handle->destroy = NULL;
	FENCED(handle->fn(handle->arg));
	handle->locals = locals_leave(outer);
}

static void run_handle(struct entry *entry)
{
	async_handle *handle = container_of(container_of(entry, struct timer, entry), async_handle, timer);

	if (handle->origin == HANDLE_PREPARED)
		/* A post from here on is another call. */
		atomic_store(&handle->posted, false);
	else if (atomic_load_explicit(&handle->loop->refuses, memory_order_relaxed) != 0)
		destroy_arg(handle);
	if (!handle->cancelled && atomic_load_explicit(&handle->loop->refuses, memory_order_relaxed) == 0)
		call(handle);
	handle_unref(handle);
}

static void handle_init(async_handle *handle, async_loop *loop, async_callback *fn, void *arg, async_destroy *destroy,
			enum handle_origin origin)
{
	*handle = (async_handle){
		.loop = loop, .fn = fn, .arg = arg, .destroy = destroy, .refs = 1, .origin = (uint8_t)origin};
	handle->locals = locals_capture();
	timer_init(&handle->timer, run_handle, ENTRY_CALLBACK);
}

/* The caller's options; -EINVAL if they cannot be read. */
static int get_options(const struct async_call_options *given, struct async_call_options *ret_options)
{
	*ret_options = (struct async_call_options)ASYNC_CALL_OPTIONS_INIT;
	return given ? versioned_copy(ret_options, sizeof(*ret_options), given) : 0;
}

/* Nobody is going to call with this argument. */
static int failed(int error, const struct async_call_options *options, void *arg)
{
	if (options->destroy)
		FENCED(options->destroy(arg));
	return error;
}

/* A handle of the loop's thread that the schedule has a reference of, and the caller one if it wants one. */
static int handle_make(async_loop *loop, async_callback *fn, void *arg, const struct async_call_options *given,
		       async_handle **wanted, async_handle **ret_handle)
{
	struct async_call_options options;
	int error = get_options(given, &options);

	if (error)
		return error;
	error = !loop || !fn ? -EINVAL : loop_check(loop);
	if (error)
		return failed(error, &options, arg);
	async_handle *handle = slab_alloc(&loop->handle_slab);
	if (!handle)
		return failed(-ENOMEM, &options, arg);
	handle_init(handle, loop, fn, arg, options.destroy, HANDLE_LOCAL);
	if (wanted) {
		handle->refs++;
		*wanted = handle;
	}
	*ret_handle = handle;
	return 0;
}

int async_loop_call_soon_with(async_loop *loop, async_callback *fn, void *arg,
			      const struct async_call_options *options, async_handle **ret_handle)
{
	async_handle *handle;
	int error = handle_make(loop, fn, arg, options, ret_handle, &handle);

	if (error)
		return error;
	ready_append(&loop->ready, &handle->timer.entry);
	loop_rouse(loop);
	return 0;
}

int async_loop_call_soon(async_loop *loop, async_callback *fn, void *arg, async_handle **ret_handle)
{
	return async_loop_call_soon_with(loop, fn, arg, NULL, ret_handle);
}

int async_loop_call_at_with(async_loop *loop, async_time when, async_callback *fn, void *arg,
			    const struct async_call_options *options, async_handle **ret_handle)
{
	async_handle *handle, *wanted;
	int error = handle_make(loop, fn, arg, options, &wanted, &handle);

	if (error)
		return error;
	error = timer_arm(loop, &handle->timer, when);
	if (error) {
		handle->refs = 1;
		handle_unref(handle);
		return error;
	}
	/* Never: nothing schedules it. */
	if (!heap_has(&handle->timer.node))
		handle_unref(handle);
	if (ret_handle)
		*ret_handle = handle;
	else
		handle_unref(handle);
	loop_rouse(loop);
	return 0;
}

int async_loop_call_at(async_loop *loop, async_time when, async_callback *fn, void *arg, async_handle **ret_handle)
{
	return async_loop_call_at_with(loop, when, fn, arg, NULL, ret_handle);
}

int async_loop_call_later_with(async_loop *loop, async_time delay, async_callback *fn, void *arg,
			       const struct async_call_options *options, async_handle **ret_handle)
{
	async_time when = loop ? clock_add(loop_read_clock(loop), delay) : 0;

	return async_loop_call_at_with(loop, when, fn, arg, options, ret_handle);
}

int async_loop_call_later(async_loop *loop, async_time delay, async_callback *fn, void *arg, async_handle **ret_handle)
{
	return async_loop_call_later_with(loop, delay, fn, arg, NULL, ret_handle);
}

/* Lock-free and without allocation: this runs in signal handlers. */
static void inbox_push(async_handle *handle)
{
	async_loop *loop = handle->loop;
	async_handle *head = atomic_load_explicit(&loop->inbox, memory_order_relaxed);

	order_release(&loop->inbox);
	do
		handle->next_posted = head;
	while (!atomic_compare_exchange_weak_explicit(&loop->inbox, &head, handle, memory_order_release,
						      memory_order_relaxed));
	loop_notify(loop);
}

void handle_take_inbox(struct async_loop *loop)
{
	async_handle *handle, *in_order = NULL;

	if (!atomic_load_explicit(&loop->inbox, memory_order_relaxed))
		return;
	handle = atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acquire);
	order_acquire(&loop->inbox);
	while (handle) {
		async_handle *next = handle->next_posted;

		handle->next_posted = in_order;
		in_order = handle;
		handle = next;
	}
	for (; in_order; in_order = in_order->next_posted) {
		if (in_order->origin == HANDLE_PREPARED)
			in_order->refs++;
		ready_append(&loop->ready, &in_order->timer.entry);
	}
}

async_handle *handle_new_remote(async_loop *loop, async_callback *fn, void *arg, async_destroy *destroy)
{
	async_handle *handle = mem_alloc(sizeof(*handle));

	if (handle)
		handle_init(handle, loop, fn, arg, destroy, HANDLE_REMOTE);
	return handle;
}

void handle_post_remote(async_handle *handle)
{
	inbox_push(handle);
}

int async_loop_call_soon_threadsafe_with(async_loop *loop, async_callback *fn, void *arg,
					 const struct async_call_options *given)
{
	struct async_call_options options;
	int error = get_options(given, &options);

	if (error)
		return error;
	error = loop && fn ? atomic_load(&loop->refuses) : -EINVAL;
	if (error)
		return failed(error, &options, arg);
	async_handle *handle = handle_new_remote(loop, fn, arg, options.destroy);
	if (!handle)
		return failed(-ENOMEM, &options, arg);
	handle_post_remote(handle);
	return 0;
}

int async_loop_call_soon_threadsafe(async_loop *loop, async_callback *fn, void *arg)
{
	return async_loop_call_soon_threadsafe_with(loop, fn, arg, NULL);
}

int handle_prepare(async_loop *loop, async_callback *fn, void *arg, bool waker, async_handle **ret_handle)
{
	int error = !loop || !fn || !ret_handle ? -EINVAL : loop_check(loop);

	if (error)
		return error;
	async_handle *handle = mem_alloc(sizeof(*handle));
	if (!handle)
		return -ENOMEM;
	handle_init(handle, loop, fn, arg, NULL, HANDLE_PREPARED);
	handle->waker = waker;
	loop->wakers += waker;
	*ret_handle = handle;
	return 0;
}

int async_handle_new_with(async_loop *loop, async_callback *fn, void *arg, const struct async_call_options *given,
			  async_handle **ret_handle)
{
	struct async_call_options options;
	int error = get_options(given, &options);

	if (error)
		return error;
	error = handle_prepare(loop, fn, arg, true, ret_handle);
	if (error)
		return failed(error, &options, arg);
	(*ret_handle)->destroy = options.destroy;
	return 0;
}

int async_handle_new(async_loop *loop, async_callback *fn, void *arg, async_handle **ret_handle)
{
	return async_handle_new_with(loop, fn, arg, NULL, ret_handle);
}

int async_handle_post(async_handle *handle)
{
	if (!handle || handle->origin != HANDLE_PREPARED)
		return -EINVAL;
	int refuses = atomic_load(&handle->loop->refuses);
	if (refuses)
		return refuses;
	if (!atomic_exchange(&handle->posted, true))
		inbox_push(handle);
	return 0;
}

void async_handle_cancel(async_handle *handle)
{
	if (!handle || handle->cancelled || loop_forked(handle->loop))
		return;
	handle->cancelled = true;
	/* The argument of a prepared one may be in use: by the callback that cancels it. */
	if (handle->origin != HANDLE_PREPARED)
		destroy_arg(handle);
	if (!heap_has(&handle->timer.node))
		return;
	timer_disarm(handle->loop, &handle->timer);
	handle_unref(handle);
}

bool async_handle_cancelled(const async_handle *handle)
{
	return handle && handle->cancelled;
}

void async_handle_release(async_handle *handle)
{
	if (!handle)
		return;
	/* In a forked child the argument is the parent's, who destroys it. Elsewhere the loop may be gone already. */
	if (forked && handle->destroy && loop_forked(handle->loop))
		handle->destroy = NULL;
	/* A handle in the inbox has no reference of it: that must not be the last one's end. */
	if (atomic_load_explicit(&handle->posted, memory_order_relaxed))
		handle_take_inbox(handle->loop);
	handle_unref(handle);
}
