/* SPDX-License-Identifier: MIT */
/* Stacks: where they lie, what guards them, who gets which, and what comes back to the kernel. */
#include "stack_peers.h"

#include <sys/mman.h>

/* Sizes */

static void sizes_have_classes(void **state)
{
	(void)state;
	assert_int_equal(stack_class_for(0), -1);
	assert_int_equal(stack_class_for(1), -1);
	assert_int_equal(stack_class_for(((size_t)16 << 10) - 1), -1);
	assert_int_equal(stack_class_for((size_t)16 << 10), 0);
	assert_int_equal(stack_class_for(((size_t)16 << 10) + 1), 1);
	assert_int_equal(stack_class_for((size_t)32 << 10), 1);
	assert_int_equal(stack_class_for((size_t)64 << 10), CLASS);
	assert_int_equal(stack_class_for((size_t)1 << 30), STACK_CLASSES - 1);
	assert_int_equal(stack_class_for(((size_t)1 << 30) + 1), -1);
	assert_int_equal(stack_class_for(SIZE_MAX), -1);
	for (unsigned class = 0; class < STACK_CLASSES; class++)
		assert_int_equal(stack_class_for(stack_class_size(class)), class);
}

/* A guard is one page, however large: the stack above it is as large as elsewhere. */
static void large_pages_leave_room(void **state)
{
	size_t page = stack_page_size();

	(void)state;
	for (size_t large = (size_t)16 << 10; large <= (size_t)64 << 10; large *= 2) {
		atomic_store(&stack_page_bytes, large);
		for (size_t size = (size_t)16 << 10; size <= (size_t)1 << 29; size *= 2)
			assert_true(stack_class_size((unsigned)stack_class_for(size)) - large >= size - 4096);
		assert_int_equal(stack_class_for((size_t)1 << 30), STACK_CLASSES - 1);
		assert_int_equal(stack_class_for(((size_t)16 << 10) - 1), -1);
	}
	atomic_store(&stack_page_bytes, page);
}

/* Every size: a few stacks that do not overlap, aligned, writable up to the guard. */
static void lay_out(void)
{
	enum stack_guard guard = pool.guard;
	/* valgrind takes minutes to note that so much memory was mapped. */
	unsigned classes = under_tool("valgrind") ? 12 : STACK_CLASSES;

	for (unsigned class = 0; class < classes; class++) {
		struct stack_header *stacks[5];

		/* It has no room for the reservations of all of them, either. */
		stack_pool_destroy(&pool);
		stack_pool_init(&pool, guard);
		for (size_t i = 0; i < countof(stacks); i++) {
			stacks[i] = take(class);
			assert_int_equal((uintptr_t)stacks[i] % 16, 0);
			assert_int_equal((uintptr_t)stack_base(stacks[i], class) % stack_class_size(class), 0);
			assert_guarded(stacks[i], class);
			for (size_t j = 0; j < i; j++)
				assert_ptr_not_equal(stack_base(stacks[i], class), stack_base(stacks[j], class));
			/* What is lost at the top is no more than the colours and the header. */
			char *top = stack_base(stacks[i], class) + stack_class_size(class);
			assert_in_range((uintptr_t)(top - (char *)stacks[i]), sizeof(struct stack_header), 2048);
		}
	}
}

static void stacks_of_every_size_are_guarded(void **state)
{
	(void)state;
	for_each_guard(lay_out);
}

static void guards_are_forgotten_with_their_pool(void **state)
{
	struct stack_pool other;
	void *found;

	(void)state;
	stack_pool_init(&pool, STACK_GUARD_AUTO);
	stack_pool_init(&other, STACK_GUARD_AUTO);
	char *mine = stack_base(take(CLASS), CLASS), *theirs = stack_base(stack_alloc(&other, CLASS, NULL), CLASS);
	stack_pool_destroy(&other);
	assert_int_equal(stack_find_guard(theirs, &found), -1);
	assert_int_equal(stack_find_guard(mine, &found), CLASS);
	stack_pool_destroy(&pool);
	assert_int_equal(stack_find_guard(mine, &found), -1);
	assert_int_equal(stack_find_guard(NULL, &found), -1);
	assert_int_equal(stack_find_guard(&found, &found), -1);
}

static void probe_gives_a_reason(void **state)
{
	const char *reason = NULL;
	enum stack_guard guard = stack_guard_probe(&reason);

	(void)state;
	assert_non_null(reason);
	assert_int_equal(guard, *reason ? STACK_GUARD_MPROTECT : STACK_GUARD_MADVISE);
}

/* Who gets which */

static void reuse_latest(void)
{
	struct stack_header *a = take(CLASS), *b = take(CLASS), *c = take(CLASS), *small = take(CLASS_SMALL);

	stack_free(&pool, CLASS, a);
	stack_free(&pool, CLASS_SMALL, small);
	stack_free(&pool, CLASS, c);
	stack_free(&pool, CLASS, b);
	assert_ptr_equal(take(CLASS), b);
	assert_ptr_equal(take(CLASS), c);
	assert_ptr_equal(take(CLASS), a);
	assert_ptr_equal(take(CLASS_SMALL), small);
	struct stack_header *fresh = take(CLASS);
	assert_true(fresh != a && fresh != b && fresh != c);
}

static void latest_is_reused_first(void **state)
{
	(void)state;
	for_each_guard(reuse_latest);
}

static void tops_are_coloured(void **state)
{
	unsigned seen = 0;

	(void)state;
	stack_pool_init(&pool, STACK_GUARD_AUTO);
	for (int i = 0; i < 16; i++)
		seen |= 1u << (((uintptr_t)take(CLASS) + sizeof(struct stack_header)) % 2048 / 128);
	/* Sixteen neighbours, sixteen places in a page. */
	assert_int_equal(seen, 0xffff);
	stack_pool_destroy(&pool);
}

static void labels_last_as_long_as_the_stack_is_out(void **state)
{
	int label;

	(void)state;
	stack_pool_init(&pool, STACK_GUARD_AUTO);
	struct stack_header *stack = stack_alloc(&pool, CLASS, &label);
	assert_ptr_equal(stack->label, &label);
	stack_free(&pool, CLASS, stack);
	assert_null(stack->label);
	assert_ptr_equal(stack_alloc(&pool, CLASS, &pool), stack);
	assert_ptr_equal(stack->label, &pool);
	stack_pool_destroy(&pool);
}

/* What was used */

static void measure_painted(void)
{
	struct stack_header *stack = take(CLASS);
	char *top = (char *)stack;

	stack_paint(stack, CLASS);
	assert_int_equal(stack_used(stack, CLASS, true), 0);
	top[-1] = 1;
	assert_int_equal(stack_used(stack, CLASS, true), 8);
	top[-1000] = 1;
	assert_int_equal(stack_used(stack, CLASS, true), 1000);
	/* The peak counts, whatever lies between. */
	top[-30000] = 1;
	assert_int_equal(stack_used(stack, CLASS, true), 30000);
	*(char *)stack_bottom(stack, CLASS) = 1;
	assert_int_equal(stack_used(stack, CLASS, true), (size_t)(top - (char *)stack_bottom(stack, CLASS)));
	stack_paint(stack, CLASS);
	assert_int_equal(stack_used(stack, CLASS, true), 0);
}

static void painted_stacks_are_measured_exactly(void **state)
{
	(void)state;
	for_each_guard(measure_painted);
}

static void measure_pages(void)
{
	struct stack_header *stack = take(CLASS);
	char *base = stack_base(stack, CLASS);
	size_t size = stack_class_size(CLASS);

	/* The header alone. */
	assert_int_equal(stack_used(stack, CLASS, false), page());
	base[size - 3 * page()] = 1;
	assert_int_equal(stack_used(stack, CLASS, false), 3 * page());
	base[page()] = 1;
	assert_int_equal(stack_used(stack, CLASS, false), size - page());
}

static void others_are_measured_in_pages(void **state)
{
	(void)state;
	for_each_guard(measure_pages);
}

/* Giving memory back */

#define MANY 300

static size_t resident_stacks(struct stack_header *const *stacks, size_t count, unsigned class)
{
	size_t resident = 0;

	for (size_t i = 0; i < count; i++) {
		unsigned char pages[64];
		char *bottom = stack_bottom(stacks[i], class);
		size_t size = stack_class_size(class) - page(), any = 0;

		assert_true(size / page() <= sizeof(pages));
		assert_int_equal(mincore(bottom, size, pages), 0);
		for (size_t p = 0; p < size / page(); p++)
			any |= pages[p] & 1;
		resident += any;
	}
	return resident;
}

static void take_many(struct stack_header **stacks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		stacks[i] = take(CLASS);
		*(char *)stack_bottom(stacks[i], CLASS) = 1;
	}
}

static void free_many(struct stack_header *const *stacks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		stack_free(&pool, CLASS, stacks[i]);
}

static void trim(void)
{
	struct stack_header *stacks[MANY];

	take_many(stacks, MANY);
	assert_false(stack_pool_idle(&pool));
	free_many(stacks, MANY);
	assert_true(stack_pool_idle(&pool));
	/* They were all in use since the last call, so none has been idle for a period yet. */
	assert_true(stack_pool_trim(&pool));
	assert_int_equal(resident_stacks(stacks, MANY, CLASS), MANY);
	assert_false(stack_pool_trim(&pool));
	assert_int_equal(resident_stacks(stacks, MANY, CLASS), STACK_IDLE_KEEP);
	/* Those kept are the ones that are taken first. */
	assert_int_equal(resident_stacks(stacks + MANY - STACK_IDLE_KEEP, STACK_IDLE_KEEP, CLASS), STACK_IDLE_KEEP);
	assert_false(stack_pool_idle(&pool));
	assert_false(stack_pool_trim(&pool));

	/* What gave its memory back is as good as new, its guard included. */
	for (size_t i = MANY; i-- > 0;) {
		assert_ptr_equal(take(CLASS), stacks[i]);
		assert_int_equal(*(char *)stack_bottom(stacks[i], CLASS), i >= MANY - STACK_IDLE_KEEP);
		assert_guarded(stacks[i], CLASS);
	}
}

static void idle_stacks_give_memory_back(void **state)
{
	(void)state;
	for_each_guard(trim);
}

static void stacks_in_use_keep_their_memory(void **state)
{
	struct stack_header *stacks[MANY];

	(void)state;
	stack_pool_init(&pool, STACK_GUARD_AUTO);
	take_many(stacks, MANY);
	free_many(stacks + 200, 100);
	/* A period in which all but 10 of the idle ones were needed once. */
	stack_pool_trim(&pool);
	for (size_t i = MANY; i-- > 210;)
		assert_ptr_equal(take(CLASS), stacks[i]);
	free_many(stacks + 210, 90);
	stack_pool_trim(&pool);
	assert_int_equal(resident_stacks(stacks, MANY, CLASS), MANY);
	/* And one in which none was. */
	stack_pool_trim(&pool);
	assert_int_equal(resident_stacks(stacks, MANY, CLASS), MANY - 100 + STACK_IDLE_KEEP);
	assert_int_equal(resident_stacks(stacks, 200, CLASS), 200);
	stack_pool_destroy(&pool);
}

static void memory_comes_back_in_batches(void **state)
{
	enum { COUNT = 5000 };
	static struct stack_header *stacks[COUNT];
	unsigned calls = 0;
	size_t before = COUNT;

	(void)state;
	if (test_many(50) == 1)
		skip();
	stack_pool_init(&pool, STACK_GUARD_AUTO);
	take_many(stacks, COUNT);
	free_many(stacks, COUNT);
	stack_pool_trim(&pool);
	for (bool more = true; more; calls++) {
		more = stack_pool_trim(&pool);
		size_t now = resident_stacks(stacks, COUNT, CLASS);
		/* A pause that nobody notices, and progress each time. */
		assert_true(now < before && before - now <= 2048);
		before = now;
	}
	assert_int_equal(before, STACK_IDLE_KEEP);
	assert_in_range(calls, 3, 4);
	stack_pool_destroy(&pool);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(sizes_have_classes),
		TEST(large_pages_leave_room),
		TEST(stacks_of_every_size_are_guarded),
		TEST(guards_are_forgotten_with_their_pool),
		TEST(probe_gives_a_reason),
		TEST(latest_is_reused_first),
		TEST(tops_are_coloured),
		TEST(labels_last_as_long_as_the_stack_is_out),
		TEST(painted_stacks_are_measured_exactly),
		TEST(others_are_measured_in_pages),
		TEST(idle_stacks_give_memory_back),
		TEST(stacks_in_use_keep_their_memory),
		TEST(memory_comes_back_in_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
