/* SPDX-License-Identifier: MIT */
/* Jobs of the raw pool that are withdrawn, and its end at any moment: nothing is left behind. */
#include "worker_peers.h"

#include <pthread.h>
#include <stdlib.h>

static void withdraw_from_the_queue(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(2);
	atomic_int running = 0, gate = 0;
	struct work works[4];

	(void)state;
	work_init(works, 4, &inbox);
	work_hold(works, 4, &running, &gate);
	works[3].job.lane = LANE_SLOW;
	submit(pool, works, 2);
	wait_until(atomic_load(&running) == 2);
	submit(pool, &works[2], 2);
	assert_int_equal(pool_withdraw(pool, &works[2].job), POOL_REMOVED);
	assert_int_equal(pool_withdraw(pool, &works[3].job), POOL_REMOVED);
	assert_int_equal(works[2].job.state, JOB_IDLE);
	assert_int_equal(pool_withdraw(pool, &works[0].job), POOL_TOO_LATE);
	gate_open(&gate);
	inbox_collect(&inbox, 2);
	assert_int_equal(pool_withdraw(pool, &works[0].job), POOL_TOO_LATE);
	assert_int_equal(works[2].runs + works[3].runs, 0);
	/* It is the caller's again: it may be submitted anew. */
	works[2].job.next = NULL;
	submit(pool, &works[2], 1);
	inbox_collect(&inbox, 1);
	assert_int_equal(works[2].runs, 1);
	pool_free(pool);
}

enum { BATCH = 24 };

/* Lets the only thread begin a batch whose first job waits at `gate`. How large the batch is depends on how fast
 * the jobs before it were. */
static void begin_batch(struct pool *pool, struct work *works, struct inbox *inbox, atomic_int *gate)
{
	atomic_int running = 0;

	atomic_store(gate, 0);
	work_init(works, BATCH, inbox);
	works[4].counter = &running;
	works[4].gate = gate;
	submit(pool, works, BATCH);
	wait_until(atomic_load(&running) == 1);
	works[4].counter = NULL;
}

static void withdraw_from_a_worker(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(1);
	struct work works[BATCH];
	bool held = false;
	atomic_int gate;

	(void)state;
	for (int attempt = 0; attempt < 2000 && !held; attempt++) {
		begin_batch(pool, works, &inbox, &gate);
		held = pool_withdraw(pool, &works[5].job) == POOL_WILL_SKIP;
		assert_int_equal(works[5].job.state, held ? JOB_WITHDRAWN : JOB_IDLE);
		gate_open(&gate);
		inbox_collect(&inbox, held ? BATCH : BATCH - 1);
		assert_int_equal(works[5].runs, 0);
		assert_int_equal(works[6].runs, 1);
	}
	pool_free(pool);
	/* There no job may be short enough for a batch. */
	if (!held && RUNNING_ON_VALGRIND)
		skip();
	assert_true(held);
}

static void shutdown_drains(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(2);
	struct work works[BATCH];

	(void)state;
	work_init(works, BATCH, &inbox);
	for (size_t i = 0; i < BATCH; i += 2)
		works[i].job.lane = LANE_SLOW;
	submit(pool, works, BATCH);
	pool_shutdown(pool, false);
	assert_int_equal(pool_join(pool), 0);
	assert_int_equal(pool_threads(pool), 0);
	inbox_collect(&inbox, BATCH);
	for (size_t i = 0; i < BATCH; i++)
		assert_int_equal(works[i].runs, 1);
	assert_int_equal(pool_submit(pool, &works[0].job, 1), -ESHUTDOWN);
	assert_int_equal(works[0].job.state, JOB_IDLE);
	pool_free(pool);
}

static void shutdown_drops(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(1);
	struct work works[BATCH];
	atomic_int gate;

	(void)state;
	begin_batch(pool, works, &inbox, &gate);
	pool_shutdown(pool, true);
	for (size_t i = 5; i < BATCH; i++)
		assert_int_equal(works[i].job.state, JOB_WITHDRAWN);
	gate_open(&gate);
	assert_int_equal(pool_join(pool), 0);
	inbox_collect(&inbox, BATCH);
	for (size_t i = 0; i < BATCH; i++)
		assert_int_equal(works[i].runs, i < 5);
	pool_free(pool);
}

/* First drained, then in a hurry. */
static void shutdown_may_drop_later(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(1);
	struct work works[BATCH];
	atomic_int gate;

	(void)state;
	begin_batch(pool, works, &inbox, &gate);
	pool_shutdown(pool, false);
	assert_int_equal(works[5].job.state, JOB_QUEUED);
	pool_shutdown(pool, true);
	gate_open(&gate);
	pool_free(pool);
	inbox_collect(&inbox, BATCH);
	assert_int_equal(works[BATCH - 1].runs, 0);
}

static void *join_pool(void *pool)
{
	return (void *)(intptr_t)pool_join(pool);
}

static void two_threads_join(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(2);
	atomic_int gate = 0;
	pthread_t threads[2];
	struct work works[2];
	void *result;

	(void)state;
	work_init(works, 2, &inbox);
	works[0].gate = works[1].gate = &gate;
	submit(pool, works, 2);
	pool_shutdown(pool, false);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, join_pool, pool), 0);
	gate_open(&gate);
	for (size_t i = 0; i < 2; i++) {
		pthread_join(threads[i], &result);
		assert_null(result);
	}
	assert_int_equal(pool_threads(pool), 0);
	inbox_collect(&inbox, 2);
	pool_free(pool);
}

/* Submissions, withdrawals and a shutdown at any moment; whatever was accepted comes back, run or not. */
struct racer {
	struct pool *pool;
	unsigned seed;
	pthread_t thread;
};

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 16;
}

static void *race(void *arg)
{
	enum { HEAP = 32 };
	struct racer *racer = arg;
	struct inbox *inbox = calloc(1, sizeof(*inbox));
	int error;

	inbox->sink.wake = ring;
	do {
		size_t count = 1 + next_random(&racer->seed) % HEAP, back = 0;
		struct work *works = calloc(count, sizeof(*works));

		work_init(works, count, inbox);
		for (size_t i = 0; i < count; i++)
			works[i].job.lane = next_random(&racer->seed) % 4 == 0 ? LANE_SLOW : LANE_JOBS;
		error = pool_submit(racer->pool, &works[0].job, count);
		for (size_t i = 0; !error && i < count; i++)
			if (next_random(&racer->seed) % 2 && pool_withdraw(racer->pool, &works[i].job) == POOL_REMOVED)
				back++;
		if (!error)
			inbox_collect(inbox, count - back);
		/* Freed at once, so that a thread that still touched a job would be caught. */
		for (size_t i = 0; i < count; i++)
			if (works[i].runs > 1 || (works[i].runs == 1) != (works[i].job.state == JOB_DONE))
				abort();
		free(works);
	} while (!error);
	free(inbox);
	return (void *)(intptr_t)error;
}

static void races(void **state)
{
	(void)state;
	for (unsigned round = 0; round < (RUNNING_ON_VALGRIND ? 10 : 100); round++) {
		struct pool *pool = new_pool(1 + round % 4);
		struct racer racers[3];
		struct inbox inbox = {.sink.wake = ring};
		struct work works[20];
		void *result;

		for (unsigned i = 0; i < 3; i++) {
			racers[i] = (struct racer){.pool = pool, .seed = round * 3 + i};
			assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
		}
		for (unsigned i = 0; i < 1 + round % 20; i++) {
			work_init(works, 20, &inbox);
			submit(pool, works, 20);
			inbox_collect(&inbox, 20);
		}
		pool_shutdown(pool, round % 2);
		for (unsigned i = 0; i < 3; i++) {
			pthread_join(racers[i].thread, &result);
			assert_int_equal((intptr_t)result, -ESHUTDOWN);
		}
		pool_free(pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(withdraw_from_the_queue),
		cmocka_unit_test(withdraw_from_a_worker),
		cmocka_unit_test(shutdown_drains),
		cmocka_unit_test(shutdown_drops),
		cmocka_unit_test(shutdown_may_drop_later),
		cmocka_unit_test(two_threads_join),
		cmocka_unit_test(races),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
