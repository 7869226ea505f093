/* SPDX-License-Identifier: MIT */
#include "worker_peers.h"

#include <string.h>
#include <unistd.h>

void ring(struct job_sink *sink)
{
	struct inbox *inbox = container_of(sink, struct inbox, sink);

	atomic_fetch_add(&inbox->wakes, 1);
	atomic_store(&inbox->bell, 1);
	futex_wake(&inbox->bell, 1);
}

struct job *inbox_take(struct inbox *inbox)
{
	struct job *job;

	while (!(job = job_sink_take(&inbox->sink))) {
		futex_wait(&inbox->bell, 0);
		atomic_exchange(&inbox->bell, 0);
	}
	return job;
}

void inbox_collect(struct inbox *inbox, size_t count)
{
	while (count > 0) {
		for (struct job *job = inbox_take(inbox); job; job = job->next) {
			assert_true(count > 0);
			count--;
		}
	}
	job_sink_settle(&inbox->sink);
	assert_false(job_sink_ready(&inbox->sink));
}

void gate_open(atomic_int *gate)
{
	atomic_store(gate, 1);
	futex_wake(gate, 1000);
}

static void work_run(struct job *job)
{
	struct work *work = container_of(job, struct work, job);

	atomic_fetch_add(&work->runs, 1);
	if (work->counter)
		work->order = atomic_fetch_add(work->counter, 1);
	while (work->gate && atomic_load(work->gate) == 0)
		futex_wait(work->gate, 0);
}

void work_init(struct work *works, size_t count, struct inbox *inbox)
{
	memset(works, 0, count * sizeof(*works));
	for (size_t i = 0; i < count; i++) {
		works[i].job.run = work_run;
		works[i].job.sink = &inbox->sink;
		works[i].job.next = i + 1 < count ? &works[i + 1].job : NULL;
	}
}

void work_hold(struct work *works, size_t count, atomic_int *counter, atomic_int *gate)
{
	for (size_t i = 0; i < count; i++) {
		works[i].counter = counter;
		works[i].gate = gate;
	}
}

struct pool *new_pool(size_t max_threads)
{
	const struct pool_options options = {.max_threads = max_threads, .name = "test"};
	struct pool *pool = NULL;

	assert_int_equal(pool_new(&options, &pool), 0);
	assert_int_equal(pool_max_threads(pool), max_threads);
	assert_int_equal(pool_threads(pool), 0);
	return pool;
}

void submit(struct pool *pool, struct work *works, size_t count)
{
	assert_int_equal(pool_submit(pool, &works[0].job, count), 0);
}
