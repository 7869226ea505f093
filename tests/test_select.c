/* SPDX-License-Identifier: MIT */
/* Select: exactly one case is taken, the right one, and what is not taken is as it was. */
#include "harness.h"

#include <poll.h>
#include <unistd.h>

#include "base/fault.h"

#define WORD(number) ((void *)(intptr_t)(number))

static async_queue *left, *right;

static void make_queues(size_t max_items)
{
	struct async_queue_options options = ASYNC_QUEUE_OPTIONS_INIT;

	options.max_items = max_items;
	assert_int_equal(async_queue_new(&options, &left), 0);
	assert_int_equal(async_queue_new(&options, &right), 0);
}

/* Runs a test with two queues, which nobody may wait on at its end. */
struct with_queues {
	async_fn *fn;
	size_t max_items;
};

/* Neither has a waiter. */
static void free_queues(void)
{
	assert_int_equal(async_queue_free(left), 0);
	assert_int_equal(async_queue_free(right), 0);
}

static intptr_t with_queues(void *arg)
{
	struct with_queues *test = arg;

	make_queues(test->max_items);
	intptr_t result = test->fn(NULL);
	free_queues();
	return result;
}

static void run_with_queues(async_fn *fn, size_t max_items)
{
	struct with_queues test = {fn, max_items};

	assert_int_equal(run_virtual(with_queues, &test), 0);
}

static void put(async_queue *queue, int number)
{
	assert_int_equal(async_queue_put_nowait(queue, WORD(number)), 0);
}

static int get(async_queue *queue)
{
	void *item = WORD(-1);

	(void)async_queue_get_nowait(queue, &item);
	return (int)(intptr_t)item;
}

static intptr_t get_either(void *arg)
{
	struct async_select_case cases[] = {ASYNC_CASE_GET(left), ASYNC_CASE_GET(right)};
	intptr_t taken = async_select(cases, 2);

	(void)arg;
	if (taken >= 0)
		note("%d:%d", (int)taken, (int)(intptr_t)cases[taken].item);
	else
		note("%d", (int)taken);
	return taken;
}

static intptr_t at_once(void *arg)
{
	async_future *done = async_future_new(NULL, NULL);
	struct async_select_case cases[] = {
		{.kind = ASYNC_SELECT_NEVER}, ASYNC_CASE_GET(left),   ASYNC_CASE_PUT(right, WORD(5)),
		ASYNC_CASE_FUTURE(done),      ASYNC_CASE_DEADLINE(0), ASYNC_CASE_DEFAULT,
	};

	(void)arg;
	async_loop_call_soon(async_get_running_loop(), note_callback, (void *)(uintptr_t)"suspended", NULL);
	put(left, 1);
	assert_int_equal(async_select(cases, 6), 1);
	assert_ptr_equal(cases[1].item, WORD(1));
	assert_int_equal(cases[1].result, 0);
	assert_true(async_queue_empty(right));
	assert_int_equal(async_select(cases, 6), 2);
	assert_int_equal(async_select(cases, 6), 4);
	assert_int_equal(async_future_set_result(done, 9), 0);
	assert_int_equal(async_select(cases, 6), 3);
	assert_int_equal(cases[3].result, 9);
	cases[3].kind = cases[4].kind = ASYNC_SELECT_NEVER;
	assert_int_equal(async_select(cases, 6), 5);
	assert_int_equal(get(right), 5);
	assert_int_equal(get(right), -1);
	assert_noted("");
	give_way(1);
	assert_noted("suspended");
	async_release(done);
	return 0;
}

static void test_first_possible_case_is_taken_at_once(void **state)
{
	(void)state;
	run_with_queues(at_once, 1);
}

static intptr_t fair(void *arg)
{
	struct async_select_case cases[] = {ASYNC_CASE_GET(left), ASYNC_CASE_GET(right), {.kind = ASYNC_SELECT_NEVER}};
	size_t turn = 0;

	(void)arg;
	for (int i = 0; i < 4; i++) {
		put(left, i);
		put(right, 10 + i);
	}
	for (int i = 0; i < 8; i++) {
		intptr_t taken = async_select_from(cases, 3, turn);

		assert_in_range(taken, 0, 1);
		note("%d", (int)(intptr_t)cases[taken].item);
		turn = (size_t)taken + 1;
	}
	assert_noted("0 10 1 11 2 12 3 13");
	return 0;
}

static void test_turns_go_round(void **state)
{
	(void)state;
	run_with_queues(fair, 0);
}

/* Woken by the second; before it runs the first has something, too. */
static intptr_t both(void *arg)
{
	async_task *a, *b;

	(void)arg;
	a = async_create_task(get_either, NULL);
	b = async_create_task(get_either, NULL);
	give_way(1);
	put(right, 2);
	put(left, 1);
	give_way(1);
	/* The first takes what is listed first; what it was woken for goes to the second. */
	assert_noted("0:1 1:2");
	assert_int_equal(async_await(a), 0);
	assert_int_equal(async_await(b), 1);
	return 0;
}

static void test_takes_one_and_leaves_the_other(void **state)
{
	(void)state;
	run_with_queues(both, 0);
}

static intptr_t plain_get(void *arg)
{
	void *item;
	int error = async_queue_get(arg, &item);

	note("plain%d", error ? error : (int)(intptr_t)item);
	return error;
}

/* The one that is woken for an item takes another: a plain getter behind it must be woken in its place. */
static intptr_t passes_on(void *arg)
{
	async_task *selecting, *plain;

	(void)arg;
	selecting = async_create_task(get_either, NULL);
	plain = async_create_task(plain_get, right);
	give_way(1);
	put(right, 2);
	put(left, 1);
	give_way(2);
	assert_noted("0:1 plain2");
	assert_int_equal(async_await(selecting), 0);
	assert_int_equal(async_await(plain), 0);
	/* The same when it is cancelled. */
	selecting = async_create_task(get_either, NULL);
	plain = async_create_task(plain_get, right);
	give_way(1);
	put(right, 3);
	async_cancel(selecting, NULL);
	assert_int_equal(async_await(plain), 0);
	assert_int_equal(async_await(selecting), -ECANCELED);
	assert_noted("-125 plain3");
	return 0;
}

static void test_what_is_not_taken_goes_to_the_next(void **state)
{
	(void)state;
	run_with_queues(passes_on, 0);
}

static intptr_t put_somewhere(void *arg)
{
	struct async_select_case cases[] = {ASYNC_CASE_PUT(left, arg), ASYNC_CASE_PUT(right, arg)};
	intptr_t taken = async_select(cases, 2);

	note("put%d", (int)taken);
	return taken;
}

static intptr_t putting(void *arg)
{
	async_task *task;

	(void)arg;
	put(left, 1);
	put(right, 2);
	task = async_create_task(put_somewhere, WORD(3));
	give_way(2);
	assert_noted("");
	assert_int_equal(get(right), 2);
	assert_int_equal(async_await(task), 1);
	assert_int_equal(get(right), 3);
	put(right, 2);
	/* Cancelled after it was woken: no put. */
	task = async_create_task(put_somewhere, WORD(4));
	give_way(1);
	assert_int_equal(get(left), 1);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_int_equal(get(left), -1);
	assert_int_equal(get(right), 2);
	forget_notes();
	return 0;
}

static void test_put_happens_once(void **state)
{
	(void)state;
	run_with_queues(putting, 1);
}

static intptr_t shut(void *arg)
{
	struct async_select_case cases[] = {ASYNC_CASE_GET(left), ASYNC_CASE_PUT(right, WORD(1))};
	async_task *task;

	(void)arg;
	task = async_create_task(get_either, NULL);
	give_way(1);
	async_queue_shutdown(right, false);
	assert_int_equal(async_await(task), 1);
	assert_int_equal(async_select(cases, 2), 1);
	assert_int_equal(cases[1].result, -ESHUTDOWN);
	forget_notes();
	return 0;
}

static void test_shutdown_is_an_answer(void **state)
{
	(void)state;
	run_with_queues(shut, 1);
}

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

/* Selecting, plain, and cancelled waiters on two queues: every item comes out once. */
static int received;

static intptr_t keep_getting(void *arg)
{
	struct async_select_case cases[] = {ASYNC_CASE_GET(left), ASYNC_CASE_GET(right),
					    ASYNC_CASE_DEADLINE(ASYNC_FOREVER)};
	size_t turn = (size_t)(intptr_t)arg;

	for (;;) {
		intptr_t taken = async_select_from(cases, 3, turn);

		if (taken < 0)
			return taken;
		if (cases[taken].result < 0)
			return cases[taken].result;
		received += (int)(intptr_t)cases[taken].item;
		turn = (size_t)taken + 1;
	}
}

static intptr_t plainly(void *arg)
{
	void *item;
	int error;

	while ((error = async_queue_get(arg, &item)) == 0)
		received += (int)(intptr_t)item;
	return error;
}

static intptr_t crowd(void *arg)
{
	async_task *tasks[8];

	(void)arg;
	make_queues(0);
	received = 0;
	for (int i = 0; i < 6; i++)
		tasks[i] = async_create_task(keep_getting, WORD(i));
	tasks[6] = async_create_task(plainly, left);
	tasks[7] = async_create_task(plainly, right);
	for (int i = 0; i < 40; i++) {
		put(i % 3 ? left : right, 1);
		if (i % 8 == 3)
			async_cancel(tasks[i / 8], NULL);
		if (i % 5 == 0)
			give_way(1);
	}
	give_way(10);
	assert_int_equal(received, 40);
	async_queue_shutdown(left, false);
	async_queue_shutdown(right, false);
	for (int i = 0; i < 8; i++) {
		intptr_t result = async_await(tasks[i]);

		assert_true(result == -ESHUTDOWN || (result == -ECANCELED && i < 5));
	}
	free_queues();
	return 0;
}

static void test_nothing_is_lost_in_any_order(void **state)
{
	(void)state;
	for_each_seed(crowd, 200);
}

/* More cases than fit on the stack. */
static intptr_t many(void *arg)
{
	struct async_select_case cases[100];
	async_task *task;

	(void)arg;
	for (size_t i = 0; i < 99; i++)
		cases[i] = (struct async_select_case)ASYNC_CASE_GET(left);
	cases[99] = (struct async_select_case)ASYNC_CASE_DEADLINE(ASYNC_S);
	assert_int_equal(async_select(cases, 100), 99);
	fault_arm("malloc", 1, -ENOMEM);
	cases[99].when = 2 * ASYNC_S;
	assert_int_equal(async_select(cases, 100), -ENOMEM);
	fault_disarm();
	task = async_create_task(get_either, NULL);
	give_way(1);
	put(left, 1);
	assert_int_equal(async_await(task), 0);
	forget_notes();
	return 0;
}

static void test_many_cases(void **state)
{
	(void)state;
	run_with_queues(many, 0);
}

static async_loop *other;

static intptr_t misuse(void *arg)
{
	async_future *foreign = async_future_new(other, NULL);
	struct async_select_case one = ASYNC_CASE_GET(NULL);

	(void)arg;
	assert_int_equal(async_select(&one, 1), -EINVAL);
	one = (struct async_select_case)ASYNC_CASE_PUT(NULL, NULL);
	assert_int_equal(async_select(&one, 1), -EINVAL);
	one = (struct async_select_case)ASYNC_CASE_FUTURE(NULL);
	assert_int_equal(async_select(&one, 1), -EINVAL);
	one = (struct async_select_case)ASYNC_CASE_POLL(0, 0);
	assert_int_equal(async_select(&one, 1), -EINVAL);
	one = (struct async_select_case){.kind = (enum async_select_kind)99};
	assert_int_equal(async_select(&one, 1), -EINVAL);
	one = (struct async_select_case)ASYNC_CASE_FUTURE(async_current_task());
	assert_int_equal(async_select(&one, 1), -EDEADLK);
	one = (struct async_select_case)ASYNC_CASE_FUTURE(foreign);
	assert_int_equal(async_select(&one, 1), -EPERM);
	assert_int_equal(async_select(&one, 0), -EINVAL);
	assert_int_equal(async_select(NULL, 1), -EINVAL);
	async_release(foreign);
	return 0;
}

static void test_misuse(void **state)
{
	struct async_select_case none = ASYNC_CASE_DEFAULT;

	(void)state;
	assert_int_equal(async_loop_new(NULL, &other), 0);
	assert_int_equal(run_virtual(misuse, NULL), 0);
	async_loop_free(other);
	assert_int_equal(async_select(&none, 1), -EPERM);
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
		TEST(test_first_possible_case_is_taken_at_once),
		TEST(test_turns_go_round),
		TEST(test_takes_one_and_leaves_the_other),
		TEST(test_what_is_not_taken_goes_to_the_next),
		TEST(test_put_happens_once),
		TEST(test_shutdown_is_an_answer),
		TEST(test_deadlines),
		TEST(test_futures),
		TEST(test_descriptors),
		TEST(test_nothing_is_lost_in_any_order),
		TEST(test_many_cases),
		TEST(test_misuse),
		TEST(test_closed_loop_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
