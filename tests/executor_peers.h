/* SPDX-License-Identifier: MIT */
/* What the tests of executors have in common: a pool of threads, jobs that count, and a gate at which one waits. */
#ifndef TESTS_EXECUTOR_PEERS_H
#define TESTS_EXECUTOR_PEERS_H

#include "harness.h"

#include <semaphore.h>
#include <stdatomic.h>

/* A job that says when it runs, and goes on when it is told to. */
struct gate {
	sem_t started, go;
	intptr_t result;
};

void gate_init(struct gate *gate, intptr_t result);
void gate_wait(sem_t *semaphore);

/* How many jobs ran, and of how many the argument was destroyed or the result dropped. */
extern atomic_int runs, jobs_destroyed, jobs_dropped;
/* Sets these to zero. */
void forget(void);

/* A job of a gate. */
intptr_t pass_gate(void *arg);
/* A job that gives its argument back. Static, as such short names are taken in other tests. */
static inline intptr_t return_arg(void *arg)
{
	atomic_fetch_add(&runs, 1);
	return (intptr_t)arg;
}

/* A pool of threads named "mine". */
async_executor *new_thread_pool(size_t max_workers);
/* A job of which all ends are counted. */
async_future *submit_job(async_executor *executor, async_fn *fn, void *arg);
/* Occupies a pool of one thread. Submission is at the end of an iteration. */
async_future *occupy(async_executor *executor, struct gate *gate, intptr_t result);

#endif
