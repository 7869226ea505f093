/* SPDX-License-Identifier: MIT */
#include "bench.h"

#define HANDOVERS 500000

static intptr_t produce(void *arg)
{
	async_future **slot = arg;

	for (int i = 0; i < HANDOVERS;) {
		async_future *future = *slot;
		int error;

		if (future) {
			*slot = NULL;
			error = async_future_set_result(future, i++);
		} else {
			error = async_sleep(0);
		}
		if (error < 0)
			return error;
	}
	return 0;
}

static intptr_t consume_and_time(void *arg)
{
	struct bench_result *result = arg;
	async_future *slot = NULL;
	async_task *producer = async_create_task(produce, &slot);
	intptr_t value = 0, ended;
	double start = bench_now();

	for (int i = 0; i < HANDOVERS && value >= 0; i++) {
		slot = async_future_new(NULL, NULL);
		value = async_await(slot);
	}
	result->value = (bench_now() - start) / HANDOVERS;
	if (value < 0)
		async_cancel(producer, "the consumer failed");
	ended = async_await(producer);
	return value < 0 ? value : ended;
}

static int measure(const struct benchmark *benchmark, struct bench_result *result)
{
	(void)benchmark;
	return (int)async_run(consume_and_time, result);
}

const struct benchmark bench_handover[] = {
	{"handover", "ns", 11, "a future made and awaited by one task, completed by another", measure, 0},
	{.name = NULL},
};
