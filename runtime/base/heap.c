/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include <errno.h>

#include "base/compiler.h"
#include "base/memory.h"

#define ARITY 4
#define CAPACITY_MIN 64

static always_inline bool before(const struct heap_slot *a, const struct heap_slot *b)
{
	return a->key < b->key || (a->key == b->key && a->sequence < b->sequence);
}

static always_inline void place(struct heap *heap, uint32_t index, struct heap_slot slot)
{
	heap->slots[index] = slot;
	slot.node->index = index;
}

static void sift_up(struct heap *heap, uint32_t index, struct heap_slot slot)
{
	while (index > 0) {
		uint32_t parent = (index - 1) / ARITY;

		if (!before(&slot, &heap->slots[parent]))
			break;
		place(heap, index, heap->slots[parent]);
		index = parent;
	}
	place(heap, index, slot);
}

static void sift_down(struct heap *heap, uint32_t index, struct heap_slot slot)
{
	for (;;) {
		uint64_t first = (uint64_t)index * ARITY + 1;
		uint64_t end = first + ARITY < heap->count ? first + ARITY : heap->count;

		if (first >= end)
			break;
		uint32_t least = (uint32_t)first;
		for (uint32_t child = least + 1; child < end; child++)
			if (before(&heap->slots[child], &heap->slots[least]))
				least = child;
		if (!before(&heap->slots[least], &slot))
			break;
		place(heap, index, heap->slots[least]);
		index = least;
	}
	place(heap, index, slot);
}

static bool resize(struct heap *heap, uint32_t capacity)
{
	struct heap_slot *slots = mem_realloc_array(heap->slots, capacity, sizeof(*slots));

	if (!slots)
		return false;
	heap->slots = slots;
	heap->capacity = capacity;
	return true;
}

void heap_destroy(struct heap *heap)
{
	mem_free(heap->slots);
	*heap = (struct heap){0};
}

int heap_insert(struct heap *heap, struct heap_node *node, int64_t key)
{
	if (unlikely(heap->count == heap->capacity)) {
		uint32_t capacity = heap->capacity ? heap->capacity * 2 : CAPACITY_MIN;

		if (heap->capacity > UINT32_MAX / 2 || !resize(heap, capacity))
			return -ENOMEM;
	}
	sift_up(heap, heap->count++, (struct heap_slot){key, heap->sequence++, node});
	return 0;
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	uint32_t index = node->index;
	struct heap_slot last = heap->slots[--heap->count];

	node->index = HEAP_NOWHERE;
	if (index < heap->count) {
		if (index > 0 && before(&last, &heap->slots[(index - 1) / ARITY]))
			sift_up(heap, index, last);
		else
			sift_down(heap, index, last);
	}
	/* A burst of timers does not keep its memory; without memory to shrink, it does. */
	if (unlikely(heap->capacity > CAPACITY_MIN && heap->count < heap->capacity / 8))
		resize(heap, heap->capacity / 2);
}

struct heap_node *heap_pop(struct heap *heap)
{
	struct heap_node *node = heap->slots[0].node;

	heap_remove(heap, node);
	return node;
}
