/* SPDX-License-Identifier: MIT */
#include "context/stack.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "context/region.h"
#include "context/sanitizer.h"

/* So many slots give their memory back in one call of stack_pool_trim: a pause of some 0.3 ms. */
#define TRIM_BATCH 2048

atomic_size_t stack_page_bytes = 4096;

void stack_pool_init(struct stack_pool *pool, enum stack_guard guard)
{
	memset(pool, 0, sizeof(*pool));
	pool->guard = guard;
	atomic_store_explicit(&stack_page_bytes, (size_t)sysconf(_SC_PAGESIZE), memory_order_relaxed);
}

static void unregister(struct stack_header *stack)
{
	if (sanitizer_on_valgrind() && stack->valgrind_id)
		sanitizer_stack_deregister(stack->valgrind_id - 1);
}

void stack_pool_destroy(struct stack_pool *pool)
{
	for (unsigned class = 0; class < STACK_CLASSES; class++) {
		struct stack_region *region = pool->classes[class].region;

		while (region) {
			struct stack_region *older = region->older;

			for (size_t i = 0; sanitizer_on_valgrind() && i < region->next; i++)
				unregister(stack_header(region->start + (i << region->shift), class));
			region_free(region);
			region = older;
		}
		mem_free(pool->classes[class].free);
	}
	stack_pool_init(pool, pool->guard);
}

/* Slots are thought of with a guard of 4 KiB: what a larger page takes beyond that is added. */
#define GUARD_BYTES 4096

int stack_class_for(size_t size)
{
	if (size < (size_t)1 << STACK_SHIFT_MIN || size > (size_t)1 << STACK_SHIFT_MAX)
		return -1;
	if (stack_page_size() > GUARD_BYTES)
		size += stack_page_size() - GUARD_BYTES;
	int number = 64 - __builtin_clzll(size - 1) - STACK_SHIFT_MIN;
	return number < STACK_CLASSES ? number : STACK_CLASSES - 1;
}

/* Room in `free` for every stack that was ever handed out, so that giving back cannot fail. */
static bool reserve_free_list(struct stack_class *class)
{
	size_t stacks = 1;

	for (struct stack_region *r = class->region; r; r = r->older)
		stacks += r->next;
	if (stacks <= class->free_capacity)
		return true;
	size_t capacity = class->free_capacity ? class->free_capacity * 2 : 64;
	struct stack_header **grown = mem_realloc_array(class->free, capacity, sizeof(struct stack_header *));

	if (!grown)
		return false;
	class->free = grown;
	class->free_capacity = capacity;
	return true;
}

/* A stack that was never used, or has given its memory back, is new to the tools. */
static void announce(struct stack_header *stack, unsigned number)
{
	if (sanitizer_on_valgrind())
		stack->valgrind_id = sanitizer_stack_register(stack_bottom(stack, number), stack) + 1;
}

static noinline struct stack_header *take_fresh(struct stack_pool *pool, unsigned number)
{
	struct stack_class *class = &pool->classes[number];

	if (!reserve_free_list(class))
		return NULL;
	if (!class->region || region_full(class->region)) {
		struct stack_region *region = region_new(number + STACK_SHIFT_MIN, pool->guard);

		if (!region)
			return NULL;
		region->older = class->region;
		class->region = region;
	}
	char *base = region_take(class->region);
	if (!base)
		return NULL;
	struct stack_header *stack = stack_header(base, number);
	announce(stack, number);
	return stack;
}

struct stack_header *stack_alloc(struct stack_pool *pool, unsigned number, const void *label)
{
	struct stack_class *class = &pool->classes[number];
	struct stack_header *stack;

	if (likely(class->free_count > 0)) {
		stack = class->free[--class->free_count];
		if (class->free_count < class->free_low)
			class->free_low = class->free_count;
		/* The one after the next: a burst of tasks finds its stacks in the cache. */
		if (class->free_count > 2)
			stack_prefetch((const char *)class->free[class->free_count - 3] - STACK_WORKING_SET);
		if (unlikely(class->free_count < class->clean)) {
			class->clean = class->free_count;
			announce(stack, number);
		}
	} else {
		stack = take_fresh(pool, number);
		if (!stack)
			return NULL;
	}
	stack->label = label;
	return stack;
}

void stack_free(struct stack_pool *pool, unsigned number, struct stack_header *stack)
{
	struct stack_class *class = &pool->classes[number];

	stack->label = NULL;
	class->free[class->free_count++] = stack;
}

static void give_back(struct stack_header *stack, unsigned number)
{
	unregister(stack);
	madvise(stack_bottom(stack, number), stack_class_size(number) - stack_page_size(), MADV_DONTNEED);
}

bool stack_pool_idle(const struct stack_pool *pool)
{
	size_t idle = 0;

	for (unsigned number = 0; number < STACK_CLASSES; number++)
		idle += pool->classes[number].free_count - pool->classes[number].clean;
	return idle > STACK_IDLE_KEEP;
}

enum stack_trim stack_pool_trim(struct stack_pool *pool)
{
	size_t budget = TRIM_BATCH;

	for (unsigned number = 0; number < STACK_CLASSES; number++) {
		struct stack_class *class = &pool->classes[number];
		size_t idle = class->free_low > STACK_IDLE_KEEP ? class->free_low - STACK_IDLE_KEEP : 0;

		while (class->clean < idle && budget > 0) {
			give_back(class->free[class->clean++], number);
			budget--;
		}
		if (class->clean < idle)
			return TRIM_MORE;
		/* A new period begins: only what stays idle through it is next. */
		class->free_low = class->free_count;
	}
	return stack_pool_idle(pool) ? TRIM_LATER : TRIM_DONE;
}

void stack_paint(struct stack_header *stack, unsigned class)
{
	uint64_t *word = stack_bottom(stack, class);

	while (word < (uint64_t *)stack)
		*word++ = STACK_PAINT;
}

static size_t painted_use(const uint64_t *bottom, const uint64_t *top)
{
	const uint64_t *word = bottom;

	sanitizer_defined(bottom, (size_t)((const char *)top - (const char *)bottom));
	while (word < top && *word == STACK_PAINT)
		word++;
	return (size_t)(top - word) * sizeof(*word);
}

size_t stack_used(struct stack_header *stack, unsigned class, bool painted)
{
	char *bottom = stack_bottom(stack, class), *top = (char *)stack;
	size_t page = stack_page_size();
	unsigned char resident = 0;

	if (painted)
		return painted_use((uint64_t *)bottom, (uint64_t *)top);
	while (bottom + page < top && (mincore(bottom, page, &resident) < 0 || !(resident & 1)))
		bottom += page;
	return (size_t)(stack_base(stack, class) + stack_class_size(class) - bottom);
}
