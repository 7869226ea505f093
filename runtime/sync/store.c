/* SPDX-License-Identifier: MIT */
#include "sync/store.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "context/exceptions.h"

#define FIRST_CAPACITY 16

void store_init(struct store *store, enum async_queue_order order, async_queue_compare *compare)
{
	*store = (struct store){.order = (uint8_t)order};
	if (order == ASYNC_QUEUE_PRIORITY)
		store->compare = compare;
}

void store_free(struct store *store)
{
	mem_free(store->order == ASYNC_QUEUE_PRIORITY ? (void *)store->heap : (void *)store->ring);
}

/* What had wrapped round to the beginning of the ring goes behind its old end, which has room for all of it. */
static void unwrap(struct store *store)
{
	memcpy(store->ring + store->capacity, store->ring, store->head * sizeof(*store->ring));
}

int store_grow(struct store *store)
{
	size_t capacity = store->capacity ? 2 * store->capacity : FIRST_CAPACITY;

	if (store->order == ASYNC_QUEUE_PRIORITY) {
		struct ranked *heap = mem_realloc_array(store->heap, capacity, sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		store->heap = heap;
	} else {
		void **ring = mem_realloc_array(store->ring, capacity, sizeof(*ring));

		if (!ring)
			return -ENOMEM;
		store->ring = ring;
		unwrap(store);
	}
	store->capacity = capacity;
	return 0;
}

static bool before(const struct store *store, const struct ranked *a, const struct ranked *b)
{
	int order = store->compare ? FENCED_VALUE(store->compare(a->item, b->item))
				   : (a->priority > b->priority) - (a->priority < b->priority);

	return order ? order < 0 : a->sequence < b->sequence;
}

void store_heap_push(struct store *store, void *item, int64_t priority)
{
	struct ranked added = {item, priority, store->sequence++};
	size_t i = store->count++;

	while (i > 0 && before(store, &added, &store->heap[(i - 1) / 2])) {
		store->heap[i] = store->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	store->heap[i] = added;
}

void *store_heap_pop(struct store *store)
{
	void *item = store->heap[0].item;
	struct ranked last = store->heap[--store->count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < store->count) {
		if (child + 1 < store->count && before(store, &store->heap[child + 1], &store->heap[child]))
			child++;
		if (!before(store, &store->heap[child], &last))
			break;
		store->heap[i] = store->heap[child];
		i = child;
	}
	store->heap[i] = last;
	return item;
}
