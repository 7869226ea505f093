/* SPDX-License-Identifier: MIT */
/* Threads that are cancelled, or end themselves, while they run a loop or a job. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* A thread that runs a loop, and what the thread that cancels it needs. */
static struct {
	sem_t waits;
	int ends[2];
	pthread_t thread;
	intptr_t result;
	bool freed;
} run;

static void free_loop(void *loop)
{
	loop_end(loop);
	run.freed = true;
}

/* Waits in the kernel, in a call that is a cancellation point. */
static intptr_t read_one(void *arg)
{
	char byte;

	(void)arg;
	sem_post(&run.waits);
	ssize_t size = async_read(run.ends[0], &byte, 1);
	return size == 1 ? byte : size;
}

static void *run_until_complete(void *arg)
{
	async_loop *loop = loop_real();

	(void)arg;
	pthread_cleanup_push(free_loop, loop);
	run.result = async_loop_run_until_complete(loop, async_loop_create_task(loop, read_one, NULL, NULL));
	/* Here it may act. */
	pthread_testcancel();
	run.result = -1;
	pthread_cleanup_pop(1);
	return NULL;
}

static void *run_program(void *arg)
{
	struct async_options options = test_options();

	(void)arg;
	options.clock = ASYNC_CLOCK_REAL;
	run.result = async_run_with(read_one, NULL, &options);
	run.freed = true;
	pthread_testcancel();
	run.result = -1;
	return NULL;
}

static void *run_once(void *arg)
{
	async_loop *loop = loop_real();

	(void)arg;
	pthread_cleanup_push(free_loop, loop);
	async_task *task = async_loop_create_task(loop, read_one, NULL, NULL);
	int error = 0;
	while (error >= 0 && !async_done(task))
		error = async_loop_run_once(loop);
	run.result = error < 0 ? error : async_result(task);
	async_release(task);
	pthread_testcancel();
	run.result = -1;
	pthread_cleanup_pop(1);
	return NULL;
}

static void a_cancelled_thread_ends_its_run(void **state)
{
	void *(*const ways[])(void *arg) = {run_until_complete, run_program, run_once};
	void *result;

	(void)state;
	for (size_t i = 0; i < countof(ways); i++) {
		assert_int_equal(pipe(run.ends), 0);
		assert_int_equal(sem_init(&run.waits, 0, 0), 0);
		run.result = -1;
		run.freed = false;
		assert_int_equal(pthread_create(&run.thread, NULL, ways[i], NULL), 0);
		while (sem_wait(&run.waits) < 0)
			;
		assert_int_equal(pthread_cancel(run.thread), 0);
		assert_int_equal(write(run.ends[1], "!", 1), 1);
		assert_int_equal(pthread_join(run.thread, &result), 0);
		assert_ptr_equal(result, PTHREAD_CANCELED);
		assert_int_equal(run.result, '!');
		assert_true(run.freed);
		sem_destroy(&run.waits);
		close(run.ends[0]);
		close(run.ends[1]);
	}
}

static intptr_t cancel_this_thread(void *arg)
{
	pthread_cancel(pthread_self());
	pthread_testcancel();
	return (intptr_t)arg;
}

static intptr_t run_jobs(void *arg)
{
	async_executor *executor;
	struct async_thread_pool_options options = ASYNC_THREAD_POOL_OPTIONS_INIT;

	(void)arg;
	options.max_workers = 1;
	assert_int_equal(async_thread_pool_new(&options, &executor), 0);
	for (intptr_t i = 1; i <= 3; i++)
		assert_int_equal(async_await(async_run_in_executor(executor, cancel_this_thread, (void *)i)), i);
	assert_int_equal(async_executor_close(executor, false), 0);
	async_executor_free(executor);
	return 0;
}

static void a_cancelled_worker_goes_on(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(run_jobs, NULL), 0);
}

/* What ends its thread by pthread_exit */

static intptr_t leave_task(void *arg)
{
	(void)arg;
	pthread_exit(NULL);
}

static void leave(void *arg)
{
	pthread_exit(arg);
}

static void exit_from_a_task(async_loop *loop)
{
	async_loop_run_until_complete(loop, async_loop_create_task(loop, leave_task, NULL, NULL));
}

static void exit_from_a_callback(async_loop *loop)
{
	async_loop_call_soon(loop, leave, NULL, NULL);
	async_loop_run_once(loop);
}

static intptr_t await_job(void *arg)
{
	(void)arg;
	return async_to_thread(leave_task, NULL);
}

static void exit_from_a_job(async_loop *loop)
{
	async_loop_run_until_complete(loop, async_loop_create_task(loop, await_job, NULL, NULL));
}

static void leaving_a_thread_is_named(void **state)
{
	static const struct {
		void (*leave)(async_loop *loop);
		const char *says;
	} cases[] = {
		{exit_from_a_task, "async: pthread_exit was called in a task or callback of a loop; expected a return"},
		{exit_from_a_callback, "async: pthread_exit was called in a task or callback of a loop"},
		{exit_from_a_job, "async: pthread_exit was called in a job; expected a return"},
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		char said[1000] = "";
		int status;

		/* ThreadSanitizer takes pthread_exit on a stack of another fibre for a fault of its own. */
		if (cases[i].leave == exit_from_a_task && under_tool("tsan"))
			continue;
		stderr_capture();
		pid_t child = fork();
		if (child == 0) {
			signal(SIGABRT, SIG_DFL);
			cases[i].leave(loop_real());
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		stderr_release(said, sizeof(said));
		if (!strstr(said, cases[i].says))
			fail_msg("case %zu says: %s", i, said);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_cancelled_thread_ends_its_run),
		TEST(a_cancelled_worker_goes_on),
		TEST(leaving_a_thread_is_named),
	};

	return cmocka_run_group_tests_name("thread_end", tests, NULL, NULL);
}
