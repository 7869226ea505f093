/* SPDX-License-Identifier: MIT */
/* Select: exactly one case is taken, the right one, and what is not taken is as it was. */
#include "select_peers.h"

#include "base/fault.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_possible_case_is_taken_at_once),
		TEST(test_turns_go_round),
		TEST(test_takes_one_and_leaves_the_other),
		TEST(test_what_is_not_taken_goes_to_the_next),
		TEST(test_put_happens_once),
		TEST(test_shutdown_is_an_answer),
		TEST(test_nothing_is_lost_in_any_order),
		TEST(test_many_cases),
		TEST(test_misuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
