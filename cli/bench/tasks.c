/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "bench.h"

#define SPAWNS 1000000
#define FAN 100000
#define ROUNDS 5

static intptr_t trivial(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t yield_once(void *arg)
{
	(void)arg;
	return async_sleep(0);
}

static intptr_t sleep_long(void *arg)
{
	(void)arg;
	return async_sleep(3600 * ASYNC_S);
}

static intptr_t spawn_and_time(void *arg)
{
	struct bench_result *result = arg;
	double start = bench_now();

	for (int i = 0; i < SPAWNS; i++) {
		intptr_t value = async_await(async_create_task(trivial, NULL));

		if (value < 0)
			return value;
	}
	result->value = (bench_now() - start) / SPAWNS;
	return 0;
}

/* Returns: 0, or an error other than `expected` that a task ended with. */
static intptr_t join(async_task **tasks, intptr_t expected)
{
	intptr_t result = 0;

	for (size_t i = 0; i < FAN; i++) {
		intptr_t ended = async_await(tasks[i]);

		if (ended != expected)
			result = ended < 0 ? ended : -EPROTO;
	}
	return result;
}

static intptr_t fan_round(async_task **tasks, double *elapsed)
{
	double start = bench_now();
	intptr_t result;

	for (size_t i = 0; i < FAN; i++)
		tasks[i] = async_create_task(yield_once, NULL);
	result = join(tasks, 0);
	*elapsed = bench_now() - start;
	return result;
}

static intptr_t cancel_round(async_task **tasks, double *elapsed)
{
	double start;
	intptr_t result;

	for (size_t i = 0; i < FAN; i++)
		tasks[i] = async_create_task(sleep_long, NULL);
	result = async_sleep(0);
	start = bench_now();
	for (size_t i = 0; i < FAN; i++)
		async_cancel(tasks[i], "measured");
	if (result == 0)
		result = join(tasks, -ECANCELED);
	*elapsed = bench_now() - start;
	return result;
}

/* The first round finds memory untouched and is not counted. */
static intptr_t time_rounds(intptr_t (*round)(async_task **, double *), struct bench_result *result)
{
	async_task **tasks = calloc(FAN, sizeof(async_task *));
	double elapsed[ROUNDS + 1];
	intptr_t error = tasks ? 0 : -ENOMEM;

	for (int i = 0; i <= ROUNDS && error == 0; i++)
		error = round(tasks, &elapsed[i]);
	free(tasks);
	if (error == 0)
		result->value = bench_median(elapsed + 1, ROUNDS) / FAN;
	return error;
}

static intptr_t fan_and_time(void *arg)
{
	return time_rounds(fan_round, arg);
}

static intptr_t cancel_and_time(void *arg)
{
	return time_rounds(cancel_round, arg);
}

static int measure_spawn(const struct benchmark *benchmark, struct bench_result *result)
{
	(void)benchmark;
	return (int)async_run(spawn_and_time, result);
}

static int measure_fan_out(const struct benchmark *benchmark, struct bench_result *result)
{
	(void)benchmark;
	return (int)async_run(fan_and_time, result);
}

static int measure_cancel(const struct benchmark *benchmark, struct bench_result *result)
{
	(void)benchmark;
	return (int)async_run(cancel_and_time, result);
}

const struct benchmark bench_tasks[] = {
	{"spawn", "ns", 11, "create, run, finish and await a trivial task", measure_spawn, 0},
	{"fan_out", "ns", 3, "each of 100,000 tasks that yield once, created and joined, warm", measure_fan_out, 0},
	{"cancel", "ns", 3, "each of 100,000 sleeping tasks, cancelled and joined, warm", measure_cancel, 0},
	{.name = NULL},
};
