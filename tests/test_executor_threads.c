/* SPDX-License-Identifier: MIT */
/* How many threads executors have, and when there are none. */
#include "executor_peers.h"

#include <sched.h>

#include "base/fault.h"

static atomic_int inside, most;

static intptr_t count_inside(void *arg)
{
	int now = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);

	(void)arg;
	while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
		;
	sched_yield();
	atomic_fetch_sub(&inside, 1);
	return 0;
}

static intptr_t limited(void *arg)
{
	async_executor *mine = new_thread_pool(3);
	async_future *fs[200];
	struct gate gates[3];

	(void)arg;
	inside = most = 0;
	for (size_t i = 0; i < countof(fs); i++)
		fs[i] = async_run_in_executor(mine, count_inside, NULL);
	assert_int_equal(async_await(async_gather(fs, countof(fs), 0, NULL)), countof(fs));
	assert_true(most >= 1 && most <= 3);
	assert_true(async_executor_threads(mine) <= 3);

	/* All three are there when they are needed. */
	for (int i = 0; i < 3; i++) {
		gate_init(&gates[i], i);
		fs[i] = submit_job(mine, pass_gate, &gates[i]);
	}
	give_way(1);
	for (int i = 0; i < 3; i++)
		gate_wait(&gates[i].started);
	assert_int_equal(async_executor_threads(mine), 3);
	for (int i = 0; i < 3; i++)
		sem_post(&gates[i].go);
	for (int i = 0; i < 3; i++)
		assert_int_equal(async_await(fs[i]), i);
	async_executor_free(mine);
	return 0;
}

#define DEFAULT_MAX 32

/* More jobs than threads are allowed, all of which wait: as many run as there can be. */
static intptr_t fill_by_default(void *arg)
{
	struct async_system_info info = {.size = sizeof(info)};
	struct gate gates[DEFAULT_MAX + 1];
	async_future *fs[DEFAULT_MAX + 1];
	async_executor *mine;

	(void)arg;
	assert_int_equal(async_get_system_info(&info), 0);
	size_t limit = info.processors + 4 < DEFAULT_MAX ? info.processors + 4 : DEFAULT_MAX;
	assert_int_equal(info.default_workers, limit);
	assert_int_equal(async_thread_pool_new(NULL, &mine), 0);
	for (size_t i = 0; i <= limit; i++) {
		gate_init(&gates[i], (intptr_t)i);
		fs[i] = submit_job(mine, pass_gate, &gates[i]);
	}
	give_way(1);
	for (size_t i = 0; i < limit; i++)
		gate_wait(&gates[i].started);
	assert_int_equal(async_executor_threads(mine), limit);
	assert_int_equal(runs, limit);
	for (size_t i = 0; i <= limit; i++)
		sem_post(&gates[i].go);
	for (size_t i = 0; i <= limit; i++)
		assert_int_equal(async_await(fs[i]), i);
	assert_int_equal(async_executor_threads(mine), limit);
	async_executor_free(mine);
	return 0;
}

static void threads_have_a_limit_by_default(void **state)
{
	(void)state;
	forget();
	assert_int_equal(run_virtual(fill_by_default, NULL), 0);
	assert_int_equal(jobs_dropped + jobs_destroyed, 0);
}

static void threads_have_a_limit(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(limited, NULL), 0);
}

static intptr_t lazily(void *arg)
{
	async_executor *mine = new_thread_pool(8);
	struct gate gate;

	(void)arg;
	assert_int_equal(async_executor_threads(mine), 0);
	for (intptr_t i = 0; i < 20; i++)
		assert_int_equal(async_await(async_run_in_executor(mine, return_arg, (void *)i)), i);
	/* One after the other: one thread was always idle. */
	assert_int_equal(async_executor_threads(mine), 1);
	async_future *busy = occupy(mine, &gate, 1);
	assert_int_equal(async_executor_threads(mine), 1);
	assert_int_equal(async_await(async_run_in_executor(mine, return_arg, (void *)2)), 2);
	assert_int_equal(async_executor_threads(mine), 2);
	sem_post(&gate.go);
	assert_int_equal(async_await(busy), 1);
	async_executor_free(mine);
	return 0;
}

static void threads_are_started_when_none_is_idle(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(lazily, NULL), 0);
}

static async_future *submit_slow(async_executor *executor, struct gate *gate, intptr_t result)
{
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;

	gate_init(gate, result);
	options.slow = true;
	return async_run_in_executor_with(executor, pass_gate, gate, &options);
}

static intptr_t slow_lane(void *arg)
{
	async_executor *mine = new_thread_pool(2);
	struct gate gates[3];
	async_future *slow[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		slow[i] = submit_slow(mine, &gates[i], i);
	/* However many slow jobs there are, a thread is left. */
	assert_int_equal(async_await(async_run_in_executor(mine, return_arg, (void *)9)), 9);
	for (int i = 0; i < 3; i++) {
		gate_wait(&gates[i].started);
		if (i < 2)
			assert_int_equal(sem_trywait(&gates[i + 1].started), -1);
		sem_post(&gates[i].go);
		assert_int_equal(async_await(slow[i]), i);
	}
	async_executor_free(mine);
	return 0;
}

static void slow_jobs_leave_a_thread(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(slow_lane, NULL), 0);
}

static intptr_t no_threads(void *arg)
{
	async_executor *mine = new_thread_pool(2);
	struct gate gate;

	(void)arg;
	forget();
	fault_arm("pthread_create", 1, -EAGAIN);
	assert_int_equal(async_await(submit_job(mine, return_arg, NULL)), -EAGAIN);
	fault_disarm();
	assert_int_equal(jobs_destroyed, 1);
	assert_int_equal(runs, 0);
	/* It was for want of something that is there again. */
	assert_int_equal(async_await(submit_job(mine, return_arg, (void *)2)), 2);

	/* There is a thread: the job waits for it. */
	async_future *busy = occupy(mine, &gate, 1);
	fault_arm("pthread_create", 1, -EAGAIN);
	async_future *waiting = submit_job(mine, return_arg, (void *)3);
	give_way(1);
	fault_disarm();
	sem_post(&gate.go);
	assert_int_equal(async_await(busy), 1);
	assert_int_equal(async_await(waiting), 3);
	assert_int_equal(jobs_destroyed, 1);
	async_executor_free(mine);

	fault_arm("pthread_create", 1, -EAGAIN);
	assert_int_equal(async_to_thread(return_arg, NULL), -EAGAIN);
	fault_disarm();
	return 0;
}

static void a_thread_that_cannot_be_started(void **state)
{
	struct async_options options = test_options();

	(void)state;
	/* A pool of its own: others may have threads in the shared one. */
	options.max_workers = 2;
	assert_int_equal(run_with(no_threads, NULL, &options), 0);
	assert_int_equal(reports.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(threads_have_a_limit),
		TEST(threads_have_a_limit_by_default),
		TEST(threads_are_started_when_none_is_idle),
		TEST(slow_jobs_leave_a_thread),
		TEST(a_thread_that_cannot_be_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
