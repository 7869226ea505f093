/* SPDX-License-Identifier: MIT */
/* What the tests of the raw pool have in common: jobs that count, gates at which they wait, sinks to collect them. */
#ifndef TESTS_WORKER_PEERS_H
#define TESTS_WORKER_PEERS_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/futex.h"
#include "worker/pool.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

/* A sink whose owner sleeps until it is woken: `sink.wake` is `ring`. */
struct inbox {
	struct job_sink sink;
	atomic_int bell;
	atomic_uint wakes;
};

void ring(struct job_sink *sink);
/* Sleeps until there are jobs, and takes them. */
struct job *inbox_take(struct inbox *inbox);
/* Takes back `count` jobs, no more. */
void inbox_collect(struct inbox *inbox, size_t count);

struct work {
	struct job job;
	atomic_int runs;
	atomic_int *counter; /* raised when it runs */
	atomic_int *gate;    /* then waits until it is open */
	int order;
};

void gate_open(atomic_int *gate);
/* Makes a list of jobs that come back to the inbox. */
void work_init(struct work *works, size_t count, struct inbox *inbox);
/* Has each count itself when it runs, and then wait for the gate. */
void work_hold(struct work *works, size_t count, atomic_int *counter, atomic_int *gate);

#define wait_until(condition) \
	while (!(condition)) \
	sched_yield()

/* A pool without threads so far. */
struct pool *new_pool(size_t max_threads);
/* It takes all of them. */
void submit(struct pool *pool, struct work *works, size_t count);

#endif
