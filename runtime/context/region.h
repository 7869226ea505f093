/* SPDX-License-Identifier: MIT */
/*
 * One reserved range of address space that slots of a stack class are taken from, in order. The reservation is
 * PROT_NONE and costs nothing; memory and guards come in chunks as slots are needed.
 */
#ifndef CONTEXT_REGION_H
#define CONTEXT_REGION_H

#include "context/stack.h"

struct stack_region {
	char *start;    /* aligned to a slot */
	size_t slots;   /* that were reserved */
	size_t opened;  /* that have memory and a guard */
	size_t next;    /* the first that was never handed out */
	unsigned shift; /* log2 of a slot's size */
	bool madvise;   /* guards are MADV_GUARD_INSTALL */
	struct stack_region *older;
	void *mapping;  /* what was reserved, one slot more than `slots` */
	size_t mapping_size;
	size_t directory_index;
};

/* NULL without address space. */
struct stack_region *region_new(unsigned shift, enum stack_guard guard);
void region_free(struct stack_region *region);
/* A slot that was never handed out; NULL if the region is used up, or without memory or mappings. */
void *region_take(struct stack_region *region);
static inline bool region_full(const struct stack_region *region)
{
	return region->next == region->slots;
}

#endif
