/* SPDX-License-Identifier: MIT */
/* Select with something besides queues: deadlines, futures, descriptors. */
#include "select_peers.h"

#include <poll.h>
#include <unistd.h>

static intptr_t times(void *arg)
{
	struct async_select_case cases[] = {ASYNC_CASE_DEADLINE(3 * ASYNC_S), ASYNC_CASE_GET(left),
					    ASYNC_CASE_DEADLINE(2 * ASYNC_S), ASYNC_CASE_DEADLINE(ASYNC_FOREVER)};
	struct async_loop_stats stats = {.size = sizeof(stats)};

	(void)arg;
	assert_int_equal(async_select(cases, 4), 2);
	assert_int_equal(async_loop_time(NULL), 2 * ASYNC_S);
	cases[2].kind = ASYNC_SELECT_NEVER;
	assert_int_equal(async_select(cases, 4), 0);
	assert_int_equal(async_loop_time(NULL), 3 * ASYNC_S);
	/* What was not needed is not left behind. */
	cases[0].when = 100 * ASYNC_S;
	async_task *task = async_create_task(plain_get, left);
	give_way(1);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_int_equal(async_loop_get_stats(async_get_running_loop(), &stats), 0);
	assert_int_equal(stats.timers, 0);
	forget_notes();
	return 0;
}

static void test_deadlines(void **state)
{
	(void)state;
	run_with_queues(times, 0);
}

struct futures {
	async_future *a, *b;
};

static intptr_t await_either(void *arg)
{
	struct futures *futures = arg;
	struct async_select_case cases[] = {ASYNC_CASE_FUTURE(futures->a), ASYNC_CASE_FUTURE(futures->b),
					    ASYNC_CASE_GET(left),
					    ASYNC_CASE_DEADLINE(async_loop_time(NULL) + ASYNC_S)};
	intptr_t taken = async_select(cases, 4);

	note("%d", (int)taken);
	/* What follows must not be woken by what is left over. */
	assert_int_equal(async_sleep(10 * ASYNC_S), 0);
	return taken < 0 ? taken : cases[taken].result;
}

static intptr_t ends(void *arg)
{
	struct futures futures = {async_future_new(NULL, NULL), async_future_new(NULL, NULL)};
	async_task *task = async_create_task(await_either, &futures);

	(void)arg;
	give_way(1);
	/* Everything at once: the first listed, and no more. */
	put(left, 1);
	assert_int_equal(async_future_set_result(futures.b, 2), 0);
	assert_int_equal(async_future_set_result(futures.a, 3), 0);
	assert_int_equal(async_await(task), 3);
	assert_int_equal(get(left), 1);
	assert_noted("0");
	async_release(futures.a);
	async_release(futures.b);
	/* A future that fails is done; a pending one is not cancelled with the select. */
	futures = (struct futures){async_future_new(NULL, NULL), async_future_new(NULL, NULL)};
	task = async_create_task(await_either, &futures);
	give_way(1);
	assert_int_equal(async_future_set_error(futures.b, -EIO), 0);
	assert_int_equal(async_await(task), -EIO);
	assert_false(async_done(futures.a));
	async_release(futures.b);
	futures.b = async_future_new(NULL, NULL);
	task = async_create_task(await_either, &futures);
	give_way(1);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_false(async_done(futures.a));
	assert_false(async_done(futures.b));
	forget_notes();
	async_release(futures.a);
	async_release(futures.b);
	return 0;
}

static void test_futures(void **state)
{
	(void)state;
	run_with_queues(ends, 0);
}

static intptr_t operations(void)
{
	struct async_loop_stats stats = {.size = sizeof(stats)};

	assert_int_equal(async_loop_get_stats(async_get_running_loop(), &stats), 0);
	return (intptr_t)stats.operations;
}

static intptr_t poll_or_get(void *arg)
{
	int *ends = arg;
	struct async_select_case cases[] = {ASYNC_CASE_POLL(ends[0], POLLIN), ASYNC_CASE_GET(left)};
	intptr_t taken = async_select(cases, 2);

	/* The kernel has let go before this returns. */
	assert_int_equal(operations(), 0);
	note("%d:%d", (int)taken, taken < 0 ? 0 : (int)cases[taken].result);
	return taken;
}

static intptr_t descriptors(void *arg)
{
	async_task *task;
	int ends[2];
	char byte;

	(void)arg;
	assert_int_equal(pipe(ends), 0);
	struct async_select_case cases[] = {ASYNC_CASE_POLL(ends[0], POLLIN), ASYNC_CASE_POLL(ends[1], POLLOUT),
					    ASYNC_CASE_POLL(-1, POLLIN), ASYNC_CASE_DEFAULT};
	assert_int_equal(async_select(cases, 4), 1);
	assert_int_equal(cases[1].result, POLLOUT);
	cases[1].kind = ASYNC_SELECT_NEVER;
	assert_int_equal(async_select(cases, 4), 2);
	assert_int_equal(cases[2].result, -EBADF);
	cases[2].kind = ASYNC_SELECT_NEVER;
	assert_int_equal(async_select(cases, 4), 3);

	/* Something else comes first. */
	task = async_create_task(poll_or_get, ends);
	give_way(2);
	assert_int_equal(operations(), 1);
	put(left, 1);
	assert_int_equal(async_await(task), 1);
	/* The descriptor itself; no byte is read. */
	task = async_create_task(poll_or_get, ends);
	give_way(1);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(async_await(task), 0);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	/* Cancelled. */
	task = async_create_task(poll_or_get, ends);
	give_way(2);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	/* Closed meanwhile. */
	task = async_create_task(poll_or_get, ends);
	give_way(2);
	assert_int_equal(async_close(ends[0]), 0);
	assert_int_equal(async_await(task), 0);
	assert_noted("1:0 0:1 -125:0 0:-9");
	close(ends[1]);
	return 0;
}

static void test_descriptors(void **state)
{
	(void)state;
	run_with_queues(descriptors, 0);
}

static struct futures kept;
static int pipe_ends[2];

static intptr_t wait_for_everything(void *arg)
{
	struct async_select_case cases[] = {
		ASYNC_CASE_GET(left),
		ASYNC_CASE_FUTURE(kept.a),
		ASYNC_CASE_POLL(pipe_ends[0], POLLIN),
		ASYNC_CASE_DEADLINE(ASYNC_S),
	};

	(void)arg;
	return async_select(cases, 4);
}

/* The stack with everything that hangs in queues and futures goes away. */
static void test_closed_loop_leaves_nothing_behind(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	make_queues(0);
	assert_int_equal(pipe(pipe_ends), 0);
	kept.a = async_future_new(loop, NULL);
	async_release(async_loop_create_task(loop, wait_for_everything, NULL, NULL));
	assert_int_equal(async_loop_run_once(loop), 0);
	assert_int_equal(async_queue_free(left), -EBUSY);
	assert_int_equal(async_loop_close(loop), 0);
	put(left, 1);
	async_release(kept.a);
	async_loop_free(loop);
	free_queues();
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_deadlines),
		TEST(test_futures),
		TEST(test_descriptors),
		TEST(test_closed_loop_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
