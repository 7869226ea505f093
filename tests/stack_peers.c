/* SPDX-License-Identifier: MIT */
#include "stack_peers.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "context/sanitizer.h"

struct stack_pool pool;

void for_each_guard(void (*test)(void))
{
	static const enum stack_guard guards[] = {STACK_GUARD_AUTO, STACK_GUARD_MADVISE, STACK_GUARD_MPROTECT};

	for (size_t i = 0; i < countof(guards); i++) {
		stack_pool_init(&pool, guards[i]);
		test();
		stack_pool_destroy(&pool);
	}
}

size_t page(void)
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

void assert_guarded(struct stack_header *stack, unsigned class)
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

struct stack_header *take(unsigned class)
{
	struct stack_header *stack = stack_alloc(&pool, class, &pool);

	assert_non_null(stack);
	return stack;
}
