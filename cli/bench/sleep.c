/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "bench.h"

#define SLEEPERS 1000000

struct sleepers {
	async_time delay; /* 0: a random one, up to a second */
	uint64_t random;
	uint64_t left; /* that have not slept their time */
	async_future *all_slept;
};

/* xorshift64: the same lengths in every run. */
static async_time random_delay(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (async_time)(*state % (uint64_t)ASYNC_S);
}

static intptr_t sleep_once(void *arg)
{
	struct sleepers *sleepers = arg;
	int error = async_sleep(sleepers->delay ? sleepers->delay : random_delay(&sleepers->random));

	if (error == 0 && --sleepers->left == 0)
		async_future_set_result(sleepers->all_slept, 0);
	return error;
}

static intptr_t create_sleepers(struct sleepers *sleepers)
{
	for (int i = 0; i < SLEEPERS; i++) {
		async_task *task = async_create_task(sleep_once, sleepers);

		if (async_done(task))
			return async_await(task);
		async_release(task);
	}
	return 0;
}

static intptr_t sleep_and_time(void *arg)
{
	struct bench_result *result = arg;
	double start = bench_cpu_time();
	struct sleepers sleepers = {.random = 88172645463325252u, .left = SLEEPERS};
	intptr_t error;

	sleepers.all_slept = async_future_new(NULL, NULL);
	error = create_sleepers(&sleepers);
	if (error == 0)
		error = async_await(sleepers.all_slept);
	result->value = (bench_cpu_time() - start) / SLEEPERS;
	return error;
}

/* VmRSS and VmPTE in bytes. */
static double memory_used(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	double sum = 0;
	char line[200];

	while (file && fgets(line, sizeof(line), file)) {
		double kilobytes;

		if (sscanf(line, "VmRSS: %lf", &kilobytes) == 1 || sscanf(line, "VmPTE: %lf", &kilobytes) == 1)
			sum += kilobytes * 1024;
	}
	if (file)
		fclose(file);
	return sum;
}

static intptr_t sleep_and_weigh(void *arg)
{
	struct bench_result *result = arg;
	/* Outlives this task: those who sleep are cancelled after it has ended. */
	static struct sleepers sleepers = {.delay = 3600 * ASYNC_S, .left = SLEEPERS};
	double before = memory_used();
	intptr_t error = create_sleepers(&sleepers);

	if (error == 0)
		error = async_sleep(0);
	result->value = (memory_used() - before) / SLEEPERS;
	return error;
}

static int run_timed(struct bench_result *result)
{
	return (int)async_run(sleep_and_time, result);
}

static int run_weighed(struct bench_result *result)
{
	return (int)async_run(sleep_and_weigh, result);
}

static int measure_cpu(const struct benchmark *benchmark, struct bench_result *result)
{
	(void)benchmark;
	return bench_in_child(run_timed, result);
}

static int measure_bytes(const struct benchmark *benchmark, struct bench_result *result)
{
	(void)benchmark;
	return bench_in_child(run_weighed, result);
}

const struct benchmark bench_sleep[] = {
	{"sleep.1m.cpu", "ns", 1, "CPU for each of 1,000,000 tasks that sleep up to 1 s, creation to end", measure_cpu,
	 0},
	{"sleep.1m.bytes", "bytes", 1, "memory and page tables for each of 1,000,000 sleeping tasks", measure_bytes, 0},
	{.name = NULL},
};
