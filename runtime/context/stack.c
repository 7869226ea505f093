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
#define PAINT 0x5afe57acc0ffee00u

size_t stack_page_size(void)
{
	static size_t size;

	if (unlikely(!size))
		size = (size_t)sysconf(_SC_PAGESIZE);
	return size;
}

void stack_pool_init(struct stack_pool *pool, enum stack_guard guard)
{
	memset(pool, 0, sizeof(*pool));
	pool->guard = guard;
}

static void unregister(void *base, unsigned class)
{
	if (sanitizer_on_valgrind() && stack_header(base, class)->valgrind_id)
		sanitizer_stack_deregister(stack_header(base, class)->valgrind_id - 1);
}

void stack_pool_destroy(struct stack_pool *pool)
{
	for (unsigned class = 0; class < STACK_CLASSES; class++) {
		struct stack_region *region = pool->classes[class].region;

		while (region) {
			struct stack_region *older = region->older;

			for (size_t i = 0; sanitizer_on_valgrind() && i < region->next; i++)
				unregister(region->start + (i << region->shift), class);
			region_free(region);
			region = older;
		}
		mem_free(pool->classes[class].free);
	}
	stack_pool_init(pool, pool->guard);
}

int stack_class_for(size_t size)
{
	if (size < (size_t)1 << STACK_SHIFT_MIN || size > (size_t)1 << STACK_SHIFT_MAX)
		return -1;
	unsigned shift = 64 - (unsigned)__builtin_clzll(size - 1);
	return (int)(shift < STACK_SHIFT_MIN ? STACK_SHIFT_MIN : shift) - STACK_SHIFT_MIN;
}

/* Room in `free` for every slot that was ever handed out, so that giving back cannot fail. */
static bool reserve_free_list(struct stack_class *class, size_t slots)
{
	if (slots <= class->free_capacity)
		return true;
	size_t capacity = class->free_capacity ? class->free_capacity * 2 : 64;
	void **grown = mem_realloc_array(class->free, capacity, sizeof(*grown));

	if (!grown)
		return false;
	class->free = grown;
	class->free_capacity = capacity;
	return true;
}

static noinline void *take_fresh(struct stack_pool *pool, unsigned number)
{
	struct stack_class *class = &pool->classes[number];
	size_t taken = 0;

	for (struct stack_region *r = class->region; r; r = r->older)
		taken += r->next;
	if (!reserve_free_list(class, taken + 1))
		return NULL;
	if (!class->region || region_full(class->region)) {
		struct stack_region *region = region_new(number + STACK_SHIFT_MIN, pool->guard);

		if (!region)
			return NULL;
		region->older = class->region;
		class->region = region;
	}
	return region_take(class->region);
}

void *stack_alloc(struct stack_pool *pool, unsigned number, const void *label)
{
	struct stack_class *class = &pool->classes[number];
	void *base;
	bool fresh = true;

	if (likely(class->free_count > 0)) {
		base = class->free[--class->free_count];
		if (class->free_count < class->free_low)
			class->free_low = class->free_count;
		fresh = class->free_count < class->clean;
		if (fresh)
			class->clean = class->free_count;
		else
			pool->idle--;
	} else {
		base = take_fresh(pool, number);
		if (!base)
			return NULL;
	}
	pool->used++;
	struct stack_header *header = stack_header(base, number);
	if (unlikely(fresh) && sanitizer_on_valgrind())
		header->valgrind_id = sanitizer_stack_register(stack_bottom(base), header) + 1;
	header->label = label;
	return base;
}

void stack_free(struct stack_pool *pool, unsigned number, void *base)
{
	struct stack_class *class = &pool->classes[number];

	stack_header(base, number)->label = NULL;
	class->free[class->free_count++] = base;
	pool->idle++;
	pool->used--;
}

static void give_back(void *base, unsigned number)
{
	unregister(base, number);
	madvise(stack_bottom(base), stack_class_size(number) - stack_page_size(), MADV_DONTNEED);
}

bool stack_pool_trim(struct stack_pool *pool)
{
	size_t budget = TRIM_BATCH;

	for (unsigned number = 0; number < STACK_CLASSES; number++) {
		struct stack_class *class = &pool->classes[number];
		size_t idle = class->free_low > STACK_IDLE_KEEP ? class->free_low - STACK_IDLE_KEEP : 0;

		while (class->clean < idle && budget > 0) {
			give_back(class->free[class->clean++], number);
			pool->idle--;
			budget--;
		}
		/* Unless the batch ran out, a new period begins: only what stays idle through it is next. */
		if (class->clean >= idle)
			class->free_low = class->free_count;
	}
	return stack_pool_idle(pool);
}

void stack_paint(void *base, unsigned class)
{
	uint64_t *word = stack_bottom(base), *top = stack_top(base, class);

	while (word < top)
		*word++ = PAINT;
}

static size_t painted_use(const uint64_t *bottom, const uint64_t *top)
{
	const uint64_t *word = bottom;

	while (word < top && *word == PAINT)
		word++;
	return (size_t)(top - word) * sizeof(*word);
}

size_t stack_used(void *base, unsigned class, bool painted)
{
	char *bottom = stack_bottom(base), *top = stack_top(base, class);
	size_t page = stack_page_size();
	unsigned char resident = 0;

	if (painted)
		return painted_use((uint64_t *)bottom, (uint64_t *)top);
	while (bottom + page < top && (mincore(bottom, page, &resident) < 0 || !(resident & 1)))
		bottom += page;
	return (size_t)((char *)base + stack_class_size(class) - bottom);
}
