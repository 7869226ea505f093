/* SPDX-License-Identifier: MIT */
#include "queue_peers.h"

async_queue *queue;

static void drop_item(void *item)
{
	dropped += (int)(intptr_t)item;
}

void make_queue(enum async_queue_order order, size_t max_items)
{
	struct async_queue_options options = ASYNC_QUEUE_OPTIONS_INIT;

	options.order = order;
	options.max_items = max_items;
	options.drop = drop_item;
	dropped = 0;
	assert_int_equal(async_queue_new(&options, &queue), 0);
}

intptr_t get_one(void *arg)
{
	void *item = NULL;
	int error = async_queue_get(queue, &item);

	if (error)
		note("%c!%d", (char)(intptr_t)arg, -error);
	else
		note("%c%d", (char)(intptr_t)arg, (int)(intptr_t)item);
	return error;
}

intptr_t put_one(void *arg)
{
	int error = async_queue_put(queue, arg);

	note("+%d%s", (int)(intptr_t)arg, error == -ECANCELED ? "C" : error ? "!" : "");
	return error;
}

void assert_gets(const char *expected)
{
	void *item;

	while (async_queue_get_nowait(queue, &item) == 0)
		note("%d", (int)(intptr_t)item);
	assert_noted(expected);
}

void put_numbers(const char *digits)
{
	for (; *digits; digits++)
		assert_int_equal(async_queue_put_nowait(queue, WORD(*digits - '0')), 0);
}
