/* SPDX-License-Identifier: MIT */
/* Stacks: where they lie, what guards them, who gets which, and what comes back to the kernel. */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "context/region.h"
#include "context/sanitizer.h"
#include "context/stack.h"

/* Stacks of 64 KiB, of 16 KiB, and of a size of which one is opened at a time. */
#define CLASS 2
#define CLASS_SMALL 0
#define CLASS_SINGLE 12

static struct stack_pool pool;

static void for_each_guard(void (*test)(void))
{
	static const enum stack_guard guards[] = {STACK_GUARD_AUTO, STACK_GUARD_MADVISE, STACK_GUARD_MPROTECT};

	for (size_t i = 0; i < countof(guards); i++) {
		stack_pool_init(&pool, guards[i]);
		test();
		stack_pool_destroy(&pool);
	}
}

static bool madvise_guards(void)
{
	const char *reason;

	return stack_guard_probe(&reason) == STACK_GUARD_MADVISE;
}

static size_t page(void)
{
	return stack_page_size();
}

/* Whether the kernel can read there; valgrind and ASan have views of their own, so nothing is touched. */
static bool readable(const void *address)
{
	static int ends[2] = {-1, -1};
	char byte;

	if (sanitizer_on_valgrind()) {
		unsigned char resident;

		/* A guard holds no memory, and gets none. */
		return mincore((void *)((uintptr_t)address & ~(page() - 1)), page(), &resident) == 0 && (resident & 1);
	}
	if (ends[0] < 0)
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	if (write(ends[1], address, 1) < 0) {
		assert_int_equal(errno, EFAULT);
		return false;
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	return true;
}

static void assert_guarded(struct stack_header *stack, unsigned class)
{
	char *base = stack_base(stack, class);
	void *found = NULL;

	*(char *)stack_bottom(stack, class) = 1;
	assert_true(readable(stack_bottom(stack, class)));
	assert_false(readable(base));
	assert_false(readable(base + page() - 1));
	assert_int_equal(stack_find_guard(base, &found), class);
	assert_ptr_equal(found, base);
	assert_int_equal(stack_find_guard(base + page() - 1, &found), class);
	assert_ptr_equal(found, base);
	assert_int_equal(stack_find_guard(base + page(), &found), -1);
	assert_int_equal(stack_find_guard(stack, &found), -1);
	assert_ptr_equal(stack_header(base, class), stack);
}

static struct stack_header *take(unsigned class)
{
	struct stack_header *stack = stack_alloc(&pool, class, &pool);

	assert_non_null(stack);
	return stack;
}

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

/* Every size: a few stacks that do not overlap, aligned, writable up to the guard. */
static void lay_out(void)
{
	enum stack_guard guard = pool.guard;

	for (unsigned class = 0; class < STACK_CLASSES; class++) {
		struct stack_header *stacks[5];

		/* valgrind has no room for the reservations of all of them. */
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

/* What can fail */

static void fail_once_each(void)
{
	/* Every call on the way to a first stack fails once; then there is one all the same, or none and no harm. */
	for (unsigned long nth = 1; nth < 100; nth++) {
		fault_arm(NULL, nth, -ENOMEM);
		struct stack_header *stack = stack_alloc(&pool, CLASS, NULL);
		unsigned long seen = fault_disarm();

		if (stack)
			assert_guarded(stack, CLASS);
		assert_guarded(take(CLASS), CLASS);
		enum stack_guard guard = pool.guard;
		stack_pool_destroy(&pool);
		stack_pool_init(&pool, guard);
		if (seen < nth)
			return;
	}
	fail();
}

static void nothing_is_lost_when_a_call_fails(void **state)
{
	(void)state;
	for_each_guard(fail_once_each);
}

static void want_of_memory_or_mappings_gives_no_stack(void **state)
{
	static const char *const calls[] = {"malloc", "mprotect"};

	(void)state;
	for (size_t i = 0; i < countof(calls); i++) {
		stack_pool_init(&pool, STACK_GUARD_MPROTECT);
		fault_arm(calls[i], 1, -ENOMEM);
		assert_null(stack_alloc(&pool, CLASS, NULL));
		assert_int_equal(fault_disarm(), 1);
		assert_guarded(take(CLASS), CLASS);
		stack_pool_destroy(&pool);
	}
}

static void refused_reservation_is_tried_smaller(void **state)
{
	(void)state;
	stack_pool_init(&pool, STACK_GUARD_AUTO);
	fault_count("mmap");
	assert_guarded(take(CLASS), CLASS);
	unsigned long attempts = fault_disarm();
	size_t slots = pool.classes[CLASS].region->slots;
	stack_pool_destroy(&pool);

	/* The one that succeeded fails. */
	stack_pool_init(&pool, STACK_GUARD_AUTO);
	fault_arm("mmap", attempts, -ENOMEM);
	assert_guarded(take(CLASS), CLASS);
	fault_disarm();
	assert_int_equal(pool.classes[CLASS].region->slots, slots / 4);
	stack_pool_destroy(&pool);
}

/* A kernel that does not know these guards, or stops giving them: the n-th is refused. */
static void refused_guards_turn_to_mprotect(void **state)
{
	(void)state;
	if (!madvise_guards())
		skip();
	for (unsigned long nth = 1; nth <= 4; nth++) {
		stack_pool_init(&pool, STACK_GUARD_AUTO);
		fault_arm("madvise", nth, -EINVAL);
		for (unsigned long i = 1; i <= 5; i++) {
			assert_guarded(take(CLASS_SINGLE), CLASS_SINGLE);
			assert_int_equal(pool.classes[CLASS_SINGLE].region->madvise, i < nth);
		}
		/* It is not asked again. */
		assert_int_equal(fault_disarm(), nth);
		stack_pool_destroy(&pool);
	}
}

static void guards_need_no_batches(void **state)
{
	static const char *const calls[] = {"pidfd_open", "process_madvise"};

	(void)state;
	if (!madvise_guards())
		skip();
	for (size_t i = 0; i < countof(calls); i++) {
		stack_pool_init(&pool, STACK_GUARD_AUTO);
		fault_arm(calls[i], 1, -EPERM);
		for (int n = 0; n < 10; n++)
			assert_guarded(take(CLASS), CLASS);
		fault_disarm();
		assert_true(pool.classes[CLASS].region->madvise);
		stack_pool_destroy(&pool);
	}
}

/* Runs `fn` in a process of its own, whose limits are its own; it exits with 0. */
static void in_child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* An assertion of cmocka would return to the parent's tests. */
#define child_assert(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			_exit(1); \
		} \
	} while (0)

static size_t address_space(void)
{
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	child_assert(file && fscanf(file, "%zu", &pages) == 1);
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void exhaust_address_space(void)
{
	size_t budget = (size_t)100 << 20, count = 0;
	struct rlimit limit = {address_space() + budget, RLIM_INFINITY};
	struct stack_header *last = NULL, *stack;

	child_assert(setrlimit(RLIMIT_AS, &limit) == 0);
	stack_pool_init(&pool, STACK_GUARD_AUTO);
	while ((stack = stack_alloc(&pool, CLASS, NULL))) {
		*(char *)stack_bottom(stack, CLASS) = 1;
		last = stack;
		count++;
	}
	/* Region after region, most of what the limit leaves is put to use. */
	child_assert(count > budget / 2 / stack_class_size(CLASS));
	child_assert(count <= budget / stack_class_size(CLASS));
	child_assert(pool.classes[CLASS].region->older != NULL);
	stack_free(&pool, CLASS, last);
	child_assert(stack_alloc(&pool, CLASS, NULL) == last);
	child_assert(stack_alloc(&pool, CLASS, NULL) == NULL);
	stack_pool_destroy(&pool);
}

static void limited_address_space_is_used_up(void **state)
{
	(void)state;
	/* The tools have shadows that are larger than any limit. */
	if (test_many(50) == 1)
		skip();
	in_child(exhaust_address_space);
}

static size_t count_mappings(void)
{
	size_t count = 0;
	FILE *file = fopen("/proc/self/maps", "r");

	child_assert(file);
	for (int c; (c = fgetc(file)) != EOF;)
		count += c == '\n';
	fclose(file);
	return count;
}

static void many_with_madvise(void)
{
	size_t before = count_mappings();

	stack_pool_init(&pool, STACK_GUARD_AUTO);
	for (size_t i = 0; i < 100000; i++)
		child_assert(stack_alloc(&pool, CLASS, NULL));
	child_assert(count_mappings() < before + 20);
	stack_pool_destroy(&pool);
	child_assert(count_mappings() <= before + 1);
}

static void guards_take_no_mappings(void **state)
{
	(void)state;
	if (!madvise_guards() || test_many(50) == 1)
		skip();
	in_child(many_with_madvise);
}

static void many_with_mprotect(void)
{
	size_t limit = 0, count = 0;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
	struct stack_header *stack, *last = NULL;

	child_assert(file && fscanf(file, "%zu", &limit) == 1);
	fclose(file);
	if (limit > 200000)
		return;
	stack_pool_init(&pool, STACK_GUARD_MPROTECT);
	while ((stack = stack_alloc(&pool, CLASS_SMALL, NULL))) {
		last = stack;
		count++;
	}
	/* Two mappings each, and the end is an error, no crash. */
	child_assert(count > limit / 2 - 2000 && count <= limit / 2);
	stack_free(&pool, CLASS_SMALL, last);
	child_assert(stack_alloc(&pool, CLASS_SMALL, NULL) == last);
	stack_pool_destroy(&pool);
	stack_pool_init(&pool, STACK_GUARD_MPROTECT);
	child_assert(stack_alloc(&pool, CLASS_SMALL, NULL));
	stack_pool_destroy(&pool);
}

static void mappings_are_used_up(void **state)
{
	(void)state;
	if (test_many(50) == 1)
		skip();
	in_child(many_with_mprotect);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(sizes_have_classes),
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
		TEST(nothing_is_lost_when_a_call_fails),
		TEST(want_of_memory_or_mappings_gives_no_stack),
		TEST(refused_reservation_is_tried_smaller),
		TEST(refused_guards_turn_to_mprotect),
		TEST(guards_need_no_batches),
		TEST(limited_address_space_is_used_up),
		TEST(guards_take_no_mappings),
		TEST(mappings_are_used_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
