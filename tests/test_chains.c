/* SPDX-License-Identifier: MIT */
/* Chains of any length: nothing that follows one recurses. Each runs in a task with the smallest stack. */
#include "harness.h"

#define DEEP 20000

typedef async_future *wrap_fn(async_future *inner);

static async_future *shield(async_future *inner)
{
	return async_shield(inner);
}

static async_future *gather(async_future *inner)
{
	return async_gather(&inner, 1, 0, NULL);
}

static intptr_t await_it(void *arg)
{
	return async_await(arg);
}

static async_future *task(async_future *inner)
{
	return async_create_task(await_it, inner);
}

static async_future *shield_and_gather(async_future *inner)
{
	return shield(gather(inner));
}

static async_future *gather_and_task(async_future *inner)
{
	return gather(task(inner));
}

static wrap_fn *const wraps[] = {shield, gather, task, shield_and_gather, gather_and_task};

static async_future *nest(wrap_fn *wrap, async_future *inner)
{
	size_t depth = test_many(DEEP);

	/* A future that is done is not wrapped. */
	for (size_t i = 0; i < depth; i++)
		inner = wrap(inner);
	return inner;
}

/* It completes from the inside out. */
static intptr_t completes(void *arg)
{
	wrap_fn *wrap = *(wrap_fn *const *)arg;
	async_future *end = async_future_new(NULL, NULL), *outer = nest(wrap, async_ref(end));

	give_way(3);
	assert_int_equal(async_future_set_result(end, 7), 0);
	async_release(end);
	assert_true(async_await(outer) > 0);
	return 0;
}

/* Every link is held by the next one outwards alone, and the last reference to the outermost goes. */
static intptr_t goes_unread(void *arg)
{
	wrap_fn *wrap = *(wrap_fn *const *)arg;
	async_future *end = async_future_new(NULL, NULL), *outer = nest(wrap, async_ref(end));

	give_way(3);
	async_ref(outer);
	async_future_set_result(end, 7);
	async_release(end);
	assert_true(async_await(outer) > 0);
	async_release(outer);
	return 0;
}

static intptr_t is_cancelled(void *arg)
{
	wrap_fn *wrap = *(wrap_fn *const *)arg;
	async_future *end = async_future_new(NULL, NULL), *outer = nest(wrap, async_ref(end));

	give_way(3);
	assert_int_equal(async_cancel(outer, NULL), 1);
	assert_int_equal(async_await(outer), -ECANCELED);
	/* What a shield keeps from it. */
	if (!async_done(end))
		async_future_set_result(end, 1);
	async_release(end);
	give_way(3);
	return async_sleep(1);
}

static void in_every_nest(async_fn *fn)
{
	struct async_options options = test_options();

	/* ThreadSanitizer's fibres are kept for the next loop while there is another. */
	async_loop *another = loop_virtual();

	options.stack_size = ASYNC_STACK_SIZE_MIN;
	for (size_t i = 0; i < countof(wraps); i++) {
		assert_int_equal(run_with(fn, (void *)(uintptr_t)&wraps[i], &options), 0);
		assert_int_equal(reports.count, 0);
	}
	loop_end(another);
}

static void test_completing(void **state)
{
	(void)state;
	in_every_nest(completes);
}

static void test_releasing(void **state)
{
	(void)state;
	in_every_nest(goes_unread);
}

static void test_cancelling(void **state)
{
	(void)state;
	in_every_nest(is_cancelled);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_completing),
		TEST(test_releasing),
		TEST(test_cancelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
