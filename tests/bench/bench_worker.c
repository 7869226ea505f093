/* SPDX-License-Identifier: MIT */
/*
 * What the raw pool costs: nanoseconds a tiny job, by number of workers; a round trip while both sides are awake;
 * and from idle, beside the least that can be had, a futex to and fro. Medians; the last two alternate.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "worker/futex.h"
#include "worker/pool.h"

enum { BATCH = 256, JOBS = 1000000, RUNS = 9, TRIPS = 20000, WAKES = 300 };

static struct job jobs[BATCH];
static atomic_int woken;

static void nothing(struct job *job)
{
	(void)job;
}

/* A submitter that never sleeps needs no waking. */
static void no_wake(struct job_sink *sink)
{
	(void)sink;
}

static void futex_ring(struct job_sink *sink)
{
	(void)sink;
	atomic_store(&woken, 1);
	futex_wake(&woken, 1);
}

static struct job_sink sink = {.wake = no_wake};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

/* Waits without sleeping until something is back. */
static struct job *take_some(void)
{
	while (!job_sink_ready(&sink))
		cpu_relax();
	return job_sink_take(&sink);
}

static size_t length(const struct job *job)
{
	size_t count = 0;

	for (; job; job = job->next)
		count++;
	return count;
}

static void submit(struct pool *pool, struct job *first, size_t count)
{
	if (pool_submit(pool, first, count) != 0)
		abort();
}

static void link_jobs(void)
{
	for (size_t i = 0; i < BATCH; i++) {
		jobs[i].run = nothing;
		jobs[i].sink = &sink;
		jobs[i].next = i + 1 < BATCH ? &jobs[i + 1] : NULL;
	}
}

static struct pool *new_pool(size_t threads)
{
	const struct pool_options options = {.max_threads = threads, .name = "bench"};
	struct pool *pool;

	if (pool_new(&options, &pool) != 0)
		abort();
	return pool;
}

/* The submitter sends back what has come back: 256 jobs are always under way. */
static void bench_jobs(size_t threads)
{
	struct pool *pool = new_pool(threads);
	double runs[RUNS];

	for (size_t r = 0; r < RUNS; r++) {
		int64_t began = clock_now();
		size_t done = 0;

		submit(pool, jobs, BATCH);
		while (done < JOBS) {
			struct job *first = take_some();
			size_t count = length(first);

			submit(pool, first, count);
			done += count;
		}
		runs[r] = (double)(clock_now() - began) / (double)done;
		for (size_t left = BATCH; left > 0;)
			left -= length(take_some());
		link_jobs();
	}
	printf("jobs.%zu        %8.1f ns a job\n", threads, median(runs, RUNS));
	pool_free(pool);
}

static void bench_busy(void)
{
	struct pool *pool = new_pool(1);
	double runs[RUNS];

	for (size_t r = 0; r < RUNS; r++) {
		int64_t began = clock_now();
		for (size_t t = 0; t < TRIPS; t++) {
			submit(pool, jobs, 1);
			(void)take_some();
		}
		runs[r] = (double)(clock_now() - began) / TRIPS;
	}
	printf("round trip busy %8.1f ns\n", median(runs, RUNS));
	pool_free(pool);
}

static atomic_int ball; /* 0: here, 1: there, -1: over */

static void *other_side(void *arg)
{
	for (;;) {
		int now = atomic_load(&ball);

		if (now < 0)
			return arg;
		if (now == 0) {
			futex_wait(&ball, 0);
			continue;
		}
		atomic_store(&ball, 0);
		futex_wake(&ball, 1);
	}
}

/* Long enough for either side to fall asleep. */
static void rest(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void bench_idle(void)
{
	struct pool *pool = new_pool(1);
	double with_pool[WAKES], bare[WAKES];
	pthread_t thread;

	sink.wake = futex_ring;
	pthread_create(&thread, NULL, other_side, NULL);
	for (size_t i = 0; i < WAKES; i++) {
		rest();
		int64_t began = clock_now();
		submit(pool, jobs, 1);
		while (!atomic_load(&woken))
			futex_wait(&woken, 0);
		atomic_store(&woken, 0);
		with_pool[i] = (double)(clock_now() - began);
		(void)job_sink_take(&sink);

		rest();
		began = clock_now();
		atomic_store(&ball, 1);
		futex_wake(&ball, 1);
		while (atomic_load(&ball) == 1)
			futex_wait(&ball, 1);
		bare[i] = (double)(clock_now() - began);
	}
	atomic_store(&ball, -1);
	futex_wake(&ball, 1);
	pthread_join(thread, NULL);
	double pool_ns = median(with_pool, WAKES), bare_ns = median(bare, WAKES);
	printf("round trip idle %8.1f ns, bare futex %.1f ns, ratio %.2f\n", pool_ns, bare_ns, pool_ns / bare_ns);
	pool_free(pool);
}

int main(void)
{
	link_jobs();
	bench_jobs(1);
	bench_jobs(2);
	bench_busy();
	bench_idle();
	return 0;
}
