/* SPDX-License-Identifier: MIT */
/* Executors: what runs elsewhere, what happens to it when nobody wants it any more. */
#include "executor_peers.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

/* Results */

static intptr_t thread_of_job(void *arg)
{
	pthread_getname_np(pthread_self(), arg, 16);
	assert_null(async_get_running_loop());
	assert_null(async_current_task());
	return 1;
}

static intptr_t results(void *arg)
{
	async_executor *mine = new_thread_pool(2);
	char name[16] = "";

	(void)arg;
	forget();
	assert_int_equal(async_await(async_run_in_executor(NULL, return_arg, (void *)3)), 3);
	assert_int_equal(async_await(async_run_in_executor(mine, return_arg, (void *)-EIO)), -EIO);
	assert_int_equal(async_to_thread(return_arg, (void *)5), 5);
	assert_int_equal(async_to_thread(return_arg, (void *)-ENOENT), -ENOENT);
	assert_int_equal(async_await(async_run_in_executor(mine, thread_of_job, name)), 1);
	assert_int_equal(strncmp(name, "mine-", 5), 0);
	assert_int_equal(async_await(submit_job(mine, return_arg, (void *)6)), 6);
	assert_int_equal(jobs_destroyed + jobs_dropped, 0);

	/* Nobody waits for it. */
	async_release(submit_job(mine, return_arg, (void *)7));
	assert_int_equal(async_sleep(1), 0);
	assert_int_equal(jobs_dropped, 1);
	assert_int_equal(jobs_destroyed, 0);
	async_executor_free(mine);
	return 0;
}

static void jobs_give_results(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(results, NULL), 0);
}

static intptr_t many_jobs(void *arg)
{
	size_t count = (size_t)arg;
	async_executor *mine = new_thread_pool(4);
	async_future **fs = test_calloc(count, sizeof(*fs));
	intptr_t *values = test_calloc(count, sizeof(*values));

	for (size_t i = 0; i < count; i++)
		fs[i] = async_run_in_executor(i % 2 ? mine : NULL, return_arg, (void *)i);
	assert_int_equal(async_await(async_gather(fs, count, 0, values)), count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(values[i], i);
	async_executor_free(mine);
	test_free(fs);
	test_free(values);
	return 0;
}

static void many_jobs_at_once(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(many_jobs, (void *)test_many(20000)), 0);
}

/* Cancelling */

static intptr_t cancel_queued(void *arg)
{
	async_executor *mine = new_thread_pool(1);
	struct gate gate;
	async_future *running, *queued, *fresh;

	(void)arg;
	forget();
	running = occupy(mine, &gate, 1);
	queued = submit_job(mine, return_arg, NULL);
	give_way(1);
	/* One is in the pool's queue, one was not submitted yet. */
	fresh = submit_job(mine, return_arg, NULL);
	assert_int_equal(async_cancel(queued, NULL), 1);
	assert_int_equal(async_cancel(fresh, NULL), 1);
	assert_true(async_cancelled(queued) && async_cancelled(fresh));
	assert_int_equal(async_cancel(queued, NULL), 0);
	assert_int_equal(async_await(queued), -ECANCELED);
	assert_int_equal(async_await(fresh), -ECANCELED);
	sem_post(&gate.go);
	assert_int_equal(async_await(running), 1);
	assert_int_equal(async_sleep(1), 0);
	assert_int_equal(jobs_destroyed, 2);
	assert_int_equal(runs, 1);
	assert_int_equal(jobs_dropped, 0);
	async_executor_free(mine);
	return 0;
}

static void a_queued_job_never_runs(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancel_queued, NULL), 0);
}

static intptr_t cancel_running(void *arg)
{
	async_executor *mine = new_thread_pool(1);
	struct gate gate;
	async_future *running;

	(void)arg;
	forget();
	running = occupy(mine, &gate, 1);
	assert_int_equal(async_cancel(running, NULL), 1);
	/* Its future is cancelled now, its result dropped when it comes. */
	assert_true(async_cancelled(running));
	assert_int_equal(async_await(running), -ECANCELED);
	assert_int_equal(jobs_dropped, 0);
	sem_post(&gate.go);
	assert_int_equal(async_sleep(1), 0);
	assert_int_equal(jobs_dropped, 1);
	assert_int_equal(jobs_destroyed, 0);
	async_executor_free(mine);
	return 0;
}

static void a_running_job_is_not_withdrawn(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancel_running, NULL), 0);
}

static intptr_t until_cancelled(void *arg)
{
	sem_post(arg);
	while (!async_job_cancelled())
		sched_yield();
	return 1;
}

static intptr_t await_to_thread(void *arg)
{
	return async_to_thread(until_cancelled, arg);
}

static intptr_t ask_cancelled(void *arg)
{
	sem_t started;

	(void)arg;
	forget();
	assert_false(async_job_cancelled());
	sem_init(&started, 0, 0);
	async_future *job = submit_job(NULL, until_cancelled, &started);
	give_way(1);
	gate_wait(&started);
	async_cancel(job, NULL);
	assert_int_equal(async_await(job), -ECANCELED);
	assert_int_equal(async_sleep(1), 0);
	assert_int_equal(jobs_dropped, 1);

	async_task *task = async_create_task(await_to_thread, &started);
	give_way(2);
	gate_wait(&started);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	return 0;
}

static void a_job_can_ask(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(ask_cancelled, NULL), 0);
}

static intptr_t gate_to_thread(void *arg)
{
	return async_to_thread(pass_gate, arg);
}

static intptr_t plain_to_thread(void *arg)
{
	return async_to_thread(return_arg, arg);
}

static intptr_t to_thread_cancelled(void *arg)
{
	struct gate gate;

	(void)arg;
	forget();
	gate_init(&gate, 3);
	async_task *running = async_create_task(gate_to_thread, &gate);
	give_way(2);
	gate_wait(&gate.started);
	async_task *queued = async_create_task(plain_to_thread, NULL);
	give_way(2);
	async_task *fresh = async_create_task(plain_to_thread, NULL);
	async_task *unstarted = async_create_task(plain_to_thread, NULL);

	/* It returns only when the function has ended. */
	async_cancel(running, NULL);
	give_way(5);
	assert_false(async_done(running));
	async_cancel(queued, NULL);
	assert_int_equal(async_await(queued), -ECANCELED);
	async_cancel(unstarted, NULL);
	assert_int_equal(async_await(unstarted), -ECANCELED);
	async_cancel(fresh, NULL);
	assert_int_equal(async_await(fresh), -ECANCELED);
	assert_false(async_done(running));
	sem_post(&gate.go);
	assert_int_equal(async_await(running), -ECANCELED);
	assert_int_equal(runs, 1);
	return 0;
}

static void to_thread_returns_when_the_function_has_ended(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.max_workers = 1;
	assert_int_equal(run_with(to_thread_cancelled, NULL, &options), 0);
	assert_int_equal(reports.count, 0);
}

/* Shutdown */

static intptr_t shut_down_gently(void *arg)
{
	async_executor *mine = new_thread_pool(1);
	struct gate gate;
	async_future *running, *queued;

	(void)arg;
	forget();
	running = occupy(mine, &gate, 1);
	queued = submit_job(mine, return_arg, (void *)2);
	give_way(1);
	assert_int_equal(async_executor_shutdown(mine, false, false), 0);
	/* No more are taken; what is queued is run. */
	assert_int_equal(async_await(submit_job(mine, return_arg, (void *)3)), -ESHUTDOWN);
	assert_int_equal(jobs_destroyed, 1);
	assert_false(async_done(running) || async_done(queued));
	sem_post(&gate.go);
	assert_int_equal(async_await(running), 1);
	assert_int_equal(async_await(queued), 2);
	assert_int_equal(async_executor_shutdown(mine, true, false), 0);
	assert_int_equal(async_executor_threads(mine), 0);
	assert_int_equal(async_executor_shutdown(mine, true, true), 0);
	assert_int_equal(jobs_destroyed, 1);
	async_executor_free(mine);
	return 0;
}

static intptr_t shut_down_cancelling(void *arg)
{
	async_executor *mine = new_thread_pool(1);
	struct gate gate;
	async_future *running, *queued;

	(void)arg;
	forget();
	running = occupy(mine, &gate, 1);
	queued = submit_job(mine, return_arg, (void *)2);
	give_way(1);
	assert_int_equal(async_executor_shutdown(mine, false, true), 0);
	assert_int_equal(async_await(queued), -ECANCELED);
	assert_int_equal(jobs_destroyed, 1);
	assert_false(async_done(running));
	sem_post(&gate.go);
	assert_int_equal(async_executor_shutdown(mine, true, true), 0);
	assert_int_equal(async_await(running), 1);
	assert_int_equal(runs, 1);
	async_executor_free(mine);
	return 0;
}

static void shutdown_runs_or_cancels_what_is_queued(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(shut_down_gently, NULL), 0);
	assert_int_equal(run_virtual(shut_down_cancelling, NULL), 0);
}

static intptr_t shut_down_from_inside(void *arg)
{
	return async_executor_shutdown(arg, true, false);
}

static intptr_t await_inside(void *arg)
{
	return async_await(async_run_in_executor(arg, shut_down_from_inside, arg));
}

static void a_worker_cannot_wait_for_itself(void **state)
{
	async_executor *mine = new_thread_pool(1);

	(void)state;
	assert_int_equal(run_virtual(await_inside, mine), -EDEADLK);
	async_executor_free(mine);
	async_executor_free(NULL);
	assert_int_equal(async_executor_shutdown(NULL, true, true), -EINVAL);
	assert_int_equal(async_executor_threads(NULL), -EINVAL);
}

/* The loop closes while a job runs: it is waited for, its result is dropped. */
static intptr_t job_until_asleep(void *arg)
{
	atomic_fetch_add(&runs, 1);
	await_asleep(arg);
	return 4;
}

static intptr_t leave_a_job(void *arg)
{
	async_release(submit_job(arg, job_until_asleep, async_get_running_loop()));
	async_release(submit_job(NULL, job_until_asleep, async_get_running_loop()));
	return 0;
}

static void closing_waits_for_jobs(void **state)
{
	async_executor *mine = new_thread_pool(1);

	(void)state;
	forget();
	assert_int_equal(run_virtual(leave_a_job, mine), 0);
	assert_int_equal(runs, 2);
	assert_int_equal(jobs_dropped, 2);
	async_executor_free(mine);
}

/* Failures */

static intptr_t refused_inside(void *arg)
{
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;

	(void)arg;
	assert_int_equal(async_to_thread(NULL, NULL), -EINVAL);
	assert_int_equal(async_await(async_run_in_executor(NULL, NULL, NULL)), -EINVAL);
	options.size = 1;
	assert_int_equal(async_await(async_run_in_executor_with(NULL, return_arg, NULL, &options)), -EINVAL);
	return 0;
}

static void misuse_is_refused(void **state)
{
	struct async_thread_pool_options options = ASYNC_THREAD_POOL_OPTIONS_INIT;
	async_executor *executor = NULL;

	(void)state;
	forget();
	assert_int_equal(async_to_thread(return_arg, NULL), -EPERM);
	assert_int_equal(async_error(submit_job(NULL, return_arg, NULL)), -EPERM);
	assert_int_equal(jobs_destroyed, 1);
	assert_int_equal(run_virtual(refused_inside, NULL), 0);
	assert_int_equal(async_thread_pool_new(&options, NULL), -EINVAL);
	options.max_workers = ASYNC_WORKERS_MAX + 1;
	assert_int_equal(async_thread_pool_new(&options, &executor), -EINVAL);
	options.max_workers = 1;
	options.size = 3;
	assert_int_equal(async_thread_pool_new(&options, &executor), -EINVAL);
	assert_null(executor);
	assert_int_equal(runs, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(jobs_give_results),
		TEST(many_jobs_at_once),
		TEST(a_queued_job_never_runs),
		TEST(a_running_job_is_not_withdrawn),
		TEST(a_job_can_ask),
		TEST(to_thread_returns_when_the_function_has_ended),
		TEST(shutdown_runs_or_cancels_what_is_queued),
		TEST(a_worker_cannot_wait_for_itself),
		TEST(closing_waits_for_jobs),
		TEST(misuse_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
