/* SPDX-License-Identifier: MIT */
/* Stacks when something fails or is used up: memory, mappings, guards. */
#include "stack_peers.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "context/region.h"

static bool madvise_guards(void)
{
	const char *reason;

	return stack_guard_probe(&reason) == STACK_GUARD_MADVISE;
}

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
