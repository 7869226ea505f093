/* SPDX-License-Identifier: MIT */
#include "executor_peers.h"

atomic_int runs, jobs_destroyed, jobs_dropped;

void gate_init(struct gate *gate, intptr_t result)
{
	sem_init(&gate->started, 0, 0);
	sem_init(&gate->go, 0, 0);
	gate->result = result;
}

void gate_wait(sem_t *semaphore)
{
	while (sem_wait(semaphore) < 0)
		;
}

intptr_t pass_gate(void *arg)
{
	struct gate *gate = arg;

	atomic_fetch_add(&runs, 1);
	sem_post(&gate->started);
	gate_wait(&gate->go);
	return gate->result;
}

static void destroy(void *arg)
{
	(void)arg;
	jobs_destroyed++;
}

static void drop(intptr_t result)
{
	(void)result;
	jobs_dropped++;
}

async_future *submit_job(async_executor *executor, async_fn *fn, void *arg)
{
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;

	options.destroy = destroy;
	options.drop = drop;
	return async_run_in_executor_with(executor, fn, arg, &options);
}

async_executor *new_thread_pool(size_t max_workers)
{
	struct async_thread_pool_options options = ASYNC_THREAD_POOL_OPTIONS_INIT;
	async_executor *executor = NULL;

	options.max_workers = max_workers;
	options.name = "mine";
	assert_int_equal(async_thread_pool_new(&options, &executor), 0);
	return executor;
}

void forget(void)
{
	runs = jobs_destroyed = jobs_dropped = 0;
}

async_future *occupy(async_executor *executor, struct gate *gate, intptr_t result)
{
	gate_init(gate, result);
	async_future *future = submit_job(executor, pass_gate, gate);
	give_way(1);
	gate_wait(&gate->started);
	return future;
}
