/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. A table is an array of pairs, sorted by the address of the key, that is copied when somebody sets a value
 * in one that others share. So inheriting is a reference, getting a binary search, and what setting costs is
 * paid by those who set.
 */
#include "core/local.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "core/schedule.h"

struct pair {
	const struct async_local *key;
	void *value;
};

struct locals {
	atomic_uint refs;
	unsigned count, capacity;
	struct pair pairs[];
};

__thread struct locals *locals_of_thread;

struct locals *locals_share(struct locals *locals)
{
	atomic_fetch_add_explicit(&locals->refs, 1, memory_order_relaxed);
	return locals;
}

void locals_drop(struct locals *locals)
{
	if (atomic_fetch_sub_explicit(&locals->refs, 1, memory_order_acq_rel) == 1)
		mem_free(locals);
}

/* Where the table of whoever runs now is kept. */
static struct locals **current(void)
{
	struct task *task = task_current();

	return task ? &task->locals : &locals_of_thread;
}

struct locals *locals_capture(void)
{
	return locals_ref(*current());
}

/* The thread's own table goes with the thread. */
static pthread_key_t thread_end;

static void drop_at_thread_end(void *unused)
{
	(void)unused;
	locals_unref(locals_enter(NULL));
}

static void make_thread_end(void)
{
	pthread_key_create(&thread_end, drop_at_thread_end);
}

static void watch_thread_end(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_thread_end);
	pthread_setspecific(thread_end, &thread_end);
}

/* The index of a key, or where it would be. */
static unsigned find(const struct locals *locals, const struct async_local *key)
{
	unsigned low = 0, high = locals->count;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if ((uintptr_t)locals->pairs[middle].key < (uintptr_t)key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool has(const struct locals *locals, unsigned index, const struct async_local *key)
{
	return index < locals->count && locals->pairs[index].key == key;
}

/* Makes the table in `*slot` one that may be changed, with room for `count` pairs. */
static int make_own(struct locals **slot, unsigned count)
{
	struct locals *old = *slot;

	/* Nobody else can get a reference while there is but one, which is ours. */
	if (old && atomic_load_explicit(&old->refs, memory_order_acquire) == 1 && old->capacity >= count)
		return 0;
	unsigned capacity = count <= 4 ? 4 : count + count / 2;
	struct locals *copy = mem_alloc(sizeof(*copy) + capacity * sizeof(copy->pairs[0]));
	if (!copy)
		return -ENOMEM;
	atomic_init(&copy->refs, 1);
	copy->capacity = capacity;
	copy->count = old ? old->count : 0;
	if (old)
		memcpy(copy->pairs, old->pairs, old->count * sizeof(copy->pairs[0]));
	locals_unref(old);
	*slot = copy;
	return 0;
}

static int insert(struct locals **slot, unsigned index, const struct async_local *key, void *value)
{
	unsigned count = *slot ? (*slot)->count : 0;

	if (count == ASYNC_LOCAL_MAX)
		return -ENOSPC;
	int error = make_own(slot, count + 1);
	if (error)
		return error;
	struct pair *pairs = (*slot)->pairs;
	memmove(&pairs[index + 1], &pairs[index], (count - index) * sizeof(*pairs));
	pairs[index] = (struct pair){key, value};
	(*slot)->count++;
	if (slot == &locals_of_thread)
		watch_thread_end();
	return 0;
}

void *async_local_get(const struct async_local *local)
{
	struct locals *locals = *current();

	if (!local)
		return NULL;
	unsigned index = locals ? find(locals, local) : 0;
	return locals && has(locals, index, local) ? locals->pairs[index].value : local->initial;
}

int async_local_set(const struct async_local *local, void *value, void **ret_previous)
{
	struct locals **slot = current();

	if (!local)
		return -EINVAL;
	unsigned index = *slot ? find(*slot, local) : 0;
	bool present = *slot && has(*slot, index, local);
	void *previous = present ? (*slot)->pairs[index].value : local->initial;
	int error = 0;
	if (value != previous)
		error = present ? make_own(slot, (*slot)->count) : insert(slot, index, local, value);
	if (error)
		return error;
	if (present)
		(*slot)->pairs[index].value = value;
	if (ret_previous)
		*ret_previous = previous;
	return 0;
}
