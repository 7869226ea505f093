/* SPDX-License-Identifier: MIT */
/* The raw pool: every job comes back once, nothing is starved. */
#include "worker_peers.h"

#include <pthread.h>
#include <string.h>

enum { MANY = 2000 };

struct submitter {
	struct pool *pool;
	struct work works[MANY];
	struct inbox inbox;
};

static void *submit_many(void *arg)
{
	struct submitter *submitter = arg;

	for (size_t i = 0; i < MANY; i += 50)
		submit(submitter->pool, &submitter->works[i], 50);
	inbox_collect(&submitter->inbox, MANY);
	return NULL;
}

static void every_job_runs_once(void **state)
{
	static struct submitter submitters[4];
	pthread_t threads[4];
	struct pool *pool = new_pool(3);

	(void)state;
	memset(submitters, 0, sizeof(submitters));
	for (size_t i = 0; i < 4; i++) {
		submitters[i].pool = pool;
		submitters[i].inbox.sink.wake = ring;
		work_init(submitters[i].works, MANY, &submitters[i].inbox);
		assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &submitters[i]), 0);
	}
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < 4; i++) {
		for (size_t k = 0; k < MANY; k++) {
			assert_int_equal(submitters[i].works[k].runs, 1);
			assert_int_equal(submitters[i].works[k].job.state, JOB_DONE);
		}
	}
	pool_free(pool);
}

/* With one thread slow jobs have no lane of their own. */
static void one_thread_keeps_the_order(void **state)
{
	static struct work works[500];
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(1);
	atomic_int count = 0;
	int expected = 0;

	(void)state;
	work_init(works, 500, &inbox);
	for (size_t i = 0; i < 500; i++) {
		works[i].counter = &count;
		works[i].job.lane = i % 3 == 0 ? LANE_SLOW : LANE_JOBS;
	}
	submit(pool, works, 500);
	while (expected < 500)
		for (struct job *job = inbox_take(&inbox); job; job = job->next)
			assert_ptr_equal(job, &works[expected++].job);
	for (int i = 0; i < 500; i++)
		assert_int_equal(works[i].order, i);
	job_sink_settle(&inbox.sink);
	pool_free(pool);
}

static void slow_jobs_leave_threads_free(void **state)
{
	(void)state;
	for (size_t max = 2; max <= 5; max++) {
		struct inbox slow_box = {.sink.wake = ring}, inbox = {.sink.wake = ring};
		struct pool *pool = new_pool(max);
		struct work slow[20], normal[50];
		atomic_int running = 0, gate = 0;

		work_init(slow, 20, &slow_box);
		work_init(normal, 50, &inbox);
		for (size_t i = 0; i < 20; i++) {
			slow[i].job.lane = LANE_SLOW;
			slow[i].counter = &running;
			slow[i].gate = &gate;
		}
		submit(pool, slow, 20);
		wait_until(atomic_load(&running) == (int)(max / 2));
		submit(pool, normal, 50);
		inbox_collect(&inbox, 50);
		assert_int_equal(atomic_load(&running), max / 2);
		gate_open(&gate);
		inbox_collect(&slow_box, 20);
		pool_free(pool);
	}
}

/* A slow job does not wait until the normal lane is empty. */
static void normal_jobs_do_not_starve_slow_ones(void **state)
{
	enum { NORMAL = 200 };
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(2);
	atomic_int running = 0, count = 0, gates[2] = {0};
	struct work holders[2], works[NORMAL + 1];

	(void)state;
	work_init(holders, 2, &inbox);
	work_init(works, NORMAL + 1, &inbox);
	for (size_t i = 0; i < 2; i++) {
		holders[i].counter = &running;
		holders[i].gate = &gates[i];
	}
	for (size_t i = 0; i <= NORMAL; i++)
		works[i].counter = &count;
	works[NORMAL].job.lane = LANE_SLOW;
	submit(pool, holders, 2);
	wait_until(atomic_load(&running) == 2);
	submit(pool, works, NORMAL + 1);
	gate_open(&gates[0]);
	inbox_collect(&inbox, 1 + NORMAL + 1);
	/* One thread ran them all, taking from the lanes in turn. */
	assert_true(works[NORMAL].order < NORMAL / 2);
	gate_open(&gates[1]);
	inbox_collect(&inbox, 1);
	pool_free(pool);
}

/* The long job waits for all the others: if one was held back behind it, this would never end. */
struct hostage {
	struct work work;
	atomic_int *done;
	int others;
};

static void hostage_run(struct job *job)
{
	struct hostage *hostage = container_of(job, struct hostage, work.job);

	while (atomic_load(hostage->done) < hostage->others)
		sched_yield();
}

static void batch_is_not_stranded_behind_a_long_job(void **state)
{
	enum { OTHERS = 60 };
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(2);
	static struct work works[OTHERS];
	struct hostage hostage;
	atomic_int done;

	(void)state;
	for (int round = 0; round < 5 * OTHERS; round++) {
		int at = round % (OTHERS - 1);

		atomic_store(&done, 0);
		work_init(works, OTHERS, &inbox);
		work_init(&hostage.work, 1, &inbox);
		hostage.work.job.run = hostage_run;
		hostage.done = &done;
		hostage.others = OTHERS;
		for (int i = 0; i < OTHERS; i++)
			works[i].counter = &done;
		hostage.work.job.next = works[at].job.next;
		works[at].job.next = &hostage.work.job;
		submit(pool, works, OTHERS + 1);
		inbox_collect(&inbox, OTHERS + 1);
	}
	pool_free(pool);
}

/* One wake-up per batch, in the order in which they came back, and settle waits for the one that is under way. */
static atomic_int wake_gate;

static void slow_ring(struct job_sink *sink)
{
	atomic_fetch_add(&container_of(sink, struct inbox, sink)->wakes, 1);
	while (!atomic_load(&wake_gate))
		futex_wait(&wake_gate, 0);
}

static void *open_wake_gate(void *arg)
{
	gate_open(&wake_gate);
	return arg;
}

static void a_sink_wakes_once_per_batch(void **state)
{
	struct inbox inbox = {.sink.wake = slow_ring};
	struct pool *pool = new_pool(2);
	struct work works[10];
	pthread_t thread;

	(void)state;
	atomic_store(&wake_gate, 0);
	work_init(works, 10, &inbox);
	submit(pool, works, 1);
	wait_until(atomic_load(&inbox.wakes) == 1);
	works[0].job.next = NULL;
	submit(pool, &works[1], 9);
	/* The other thread brings these while the first is still waking. */
	wait_until(atomic_load(&inbox.sink.done) == &works[9].job);
	struct job *job = job_sink_take(&inbox.sink);
	assert_ptr_equal(job, &works[0].job);
	for (int i = 0; i < 9; i++)
		assert_non_null(job = job->next);
	assert_null(job->next);
	assert_int_equal(atomic_load(&inbox.wakes), 1);
	assert_int_equal(atomic_load(&inbox.sink.waking), 1);
	assert_int_equal(pthread_create(&thread, NULL, open_wake_gate, NULL), 0);
	job_sink_settle(&inbox.sink);
	assert_int_equal(atomic_load(&wake_gate), 1);
	pthread_join(thread, NULL);
	pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_runs_once),
		cmocka_unit_test(one_thread_keeps_the_order),
		cmocka_unit_test(slow_jobs_leave_threads_free),
		cmocka_unit_test(normal_jobs_do_not_starve_slow_ones),
		cmocka_unit_test(batch_is_not_stranded_behind_a_long_job),
		cmocka_unit_test(a_sink_wakes_once_per_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
