/* SPDX-License-Identifier: MIT */
#include "select_peers.h"

async_queue *left, *right;

void make_queues(size_t max_items)
{
	struct async_queue_options options = ASYNC_QUEUE_OPTIONS_INIT;

	options.max_items = max_items;
	assert_int_equal(async_queue_new(&options, &left), 0);
	assert_int_equal(async_queue_new(&options, &right), 0);
}

struct with_queues {
	async_fn *fn;
	size_t max_items;
};

void free_queues(void)
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

void run_with_queues(async_fn *fn, size_t max_items)
{
	struct with_queues test = {fn, max_items};

	assert_int_equal(run_virtual(with_queues, &test), 0);
}

void put(async_queue *queue, int number)
{
	assert_int_equal(async_queue_put_nowait(queue, WORD(number)), 0);
}

int get(async_queue *queue)
{
	void *item = WORD(-1);

	(void)async_queue_get_nowait(queue, &item);
	return (int)(intptr_t)item;
}

intptr_t plain_get(void *arg)
{
	void *item;
	int error = async_queue_get(arg, &item);

	note("plain%d", error ? error : (int)(intptr_t)item);
	return error;
}
