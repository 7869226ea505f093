/* SPDX-License-Identifier: MIT */
/* Pools of threads: initializers, names, cancelling, maps, the ways to shut down. */
#include "harness.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

static sem_t begun, gate;
static atomic_int runs, destroyed;

static void reset(void)
{
	sem_init(&begun, 0, 0);
	sem_init(&gate, 0, 0);
	atomic_store(&runs, 0);
	atomic_store(&destroyed, 0);
}

static intptr_t behind_the_gate(void *arg)
{
	atomic_fetch_add(&runs, 1);
	sem_post(&begun);
	while (sem_wait(&gate) < 0)
		;
	return (intptr_t)arg;
}

static intptr_t count_run(void *arg)
{
	atomic_fetch_add(&runs, 1);
	return (intptr_t)arg;
}

static void destroy(void *arg)
{
	(void)arg;
	atomic_fetch_add(&destroyed, 1);
}

static async_executor *pool_of(size_t workers)
{
	struct async_thread_pool_options options = ASYNC_THREAD_POOL_OPTIONS_INIT;
	async_executor *executor;

	options.max_workers = workers;
	options.name = "tested";
	assert_int_equal(async_thread_pool_new(&options, &executor), 0);
	return executor;
}

/* A pool whose only thread is busy until the gate opens. */
static async_executor *busy_pool(async_future **ret_running)
{
	async_executor *executor = pool_of(1);

	reset();
	*ret_running = async_run_in_executor(executor, behind_the_gate, (void *)1);
	give_way(1);
	sem_wait(&begun);
	return executor;
}

static __thread int prepared;

static intptr_t prepare(void *arg)
{
	prepared = *(int *)arg;
	atomic_fetch_add(&runs, 1);
	return 0;
}

static intptr_t see_prepared(void *arg)
{
	(void)arg;
	return prepared;
}

static async_executor *pool_with(size_t workers, async_fn *initializer, void *arg)
{
	struct async_thread_pool_options options = ASYNC_THREAD_POOL_OPTIONS_INIT;
	async_executor *executor;

	options.max_workers = workers;
	options.initializer = initializer;
	options.initializer_arg = arg;
	assert_int_equal(async_thread_pool_new(&options, &executor), 0);
	return executor;
}

static intptr_t each_thread_is_initialized(void *arg)
{
	int value = 7;
	async_executor *executor = pool_with(3, prepare, &value);
	async_future *futures[50];

	(void)arg;
	reset();
	assert_int_equal(async_executor_threads(executor), 0);
	for (size_t i = 0; i < 50; i++)
		futures[i] = async_run_in_executor(executor, see_prepared, NULL);
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(async_await(futures[i]), 7);
	/* Threads that came without being needed may still be at it. */
	intptr_t threads = async_executor_threads(executor);
	async_executor_shutdown(executor, true, false);
	assert_int_equal(atomic_load(&runs), threads);
	async_executor_free(executor);
	return 0;
}

static void test_each_thread_is_initialized(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(each_thread_is_initialized, NULL), 0);
}

static intptr_t fail_with(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t a_failed_initializer_breaks_the_pool(void *arg)
{
	async_executor *executor = pool_with(2, fail_with, (void *)-EIO);
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;
	async_future *futures[20];

	(void)arg;
	reset();
	options.destroy = destroy;
	for (size_t i = 0; i < 20; i++)
		futures[i] = async_run_in_executor_with(executor, count_run, NULL, &options);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(async_await(futures[i]), -EPIPE);
	assert_int_equal(async_await(async_run_in_executor(executor, count_run, NULL)), -EPIPE);
	assert_int_equal(atomic_load(&runs), 0);
	assert_int_equal(atomic_load(&destroyed), 20);
	assert_int_equal(async_executor_shutdown(executor, true, false), 0);
	/* It stays broken: that is the better reason. */
	assert_int_equal(async_await(async_run_in_executor(executor, count_run, NULL)), -EPIPE);
	async_executor_free(executor);
	return 0;
}

static void test_a_failed_initializer_breaks_the_pool(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(a_failed_initializer_breaks_the_pool, NULL), 0);
}

static intptr_t fail_the_second_time(void *arg)
{
	return atomic_fetch_add((atomic_int *)arg, 1) == 0 ? 0 : -EIO;
}

static intptr_t what_runs_is_finished(void *arg)
{
	atomic_int times = 0;
	async_executor *executor = pool_with(2, fail_the_second_time, &times);

	(void)arg;
	reset();
	async_future *running = async_run_in_executor(executor, behind_the_gate, (void *)5);
	give_way(1);
	sem_wait(&begun);
	assert_int_equal(async_await(async_run_in_executor(executor, count_run, NULL)), -EPIPE);
	assert_false(async_done(running));
	sem_post(&gate);
	assert_int_equal(async_await(running), 5);
	async_executor_free(executor);
	return 0;
}

static void test_what_runs_is_finished(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(what_runs_is_finished, NULL), 0);
}

static intptr_t thread_name(void *arg)
{
	pthread_getname_np(pthread_self(), arg, 16);
	return 0;
}

static intptr_t threads_have_names(void *arg)
{
	struct async_thread_pool_options options = ASYNC_THREAD_POOL_OPTIONS_INIT;
	async_executor *executor = pool_of(1);
	char name[16] = "";

	(void)arg;
	assert_int_equal(async_await(async_run_in_executor(executor, thread_name, name)), 0);
	assert_string_equal(name, "tested-0");
	async_executor_free(executor);
	options.name = "a name that is too long";
	assert_int_equal(async_thread_pool_new(&options, &executor), 0);
	assert_int_equal(async_await(async_run_in_executor(executor, thread_name, name)), 0);
	assert_string_equal(name, "a name that-0");
	async_executor_free(executor);
	return 0;
}

static void test_threads_have_names(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(threads_have_names, NULL), 0);
}

/* A job alone never has more than one thread started for it. */
static intptr_t threads_start_when_none_is_idle(void *arg)
{
	async_executor *executor = pool_of(8);

	(void)arg;
	for (int i = 0; i < 20; i++)
		assert_int_equal(async_await(async_run_in_executor(executor, count_run, (void *)3)), 3);
	assert_int_equal(async_executor_threads(executor), 1);
	async_executor_free(executor);
	return 0;
}

static void test_threads_start_when_none_is_idle(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(threads_start_when_none_is_idle, NULL), 0);
}

static intptr_t a_queued_job_can_be_cancelled(void *arg)
{
	async_future *running, *queued;
	async_executor *executor = busy_pool(&running);
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;

	(void)arg;
	options.destroy = destroy;
	queued = async_run_in_executor_with(executor, count_run, NULL, &options);
	give_way(1);
	assert_int_equal(async_cancel(queued, NULL), 1);
	assert_true(async_cancelled(queued));
	async_release(queued);
	give_way(2);
	assert_int_equal(atomic_load(&destroyed), 1);
	sem_post(&gate);
	assert_int_equal(async_await(running), 1);
	assert_int_equal(atomic_load(&runs), 1);
	async_executor_free(executor);
	return 0;
}

static void test_a_queued_job_can_be_cancelled(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(a_queued_job_can_be_cancelled, NULL), 0);
}

static intptr_t until_cancelled(void *arg)
{
	sem_post(&begun);
	while (!async_job_cancelled())
		;
	return (intptr_t)arg;
}

static atomic_int dropped;

static void drop(intptr_t result)
{
	atomic_store(&dropped, (int)result);
}

static intptr_t a_running_job_is_told(void *arg)
{
	async_executor *executor = pool_of(1);
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;

	(void)arg;
	reset();
	assert_false(async_job_cancelled());
	options.drop = drop;
	async_future *running = async_run_in_executor_with(executor, until_cancelled, (void *)9, &options);
	give_way(1);
	sem_wait(&begun);
	assert_int_equal(async_cancel(running, NULL), 1);
	/* Now, not when the job has ended. */
	assert_true(async_cancelled(running));
	async_release(running);
	assert_int_equal(async_executor_close(executor, false), 0);
	async_executor_free(executor);
	give_way(2);
	assert_int_equal(atomic_load(&dropped), 9);
	return 0;
}

static void test_a_running_job_is_told(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(a_running_job_is_told, NULL), 0);
}

static intptr_t shutdown_takes_what_came_before(void *arg)
{
	async_executor *executor = pool_of(2);
	async_future *before = async_run_in_executor(executor, count_run, (void *)4);

	(void)arg;
	assert_int_equal(async_executor_shutdown(executor, false, false), 0);
	async_future *after = async_run_in_executor(executor, count_run, (void *)4);
	assert_int_equal(async_await(before), 4);
	assert_int_equal(async_await(after), -ESHUTDOWN);
	async_executor_free(executor);
	return 0;
}

static void test_shutdown_takes_what_came_before(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(shutdown_takes_what_came_before, NULL), 0);
}

static intptr_t shutdown_cancels_what_is_queued(void *arg)
{
	async_future *running, *queued;
	async_executor *executor = busy_pool(&running);

	(void)arg;
	queued = async_run_in_executor(executor, count_run, NULL);
	assert_int_equal(async_executor_shutdown(executor, false, true), 0);
	assert_int_equal(async_await(queued), -ECANCELED);
	assert_false(async_done(running));
	sem_post(&gate);
	assert_int_equal(async_executor_shutdown(executor, true, true), 0);
	assert_int_equal(async_executor_threads(executor), 0);
	assert_int_equal(async_await(running), 1);
	assert_int_equal(atomic_load(&runs), 1);
	async_executor_free(executor);
	return 0;
}

static void test_shutdown_cancels_what_is_queued(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(shutdown_cancels_what_is_queued, NULL), 0);
}

static intptr_t open_gate(void *arg)
{
	note("others");
	for (intptr_t i = 0; i < (intptr_t)arg; i++)
		sem_post(&gate);
	return 0;
}

static intptr_t close_lets_others_go_on(void *arg)
{
	async_future *running, *queued;
	async_executor *executor = busy_pool(&running);

	(void)arg;
	queued = async_run_in_executor(executor, count_run, (void *)6);
	async_release(async_create_task(open_gate, (void *)1));
	assert_int_equal(async_executor_close(executor, false), 0);
	assert_noted("others");
	assert_int_equal(async_executor_threads(executor), 0);
	assert_int_equal(async_await(running), 1);
	assert_int_equal(async_await(queued), 6);
	/* Once more is nothing to do. */
	assert_int_equal(async_executor_close(executor, true), 0);
	async_executor_free(executor);
	return 0;
}

static void test_close_lets_others_go_on(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(close_lets_others_go_on, NULL), 0);
}

static intptr_t close_it(void *executor)
{
	return async_executor_close(executor, false);
}

static intptr_t a_cancelled_close_goes_on(void *arg)
{
	async_future *running;
	async_executor *executor = busy_pool(&running);
	async_task *closing = async_create_task(close_it, executor);

	(void)arg;
	give_way(1);
	async_cancel(closing, NULL);
	sem_post(&gate);
	assert_int_equal(async_await(closing), -ECANCELED);
	assert_int_equal(async_await(running), 1);
	assert_int_equal(async_await(async_run_in_executor(executor, count_run, NULL)), -ESHUTDOWN);
	async_executor_free(executor);
	return 0;
}

static void test_a_cancelled_close_goes_on(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(a_cancelled_close_goes_on, NULL), 0);
}

/* The default executor has no thread to spare: neither for the waiting nor for what a cancellation would leave. */
static intptr_t close_beside_a_busy_executor(void *arg)
{
	async_future *running, *hog = async_run_in_executor(NULL, behind_the_gate, (void *)2);
	async_executor *executor = busy_pool(&running), *idle = pool_of(1);

	(void)arg;
	sem_wait(&begun);
	assert_int_equal(async_await(async_run_in_executor(idle, count_run, (void *)5)), 5);
	assert_int_equal(async_executor_close(idle, false), 0);
	assert_int_equal(async_executor_threads(idle), 0);
	async_executor_free(idle);

	async_task *closing = async_create_task(close_it, executor);
	give_way(2);
	async_cancel(closing, NULL);
	give_way(10);
	assert_false(async_done(closing));
	assert_int_equal(async_executor_threads(executor), 1);
	sem_post(&gate);
	sem_post(&gate);
	assert_int_equal(async_await(closing), -ECANCELED);
	assert_int_equal(async_executor_threads(executor), 0);
	assert_int_equal(async_await(running), 1);
	assert_int_equal(async_await(hog), 2);
	async_executor_free(executor);
	return 0;
}

static void test_close_beside_a_busy_executor(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.max_workers = 1;
	reset();
	assert_int_equal(run_with(close_beside_a_busy_executor, NULL, &options), 0);
}

static intptr_t close_when_cancelled(void *executor)
{
	async_cancel(async_current_task(), NULL);
	return async_executor_close(executor, false);
}

/* One that is cancelled before it waits waits all the same. */
static intptr_t a_cancelled_task_closes(void *arg)
{
	async_future *running;
	async_executor *executor = busy_pool(&running);
	async_task *closing = async_create_task(close_when_cancelled, executor);

	(void)arg;
	give_way(10);
	assert_false(async_done(closing));
	sem_post(&gate);
	assert_int_equal(async_await(closing), -ECANCELED);
	assert_int_equal(async_executor_threads(executor), 0);
	assert_int_equal(async_await(running), 1);
	async_executor_free(executor);
	return 0;
}

static void test_a_cancelled_task_closes(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(a_cancelled_task_closes, NULL), 0);
}

static intptr_t shut_down_own(void *executor)
{
	return async_executor_shutdown(executor, true, false);
}

static intptr_t errors(void *arg)
{
	async_executor *executor = pool_of(1);
	void *args[1] = {NULL};

	(void)arg;
	assert_int_equal(async_executor_shutdown(NULL, true, true), -EINVAL);
	assert_int_equal(async_executor_close(NULL, true), -EINVAL);
	assert_int_equal(async_executor_threads(NULL), -EINVAL);
	assert_int_equal(async_await(async_executor_map(executor, NULL, args, 1, 0, NULL)), -EINVAL);
	assert_int_equal(async_await(async_executor_map(executor, count_run, NULL, 1, 0, NULL)), -EINVAL);
	assert_int_equal(async_await(async_executor_map(executor, count_run, args, SIZE_MAX, 0, NULL)), -ENOMEM);
	assert_int_equal(async_await(async_executor_map(executor, count_run, NULL, 0, 0, NULL)), 0);
	assert_int_equal(async_await(async_run_in_executor(executor, shut_down_own, executor)), -EDEADLK);
	assert_int_equal(async_await(async_executor_map(executor, count_run, args, 1, 0, NULL)), -ESHUTDOWN);
	async_executor_free(executor);
	async_executor_free(NULL);
	return 0;
}

static void test_errors(void **state)
{
	async_executor *executor = pool_of(1);

	(void)state;
	assert_int_equal(async_executor_close(executor, true), -EPERM);
	assert_int_equal(async_result(async_executor_map(executor, count_run, NULL, 0, 0, NULL)), -EPERM);
	async_executor_free(executor);
	assert_int_equal(run_virtual(errors, NULL), 0);
}

static intptr_t square(void *arg)
{
	return (intptr_t)arg * (intptr_t)arg;
}

static intptr_t map_keeps_the_order(void *arg)
{
	enum { COUNT = 1000 };
	static const size_t in_flight[] = {0, 1, 3, 64, COUNT, 10 * COUNT};
	async_executor *executor = pool_of(4);
	void *args[COUNT];
	intptr_t results[COUNT];

	(void)arg;
	for (intptr_t i = 0; i < COUNT; i++)
		args[i] = (void *)i;
	for (size_t i = 0; i < countof(in_flight); i++) {
		memset(results, 0xff, sizeof(results));
		/* On the pool, and on the default executor. */
		async_executor *where = i % 2 ? executor : NULL;
		assert_int_equal(async_await(async_executor_map(where, square, args, COUNT, in_flight[i], results)),
				 COUNT);
		for (intptr_t k = 0; k < COUNT; k++)
			assert_int_equal(results[k], k * k);
	}
	async_executor_free(executor);
	return 0;
}

static void test_map_keeps_the_order(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(map_keeps_the_order, NULL), 0);
}

static intptr_t map_until_cancelled(void *arg)
{
	void *args[8] = {0};
	intptr_t results[8];

	return async_await(async_executor_map(arg, until_cancelled, args, 8, 0, results));
}

/* The arguments are on the stack of a task that is cancelled: it goes on when no job uses them any more. */
static intptr_t a_cancelled_map_waits_for_what_runs(void *arg)
{
	async_executor *executor = pool_of(2);
	async_task *task = async_create_task(map_until_cancelled, executor);

	(void)arg;
	reset();
	give_way(3);
	sem_wait(&begun);
	sem_wait(&begun);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	/* Nothing is left to wait for. */
	async_executor_free(executor);
	assert_int_equal(sem_trywait(&begun), -1);
	return 0;
}

static void test_a_cancelled_map_waits_for_what_runs(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(a_cancelled_map_waits_for_what_runs, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_close_beside_a_busy_executor),
		TEST(test_a_cancelled_task_closes),
		TEST(test_each_thread_is_initialized),
		TEST(test_a_failed_initializer_breaks_the_pool),
		TEST(test_what_runs_is_finished),
		TEST(test_threads_have_names),
		TEST(test_threads_start_when_none_is_idle),
		TEST(test_a_queued_job_can_be_cancelled),
		TEST(test_a_running_job_is_told),
		TEST(test_shutdown_takes_what_came_before),
		TEST(test_shutdown_cancels_what_is_queued),
		TEST(test_close_lets_others_go_on),
		TEST(test_a_cancelled_close_goes_on),
		TEST(test_errors),
		TEST(test_map_keeps_the_order),
		TEST(test_a_cancelled_map_waits_for_what_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
