/* SPDX-License-Identifier: MIT */
/* Queues: order, bounds, and how they end. */
#include "queue_peers.h"

#include "base/fault.h"

/* Without a task, too. */
static void test_orders(void **state)
{
	(void)state;
	make_queue(ASYNC_QUEUE_FIFO, 0);
	put_numbers("312");
	assert_gets("3 1 2");
	assert_int_equal(async_queue_free(queue), 0);
	make_queue(ASYNC_QUEUE_LIFO, 0);
	put_numbers("312");
	assert_gets("2 1 3");
	assert_int_equal(async_queue_free(queue), 0);
	make_queue(ASYNC_QUEUE_PRIORITY, 0);
	/* Without numbers all are equal. */
	put_numbers("312");
	assert_gets("3 1 2");
	for (int i = 0; i < 12; i++)
		assert_int_equal(async_queue_put_priority_nowait(queue, WORD(i), i % 3 - 1), 0);
	assert_gets("0 3 6 9 1 4 7 10 2 5 8 11");
	assert_int_equal(async_queue_free(queue), 0);
}

static int by_last_digit(const void *a, const void *b)
{
	return (int)((intptr_t)a % 10 - (intptr_t)b % 10);
}

static void test_comparison(void **state)
{
	struct async_queue_options options = ASYNC_QUEUE_OPTIONS_INIT;

	(void)state;
	options.order = ASYNC_QUEUE_PRIORITY;
	options.compare = by_last_digit;
	assert_int_equal(async_queue_new(&options, &queue), 0);
	int numbers[] = {35, 12, 25, 11, 99, 15, 21, 31};
	for (size_t i = 0; i < countof(numbers); i++)
		assert_int_equal(async_queue_put_nowait(queue, WORD(numbers[i])), 0);
	assert_int_equal(async_queue_put_priority_nowait(queue, NULL, 1), -EINVAL);
	assert_gets("11 21 31 12 35 25 15 99");
	assert_int_equal(async_queue_free(queue), 0);
}

/* A ring that wraps while it grows, against a counter. */
static void test_growth_keeps_order(void **state)
{
	intptr_t in = 0, out = 0;
	void *item;

	(void)state;
	make_queue(ASYNC_QUEUE_FIFO, 0);
	for (int round = 1; round < 60; round++) {
		for (int i = 0; i < round; i++)
			assert_int_equal(async_queue_put_nowait(queue, WORD(in++)), 0);
		for (int i = 0; i < round / 2; i++) {
			assert_int_equal(async_queue_get_nowait(queue, &item), 0);
			assert_int_equal((intptr_t)item, out++);
		}
	}
	assert_int_equal(async_queue_size(queue), in - out);
	while (async_queue_get_nowait(queue, &item) == 0)
		assert_int_equal((intptr_t)item, out++);
	assert_int_equal(out, in);
	assert_int_equal(async_queue_free(queue), 0);
}

/* The same for the heap: numbers from a generator come out in order. */
static void test_heap_sorts(void **state)
{
	uint32_t x = 1;
	intptr_t last = -1;
	void *item;

	(void)state;
	make_queue(ASYNC_QUEUE_PRIORITY, 0);
	for (int i = 0; i < 1000; i++) {
		x = x * 1664525u + 1013904223u;
		int number = x >> 24 & 15;
		assert_int_equal(async_queue_put_priority_nowait(queue, WORD(number * 1000 + i), number), 0);
	}
	/* By number, and by age among equals: that is what the items say. */
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(async_queue_get_nowait(queue, &item), 0);
		assert_true((intptr_t)item > last);
		last = (intptr_t)item;
	}
	assert_int_equal(async_queue_free(queue), 0);
}

static void test_bounds(void **state)
{
	void *item = WORD(7);

	(void)state;
	make_queue(ASYNC_QUEUE_FIFO, 2);
	assert_true(async_queue_empty(queue));
	assert_int_equal(async_queue_max_items(queue), 2);
	assert_int_equal(async_queue_get_nowait(queue, &item), -EAGAIN);
	assert_int_equal((intptr_t)item, 7);
	put_numbers("12");
	assert_true(async_queue_full(queue));
	assert_false(async_queue_empty(queue));
	assert_int_equal(async_queue_size(queue), 2);
	assert_int_equal(async_queue_put_nowait(queue, WORD(3)), -EAGAIN);
	assert_int_equal(async_queue_free(queue), 0);
	/* What was inside is dropped, what was refused is not. */
	assert_int_equal(dropped, 3);
	make_queue(ASYNC_QUEUE_FIFO, 0);
	put_numbers("123456789");
	assert_false(async_queue_full(queue));
	assert_int_equal(async_queue_max_items(queue), 0);
	assert_int_equal(async_queue_free(queue), 0);
}

static intptr_t join_queue(void *arg)
{
	int error = async_queue_join(queue);

	(void)arg;
	note("joined%d", -error);
	return error;
}

static intptr_t joined(void *arg)
{
	async_task *a, *b;
	void *item;

	(void)arg;
	make_queue(ASYNC_QUEUE_FIFO, 0);
	assert_int_equal(async_queue_task_done(queue), -EOVERFLOW);
	assert_int_equal(async_queue_join(queue), 0);
	put_numbers("12");
	a = async_create_task(join_queue, NULL);
	b = async_create_task(join_queue, NULL);
	give_way(1);
	assert_int_equal(async_queue_get_nowait(queue, &item), 0);
	assert_int_equal(async_queue_get_nowait(queue, &item), 0);
	assert_int_equal(async_queue_free(queue), -EBUSY);
	assert_int_equal(async_queue_task_done(queue), 0);
	give_way(2);
	assert_noted("");
	async_cancel(b, NULL);
	give_way(1);
	assert_noted("joined125");
	assert_int_equal(async_queue_task_done(queue), 0);
	/* Taken up again before the other has run: it was done for a moment, which is enough. */
	put_numbers("3");
	give_way(1);
	assert_noted("joined0");
	assert_int_equal(async_await(a), 0);
	assert_int_equal(async_await(b), -ECANCELED);
	return async_queue_free(queue);
}

static void test_join(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(joined, NULL), 0);
}

static intptr_t drained(void *arg)
{
	async_task *getter, *putter;
	void *item;

	(void)arg;
	make_queue(ASYNC_QUEUE_FIFO, 1);
	getter = async_create_task(get_one, WORD('a'));
	give_way(1);
	assert_int_equal(async_queue_shutdown(queue, false), 0);
	assert_int_equal(async_await(getter), -ESHUTDOWN);
	assert_int_equal(async_queue_free(queue), 0);
	make_queue(ASYNC_QUEUE_FIFO, 1);
	put_numbers("1");
	putter = async_create_task(put_one, WORD(2));
	give_way(1);
	assert_int_equal(async_queue_shutdown(queue, false), 0);
	assert_int_equal(async_queue_put(queue, WORD(3)), -ESHUTDOWN);
	assert_int_equal(async_queue_put_nowait(queue, WORD(3)), -ESHUTDOWN);
	assert_int_equal(async_await(putter), -ESHUTDOWN);
	/* What is inside still comes out. */
	assert_int_equal(async_queue_get(queue, &item), 0);
	assert_int_equal((intptr_t)item, 1);
	assert_int_equal(async_queue_get(queue, &item), -ESHUTDOWN);
	assert_int_equal(async_queue_get_nowait(queue, &item), -ESHUTDOWN);
	assert_int_equal(async_queue_task_done(queue), 0);
	assert_int_equal(dropped, 0);
	assert_noted("a!108 +2!");
	return async_queue_free(queue);
}

static void test_shutdown_drains(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(drained, NULL), 0);
}

static intptr_t shut_at_once(void *arg)
{
	async_task *joiner;
	void *item;

	(void)arg;
	make_queue(ASYNC_QUEUE_FIFO, 0);
	put_numbers("123");
	assert_int_equal(async_queue_get_nowait(queue, &item), 0);
	joiner = async_create_task(join_queue, NULL);
	give_way(1);
	assert_int_equal(async_queue_shutdown(queue, true), 0);
	assert_int_equal(dropped, 5);
	assert_int_equal(async_queue_get(queue, &item), -ESHUTDOWN);
	give_way(2);
	/* One item is still being worked on. */
	assert_noted("");
	assert_int_equal(async_queue_task_done(queue), 0);
	assert_int_equal(async_await(joiner), 0);
	assert_noted("joined0");
	assert_int_equal(async_queue_task_done(queue), -EOVERFLOW);
	return async_queue_free(queue);
}

static void test_immediate_shutdown_drops(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(shut_at_once, NULL), 0);
}

static void use_elsewhere(void *arg)
{
	int *results = arg;
	void *item;

	results[0] = async_queue_put_nowait(queue, WORD(1));
	results[1] = async_queue_shutdown(queue, true);
	results[2] = (int)run_with(get_one, WORD('x'), NULL);
	results[3] = async_queue_get_nowait(queue, &item);
}

static intptr_t with_another_thread(void *arg)
{
	async_task *task;
	int results[4];

	(void)arg;
	make_queue(ASYNC_QUEUE_FIFO, 0);
	task = async_create_task(get_one, WORD('a'));
	give_way(1);
	in_thread(use_elsewhere, results);
	assert_int_equal(results[0], -EPERM);
	assert_int_equal(results[1], -EPERM);
	assert_int_equal(results[2], -EPERM);
	assert_int_equal(results[3], -EAGAIN);
	put_numbers("1");
	assert_int_equal(async_await(task), 0);
	assert_noted("x!1 a1");
	return async_queue_free(queue);
}

static void test_other_threads_and_misuse(void **state)
{
	struct async_queue_options options = ASYNC_QUEUE_OPTIONS_INIT;
	void *item;

	(void)state;
	assert_int_equal(run_virtual(with_another_thread, NULL), 0);
	make_queue(ASYNC_QUEUE_FIFO, 0);
	assert_int_equal(async_queue_put(queue, NULL), -EPERM);
	assert_int_equal(async_queue_get(queue, &item), -EPERM);
	assert_int_equal(async_queue_join(queue), -EPERM);
	assert_int_equal(async_queue_put_priority(queue, NULL, 1), -EINVAL);
	assert_int_equal(async_queue_get_nowait(queue, NULL), -EINVAL);
	assert_int_equal(async_queue_free(queue), 0);
	assert_int_equal(async_queue_free(NULL), 0);
	assert_int_equal(async_queue_put(NULL, NULL), -EINVAL);
	assert_int_equal(async_queue_get(NULL, &item), -EINVAL);
	assert_int_equal(async_queue_put_nowait(NULL, NULL), -EINVAL);
	assert_int_equal(async_queue_join(NULL), -EINVAL);
	assert_int_equal(async_queue_task_done(NULL), -EINVAL);
	assert_int_equal(async_queue_shutdown(NULL, true), -EINVAL);
	assert_int_equal(async_queue_new(NULL, NULL), -EINVAL);
	options.compare = by_last_digit;
	assert_int_equal(async_queue_new(&options, &queue), -EINVAL);
	options.order = (enum async_queue_order)3;
	assert_int_equal(async_queue_new(&options, &queue), -EINVAL);
}

static void test_no_memory(void **state)
{
	(void)state;
	fault_arm("malloc", 1, -ENOMEM);
	assert_int_equal(async_queue_new(NULL, &queue), -ENOMEM);
	fault_disarm();
	for (int order = ASYNC_QUEUE_FIFO; order <= ASYNC_QUEUE_LIFO; order++) {
		make_queue((enum async_queue_order)order, 0);
		for (int i = 0; i < 16; i++)
			assert_int_equal(async_queue_put_nowait(queue, WORD(i)), 0);
		fault_arm("malloc", 1, -ENOMEM);
		assert_int_equal(async_queue_put_nowait(queue, WORD(16)), -ENOMEM);
		fault_disarm();
		/* Nothing has changed, and it works again. */
		assert_int_equal(async_queue_size(queue), 16);
		assert_int_equal(async_queue_put_nowait(queue, WORD(16)), 0);
		assert_int_equal(async_queue_free(queue), 0);
		assert_int_equal(dropped, 136);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_orders),
		TEST(test_comparison),
		TEST(test_growth_keeps_order),
		TEST(test_heap_sorts),
		TEST(test_bounds),
		TEST(test_join),
		TEST(test_shutdown_drains),
		TEST(test_immediate_shutdown_drops),
		TEST(test_other_threads_and_misuse),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
