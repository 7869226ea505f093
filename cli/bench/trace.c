/* SPDX-License-Identifier: MIT */
#include "bench.h"

#define TASKS 10
#define YIELDS 100000

struct yields {
	double elapsed;
};

static intptr_t yield_often(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < YIELDS; i++)
		if (async_sleep(0) < 0)
			return -1;
	return 0;
}

static intptr_t yield_and_join(void *arg)
{
	struct yields *yields = arg;
	async_task *tasks[TASKS];
	double began;
	intptr_t result;

	for (size_t i = 0; i < TASKS; i++)
		tasks[i] = async_create_task(yield_often, NULL);
	began = bench_now();
	result = async_await(async_gather(tasks, TASKS, 0, NULL));
	yields->elapsed = bench_now() - began;
	return result < 0 ? result : 0;
}

/* A yield is one event: what it takes longer with the trace on. */
static int measure_event(const struct benchmark *benchmark, struct bench_result *result)
{
	struct yields without, with;
	intptr_t error = async_run(yield_and_join, &without);

	(void)benchmark;
	if (error >= 0)
		error = async_trace_start(NULL);
	if (error < 0)
		return (int)error;
	error = async_run(yield_and_join, &with);
	async_trace_stop();
	result->value = (with.elapsed - without.elapsed) / (TASKS * YIELDS);
	return (int)error;
}

const struct benchmark bench_trace[] = {
	{"trace.event", "ns", 11, "one event of the trace: what a yield takes longer with it", measure_event, 0},
	{.name = NULL},
};
