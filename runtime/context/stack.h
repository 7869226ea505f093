/* SPDX-License-Identifier: MIT */
/*
 * Stacks: one large reserved mapping for each size, cut into slots, a guard page at the bottom of each.
 *
 *     slot (64 KiB)  | guard 4 KiB |  stack, grows downwards  <---| header | colour, up to 1.9 KiB |
 *                    base          bottom                        top                         base + size
 *
 * A stack is known by its header, which is where it begins. Slots are aligned to their size, so the rest follows.
 *
 * Tops are coloured: if all were at the same offset of a page, they would compete for the same few cache lines
 * (14 against 6.6 ns a switch with 1,000 tasks). A stack costs the one page that its task touches.
 *
 * Free slots are reused last in, first out, so that a short-lived task finds a warm stack. What was not used for
 * a while gives its memory back (stack_pool_trim).
 */
#ifndef CONTEXT_STACK_H
#define CONTEXT_STACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context/sanitizer.h"

/* Sizes are powers of two from 16 KiB to 1 GiB. */
#define STACK_SHIFT_MIN 14
#define STACK_SHIFT_MAX 30
/* Fewer idle slots than this are not worth a system call each. */
#define STACK_IDLE_KEEP 64
#define STACK_CLASSES (STACK_SHIFT_MAX - STACK_SHIFT_MIN + 1)

/* What stack_paint fills a stack with. */
#define STACK_PAINT UINT64_C(0x5afe57acc0ffee00)

/* How guards are made. */
enum stack_guard {
	STACK_GUARD_AUTO,     /* the first that works */
	STACK_GUARD_MADVISE,  /* MADV_GUARD_INSTALL, Linux 6.13: costs no mapping */
	STACK_GUARD_MPROTECT, /* two mappings a stack: vm.max_map_count ends at some 32,000 */
};

/* What a slot carries at the top of its stack. */
struct stack_header {
	/* These end the cache line in which the first frame begins. */
	const void *label; /* whose stack it is, for the report of an overflow; NULL while free */
	unsigned valgrind_id;
	/* The owner's accounts, in the next line, which is touched only if they are kept. Here they share the page that
	 * the stack has anyway. */
	int64_t since;     /* when the owner last got or left the processor; ns */
	int64_t ran;       /* how long it has had it */
	uint64_t switches; /* how often it got it */
	struct sanitizer_fiber fiber;
};

struct stack_region;

/* The stacks of one size. */
struct stack_class {
	struct stack_region *region; /* the newest; slots come from here */
	struct stack_header **free;  /* to reuse, latest last */
	size_t free_count, free_capacity;
	size_t free_low;             /* the least of free_count since the last trim */
	size_t clean;                /* so many at the start of `free` hold no memory */
};

struct stack_pool {
	struct stack_class classes[STACK_CLASSES];
	enum stack_guard guard;
};

void stack_pool_init(struct stack_pool *pool, enum stack_guard guard);
/* Unmaps everything, stacks in use too. */
void stack_pool_destroy(struct stack_pool *pool);

/* The class for stacks of at least `size` bytes; -1 if that is outside the limits. */
int stack_class_for(size_t size);
static inline size_t stack_class_size(unsigned class)
{
	return (size_t)1 << (class + STACK_SHIFT_MIN);
}

/* Hands out a stack, or NULL without memory, address space or mappings. `label` must stay readable until the stack
 * is given back or the label is cleared. */
struct stack_header *stack_alloc(struct stack_pool *pool, unsigned class, const void *label);
/* Takes it back. The caller may still stand on it, as long as nothing is handed out meanwhile. */
void stack_free(struct stack_pool *pool, unsigned class, struct stack_header *stack);

/* Whether enough memory lies idle to bother. */
bool stack_pool_idle(const struct stack_pool *pool);
enum stack_trim {
	TRIM_DONE,
	TRIM_LATER, /* what lies idle is to be looked at after another period */
	TRIM_MORE,  /* the limit was reached: call again soon */
};

/* Gives memory back of stacks that were free ever since the last call, a limited number at a time. */
enum stack_trim stack_pool_trim(struct stack_pool *pool);

extern atomic_size_t stack_page_bytes; /* set by every stack_pool_init, to the same */
static inline size_t stack_page_size(void)
{
	return atomic_load_explicit(&stack_page_bytes, memory_order_relaxed);
}

/* The header of the slot at `base`: sixteen colours of 128 bytes, from the slot's number. */
static inline struct stack_header *stack_header(void *base, unsigned class)
{
	size_t colour = ((uintptr_t)base >> (class + STACK_SHIFT_MIN) & 15) * 128;
	char *line = (char *)base + stack_class_size(class) - colour - 64;

	return (struct stack_header *)(line - offsetof(struct stack_header, since));
}

static inline char *stack_base(struct stack_header *stack, unsigned class)
{
	return (char *)((uintptr_t)stack & ~(stack_class_size(class) - 1));
}

/* The lowest byte that may be used. */
static inline void *stack_bottom(struct stack_header *stack, unsigned class)
{
	return stack_base(stack, class) + stack_page_size();
}

/* Fills the stack, so that stack_used can tell exactly. */
void stack_paint(struct stack_header *stack, unsigned class);
/* The most that was used, guard not included: exact if the stack was painted, else in touched pages. */
size_t stack_used(struct stack_header *stack, unsigned class, bool painted);

/* What a parked task with a few frames has of its stack, and how to fetch it in advance. */
#define STACK_WORKING_SET 192
static inline void stack_prefetch(const char *low)
{
	for (int offset = 0; offset <= STACK_WORKING_SET; offset += 64)
		__builtin_prefetch(low + offset, 1);
}

/* What a sanitizer knows of the stack that `address` is in; NULL if it is in none. */
struct sanitizer_fiber *stack_fiber(const void *address);

/* Finds the slot that has `address` in its guard page. Safe in a signal handler. Returns its class, or -1. */
int stack_find_guard(const void *address, void **ret_base);

/* The guard that AUTO means on this kernel, and why not the better one ("" if it is). Static strings. */
enum stack_guard stack_guard_probe(const char **ret_reason);

#endif
