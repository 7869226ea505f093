/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define ROUND_TRIPS 20000
#define WARM_UP 1000
#define IDLE_ROUNDS 150
#define PAUSE (2 * ASYNC_MS) /* longer than either side spins */
#define JOBS 2000000
#define WINDOW 4096 /* jobs in flight */

static intptr_t trivial(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t round_trips(int count)
{
	intptr_t result = 0;

	for (int i = 0; i < count && result == 0; i++)
		result = async_to_thread(trivial, NULL);
	return result;
}

static intptr_t time_busy(void *arg)
{
	struct bench_result *result = arg;
	intptr_t error = round_trips(WARM_UP);
	double start = bench_now();

	if (error == 0)
		error = round_trips(ROUND_TRIPS);
	result->value = (bench_now() - start) / ROUND_TRIPS;
	return error;
}

/* The least that two threads can do: one sleeps on a word, the other changes it, and back. */
struct pair {
	_Atomic uint32_t word; /* even: the partner's turn is over */
	bool over;
};

static void pass(struct pair *pair)
{
	atomic_fetch_add(&pair->word, 1);
	syscall(SYS_futex, &pair->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wait_while(struct pair *pair, uint32_t parity)
{
	uint32_t word;

	while ((word = atomic_load(&pair->word)) % 2 == parity)
		syscall(SYS_futex, &pair->word, FUTEX_WAIT_PRIVATE, word, NULL, NULL, 0);
}

static void *partner(void *arg)
{
	struct pair *pair = arg;

	for (;;) {
		wait_while(pair, 0);
		if (pair->over)
			return NULL;
		pass(pair);
	}
}

static double time_pair(struct pair *pair)
{
	struct timespec pause = {0, PAUSE};
	double start;

	nanosleep(&pause, NULL);
	start = bench_now();
	pass(pair);
	wait_while(pair, 1);
	return bench_now() - start;
}

static intptr_t alternate(struct pair *pair, struct bench_result *result)
{
	double ours[IDLE_ROUNDS], bare[IDLE_ROUNDS], median;
	intptr_t error = round_trips(1);

	for (int i = 0; i < IDLE_ROUNDS && error == 0; i++) {
		double start;

		bare[i] = time_pair(pair);
		error = async_sleep(PAUSE);
		start = bench_now();
		if (error == 0)
			error = round_trips(1);
		ours[i] = bench_now() - start;
	}
	if (error < 0)
		return error;
	median = bench_median(bare, IDLE_ROUNDS);
	result->value = bench_median(ours, IDLE_ROUNDS);
	result->ratio = result->value / median;
	return 0;
}

static intptr_t time_idle(void *arg)
{
	struct pair pair = {0};
	pthread_t thread;
	intptr_t error;

	if (pthread_create(&thread, NULL, partner, &pair) != 0)
		return -EAGAIN;
	error = alternate(&pair, arg);
	pair.over = true;
	pass(&pair);
	pthread_join(thread, NULL);
	return error;
}

/* Keeps a window of jobs in flight, and takes the results in order. */
static intptr_t time_jobs(void *arg)
{
	struct bench_result *result = arg;
	static async_future *window[WINDOW];
	double start = bench_now();
	intptr_t error = 0;

	for (int i = 0; i < JOBS + WINDOW; i++) {
		async_future **slot = &window[i % WINDOW];

		if (i >= WINDOW) {
			intptr_t value = async_await(*slot);

			if (value < 0)
				error = value;
		}
		if (i < JOBS)
			*slot = async_run_in_executor(NULL, trivial, NULL);
	}
	result->value = JOBS / ((bench_now() - start) / 1e9);
	return error;
}

static int measure_busy(const struct benchmark *benchmark, struct bench_result *result)
{
	(void)benchmark;
	return (int)async_run(time_busy, result);
}

static int measure_idle(const struct benchmark *benchmark, struct bench_result *result)
{
	(void)benchmark;
	return (int)async_run(time_idle, result);
}

static int measure_jobs(const struct benchmark *benchmark, struct bench_result *result)
{
	struct async_options options = ASYNC_OPTIONS_INIT;

	options.max_workers = benchmark->parameter;
	return (int)async_run_with(time_jobs, result, &options);
}

const struct benchmark bench_executor[] = {
	{"executor.busy", "ns", 11, "a round trip to a worker and back, one after the other", measure_busy, 0},
	{"executor.idle", "ns", 3, "times a bare futex pair; a round trip when all sleep", measure_idle, 0},
	{"executor.jobs", "jobs/s", 5, "tiny jobs with 2 workers, 4,096 in flight", measure_jobs, 2},
	{.name = NULL},
};
