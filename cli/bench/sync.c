/* SPDX-License-Identifier: MIT */
#include "bench.h"

#define ACQUISITIONS 5000000
#define HANDOVERS 1000000

static intptr_t time_lock(void *arg)
{
	struct bench_result *result = arg;
	struct async_lock lock = ASYNC_LOCK_INIT;
	double start = bench_now();

	for (int i = 0; i < ACQUISITIONS; i++) {
		int error = async_lock_acquire(&lock);

		if (error < 0)
			return error;
		async_lock_release(&lock);
	}
	result->value = (bench_now() - start) / ACQUISITIONS;
	return 0;
}

/* There and back: each item wakes the other task, which waits for nothing else. */
struct pair {
	async_queue *there, *back;
};

static intptr_t echo(void *arg)
{
	struct pair *pair = arg;
	void *item;
	int error = 0;

	for (int i = 0; i < HANDOVERS / 2 && error == 0; i++) {
		error = async_queue_get(pair->there, &item);
		if (error == 0)
			error = async_queue_put(pair->back, item);
	}
	return error;
}

static int go_back_and_forth(struct pair *pair)
{
	void *item = NULL;
	int error = 0;

	for (int i = 0; i < HANDOVERS / 2 && error == 0; i++) {
		error = async_queue_put(pair->there, item);
		if (error == 0)
			error = async_queue_get(pair->back, &item);
	}
	return error;
}

static intptr_t time_queue(void *arg)
{
	struct bench_result *result = arg;
	struct pair pair = {NULL, NULL};
	int error = async_queue_new(NULL, &pair.there);

	if (error == 0)
		error = async_queue_new(NULL, &pair.back);
	if (error == 0) {
		async_task *other = async_create_task(echo, &pair);
		double start = bench_now();

		error = go_back_and_forth(&pair);
		result->value = (bench_now() - start) / HANDOVERS;
		if (error < 0)
			async_cancel(other, "the other end failed");
		intptr_t ended = async_await(other);
		if (error == 0)
			error = (int)ended;
	}
	async_queue_free(pair.there);
	async_queue_free(pair.back);
	return error;
}

static int measure_lock(const struct benchmark *benchmark, struct bench_result *result)
{
	(void)benchmark;
	return (int)async_run(time_lock, result);
}

static int measure_queue(const struct benchmark *benchmark, struct bench_result *result)
{
	(void)benchmark;
	return (int)async_run(time_queue, result);
}

const struct benchmark bench_sync[] = {
	{"lock", "ns", 11, "an uncontended lock taken and released", measure_lock, 0},
	{"queue", "ns", 11, "an item from one task to another that waits for it", measure_queue, 0},
	{.name = NULL},
};
