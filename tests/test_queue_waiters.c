/* SPDX-License-Identifier: MIT */
/* Queues: who is woken, and that no item is lost whatever is cancelled. */
#include "queue_peers.h"

static intptr_t hand_over(void *arg)
{
	async_task *a, *b;

	(void)arg;
	make_queue(ASYNC_QUEUE_FIFO, 0);
	a = async_create_task(get_one, WORD('a'));
	b = async_create_task(get_one, WORD('b'));
	give_way(1);
	put_numbers("12");
	assert_noted("");
	assert_int_equal(async_queue_free(queue), -EBUSY);
	give_way(1);
	assert_noted("a1 b2");
	assert_int_equal(async_await(a), 0);
	assert_int_equal(async_await(b), 0);
	return async_queue_free(queue);
}

static void test_getters_are_served_in_order(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(hand_over, NULL), 0);
}

static intptr_t full(void *arg)
{
	async_task *tasks[3];
	void *item;

	(void)arg;
	make_queue(ASYNC_QUEUE_FIFO, 1);
	for (int i = 0; i < 3; i++)
		tasks[i] = async_create_task(put_one, WORD(i + 1));
	give_way(1);
	assert_noted("+1");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(async_queue_get(queue, &item), 0);
		assert_int_equal((intptr_t)item, i + 1);
		give_way(1);
	}
	assert_noted("+2 +3");
	assert_int_equal(async_await(async_gather(tasks, 3, 0, NULL)), 3);
	return async_queue_free(queue);
}

static void test_putters_wait_for_room_in_order(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(full, NULL), 0);
}

/* A get that finds an item takes it, though somebody was woken for it: so does asyncio. The other goes on waiting. */
static intptr_t overtaken(void *arg)
{
	async_task *task;

	(void)arg;
	make_queue(ASYNC_QUEUE_FIFO, 0);
	task = async_create_task(get_one, WORD('a'));
	give_way(1);
	put_numbers("1");
	assert_gets("1");
	give_way(3);
	assert_noted("");
	put_numbers("2");
	assert_int_equal(async_await(task), 0);
	assert_noted("a2");
	return async_queue_free(queue);
}

static void test_woken_getter_tries_again(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(overtaken, NULL), 0);
}

static intptr_t cancelled_getter(void *arg)
{
	async_task *a, *b;

	(void)arg;
	make_queue(ASYNC_QUEUE_FIFO, 0);
	a = async_create_task(get_one, WORD('a'));
	b = async_create_task(get_one, WORD('b'));
	give_way(1);
	put_numbers("1");
	assert_int_equal(async_cancel(a, NULL), 1);
	give_way(1);
	assert_noted("a!125");
	give_way(1);
	assert_noted("b1");
	assert_int_equal(async_await(a), -ECANCELED);
	assert_int_equal(async_await(b), 0);
	/* Nobody else: the item stays. */
	a = async_create_task(get_one, WORD('a'));
	give_way(1);
	put_numbers("2");
	async_cancel(a, NULL);
	assert_int_equal(async_await(a), -ECANCELED);
	forget_notes();
	assert_gets("2");
	return async_queue_free(queue);
}

static void test_woken_and_cancelled_getter_loses_no_item(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancelled_getter, NULL), 0);
}

static intptr_t cancelled_putter(void *arg)
{
	async_task *a, *b;
	void *item;

	(void)arg;
	make_queue(ASYNC_QUEUE_FIFO, 1);
	put_numbers("1");
	a = async_create_task(put_one, WORD(2));
	b = async_create_task(put_one, WORD(3));
	give_way(1);
	assert_int_equal(async_queue_get_nowait(queue, &item), 0);
	assert_int_equal(async_cancel(a, NULL), 1);
	give_way(1);
	assert_noted("+2C");
	give_way(1);
	assert_noted("+3");
	assert_int_equal(async_await(a), -ECANCELED);
	assert_int_equal(async_await(b), 0);
	assert_gets("3");
	return async_queue_free(queue);
}

static void test_woken_and_cancelled_putter_leaves_its_room(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancelled_putter, NULL), 0);
}

/* Producers and consumers, some cancelled at places that the shuffling moves about: what was put and not dropped comes
 * out exactly once. */
#define ITEMS 30

static unsigned put_count[ITEMS], got_count[ITEMS];
static int next_item;

static intptr_t produce(void *arg)
{
	(void)arg;
	while (next_item < ITEMS) {
		int number = next_item++;
		int error = async_queue_put(queue, WORD(number));

		if (error)
			return error;
		put_count[number]++;
	}
	return 0;
}

static intptr_t consume(void *arg)
{
	void *item;
	int error;

	(void)arg;
	while ((error = async_queue_get(queue, &item)) == 0) {
		got_count[(intptr_t)item]++;
		if ((error = async_queue_task_done(queue)))
			return error;
	}
	return error;
}

static intptr_t traffic(void *arg)
{
	async_task *producers[4], *consumers[4];

	(void)arg;
	make_queue(ASYNC_QUEUE_FIFO, 2);
	next_item = 0;
	for (size_t i = 0; i < ITEMS; i++)
		put_count[i] = got_count[i] = 0;
	for (size_t i = 0; i < 4; i++) {
		consumers[i] = async_create_task(consume, NULL);
		producers[i] = async_create_task(produce, NULL);
	}
	give_way(2);
	async_cancel(consumers[0], NULL);
	async_cancel(producers[1], NULL);
	give_way(3);
	async_cancel(consumers[2], NULL);
	async_cancel(producers[3], NULL);
	for (size_t i = 0; i < 4; i++) {
		intptr_t result = async_await(producers[i]);

		assert_true(result == 0 || (result == -ECANCELED && i % 2 == 1));
	}
	assert_int_equal(async_queue_join(queue), 0);
	assert_int_equal(async_queue_shutdown(queue, false), 0);
	for (size_t i = 0; i < 4; i++) {
		intptr_t result = async_await(consumers[i]);

		assert_true(result == -ESHUTDOWN || (result == -ECANCELED && i % 2 == 0));
	}
	for (size_t i = 0; i < ITEMS; i++)
		assert_int_equal(got_count[i], put_count[i]);
	return async_queue_free(queue);
}

static void test_nothing_is_lost_in_any_order(void **state)
{
	(void)state;
	for_each_seed(traffic, 200);
}

/* A loop that closes takes its tasks out of the queue. */
static void test_closed_loop_leaves_no_waiters(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	make_queue(ASYNC_QUEUE_FIFO, 0);
	async_release(async_loop_create_task(loop, get_one, WORD('a'), NULL));
	assert_int_equal(async_loop_run_once(loop), 0);
	assert_int_equal(async_queue_free(queue), -EBUSY);
	loop_end(loop);
	put_numbers("1");
	assert_int_equal(async_queue_free(queue), 0);
	assert_noted("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_getters_are_served_in_order),
		TEST(test_putters_wait_for_room_in_order),
		TEST(test_woken_getter_tries_again),
		TEST(test_woken_and_cancelled_getter_loses_no_item),
		TEST(test_woken_and_cancelled_putter_leaves_its_room),
		TEST(test_nothing_is_lost_in_any_order),
		TEST(test_closed_loop_leaves_no_waiters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
