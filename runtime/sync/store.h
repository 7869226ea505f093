/* SPDX-License-Identifier: MIT */
/*
 * What is inside a queue: a ring for the two orders of arrival, a heap for priorities. Both grow by doubling.
 */
#ifndef SYNC_STORE_H
#define SYNC_STORE_H

#include <async/queue.h>

#include "base/compiler.h"

struct ranked {
	void *item;
	int64_t priority;
	uint64_t sequence; /* equal ones come out in the order of this */
};

struct store {
	uint8_t order; /* enum async_queue_order */
	size_t count;
	size_t capacity; /* a power of two, or 0 */
	union {
		struct {
			void **ring;
			size_t head; /* where the first item is */
		};
		struct {
			struct ranked *heap;
			uint64_t sequence;
			async_queue_compare *compare; /* NULL: by priority */
		};
	};
};

void store_init(struct store *store, enum async_queue_order order, async_queue_compare *compare);
void store_free(struct store *store);

/* Makes room for more. Returns 0 or -ENOMEM. */
int store_grow(struct store *store);
void store_heap_push(struct store *store, void *item, int64_t priority);
void *store_heap_pop(struct store *store);

/* Returns 0 or -ENOMEM. */
static always_inline int store_push(struct store *store, void *item, int64_t priority)
{
	if (unlikely(store->count == store->capacity)) {
		int error = store_grow(store);

		if (error)
			return error;
	}
	if (unlikely(store->order == ASYNC_QUEUE_PRIORITY))
		store_heap_push(store, item, priority);
	else
		store->ring[(store->head + store->count++) & (store->capacity - 1)] = item;
	return 0;
}

/* The next item, taken out. There is one. */
static always_inline void *store_pop(struct store *store)
{
	if (unlikely(store->order == ASYNC_QUEUE_PRIORITY))
		return store_heap_pop(store);
	store->count--;
	if (unlikely(store->order == ASYNC_QUEUE_LIFO))
		return store->ring[store->count];
	void *item = store->ring[store->head];
	store->head = (store->head + 1) & (store->capacity - 1);
	return item;
}

#endif
