/* SPDX-License-Identifier: MIT */
/* async_runner_…: several runs on one loop, SIGINT, what closing does. */
#include "harness.h"

#include <signal.h>
#include <string.h>

static void open_with(struct async_runner *runner, const struct async_options *options)
{
	reports = (struct reports){0};
	assert_int_equal(async_runner_open(runner, options), 0);
	assert_int_equal(async_loop_set_error_handler(async_runner_get_loop(runner), record_report, NULL), 0);
}

static void open_runner(struct async_runner *runner)
{
	struct async_options options = test_options();

	open_with(runner, &options);
}

static void close_runner(struct async_runner *runner)
{
	assert_int_equal(async_runner_close(runner), 0);
	assert_null(async_runner_get_loop(runner));
}

static intptr_t tick(void *arg)
{
	for (int i = 1; i <= 4; i++) {
		int error = async_sleep(10);

		if (error) {
			note("%s:%d", (const char *)arg, error == -ECANCELED ? i : -1);
			return error;
		}
	}
	note("%s:end", (const char *)arg);
	return 0;
}

static char background[] = "background";

static intptr_t start_ticking(void *arg)
{
	async_release(async_create_task(tick, background));
	return async_sleep(25) == 0 ? (intptr_t)arg : -1;
}

static intptr_t sleep_for(void *arg)
{
	return async_sleep((intptr_t)arg);
}

/* What one run leaves goes on in the next. */
static void test_several_runs(void **state)
{
	struct async_runner runner = ASYNC_RUNNER_INIT;

	(void)state;
	open_runner(&runner);
	async_loop *loop = async_runner_get_loop(&runner);
	assert_int_equal(async_runner_run(&runner, start_ticking, (void *)3), 3);
	assert_int_equal(async_loop_time(loop), 25);
	assert_noted("");
	assert_int_equal(async_runner_run(&runner, sleep_for, (void *)20), 0);
	assert_int_equal(async_loop_time(loop), 45);
	assert_noted("background:end");
	assert_ptr_equal(async_runner_get_loop(&runner), loop);
	close_runner(&runner);
	assert_int_equal(reports.count, 0);
}

static void test_close_cancels_what_is_left(void **state)
{
	struct async_runner runner = ASYNC_RUNNER_INIT;

	(void)state;
	open_runner(&runner);
	assert_int_equal(async_runner_run(&runner, start_ticking, NULL), 0);
	close_runner(&runner);
	assert_noted("background:3");
	/* Twice is nothing; so is one that was never open. */
	close_runner(&runner);
	runner = (struct async_runner)ASYNC_RUNNER_INIT;
	close_runner(&runner);
	assert_int_equal(reports.count, 0);
}

static intptr_t fail_late(void *arg)
{
	int error = async_sleep(ASYNC_FOREVER);

	return error == -ECANCELED ? (intptr_t)arg : error;
}

static async_task *kept;

static intptr_t leave_failing(void *arg)
{
	async_release(async_create_task(fail_late, arg));
	/* Its handle is kept by somebody who will not look. */
	kept = async_create_task(fail_late, arg);
	return async_sleep(1);
}

static void test_late_failures_are_reported(void **state)
{
	struct async_options options = test_options();
	struct async_runner runner = ASYNC_RUNNER_INIT;

	(void)state;
	options.debug = false;
	open_with(&runner, &options);
	assert_int_equal(async_runner_run(&runner, leave_failing, (void *)-EIO), 0);
	assert_int_equal(reports.count, 0);
	close_runner(&runner);
	assert_int_equal(reports.count, 2);
	assert_int_equal(reports.error, -EIO);
	/* A value is no failure. */
	open_with(&runner, &options);
	assert_int_equal(async_runner_run(&runner, leave_failing, (void *)1), 0);
	close_runner(&runner);
	assert_int_equal(reports.count, 0);
}

static intptr_t swallow(void *arg)
{
	for (int i = 0; i < (intptr_t)arg; i++)
		if (async_sleep(ASYNC_FOREVER) != -ECANCELED)
			return -1;
	note("ended");
	return 0;
}

static intptr_t leave_stubborn(void *arg)
{
	async_release(async_create_task(swallow, arg));
	return async_sleep(1);
}

/* A task that swallows its cancellation is asked again after the grace, and named when the time is over. */
static void test_stubborn_tasks(void **state)
{
	struct async_options options = test_options();
	struct async_runner runner = ASYNC_RUNNER_INIT;

	(void)state;
	options.shutdown_timeout = ASYNC_S;
	options.shutdown_grace = 100 * ASYNC_MS;
	open_with(&runner, &options);
	assert_int_equal(async_runner_run(&runner, leave_stubborn, (void *)3), 0);
	close_runner(&runner);
	assert_noted("ended");
	assert_int_equal(reports.count, 0);
	open_with(&runner, &options);
	assert_int_equal(async_runner_run(&runner, leave_stubborn, (void *)1000000), 0);
	close_runner(&runner);
	assert_noted("");
	assert_int_equal(reports.count, 1);
	assert_non_null(strstr(reports.message, "ignores"));
}

static intptr_t run_inside(void *arg)
{
	struct async_runner *runners = arg;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(async_runner_run(&runners[i], tick, NULL), -EBUSY);
		assert_int_equal(async_runner_close(&runners[i]), -EBUSY);
	}
	return 0;
}

static void test_misuse(void **state)
{
	struct async_runner runners[2] = {ASYNC_RUNNER_INIT, ASYNC_RUNNER_INIT}, *runner = runners;
	struct async_options wrong = ASYNC_OPTIONS_INIT;

	(void)state;
	wrong.stack_size = 1;
	assert_int_equal(async_runner_open(NULL, NULL), -EINVAL);
	assert_int_equal(async_runner_open(runner, &wrong), -EINVAL);
	assert_int_equal(async_runner_run(runner, tick, NULL), -EINVAL);
	assert_int_equal(async_runner_run(NULL, tick, NULL), -EINVAL);
	assert_int_equal(async_runner_close(NULL), -EINVAL);
	assert_null(async_runner_get_loop(NULL));
	open_runner(runner);
	open_runner(&runners[1]);
	assert_int_equal(async_runner_open(runner, NULL), -EBUSY);
	assert_int_equal(async_runner_run(runner, NULL, NULL), -EINVAL);
	assert_int_equal(async_runner_run(runner, run_inside, runners), 0);
	close_runner(runner);
	close_runner(&runners[1]);
	assert_int_equal(async_runner_run(runner, tick, NULL), -ESHUTDOWN);
}

static struct async_local counter = ASYNC_LOCAL_INIT(NULL);

static intptr_t count(void *arg)
{
	intptr_t value = (intptr_t)async_local_get(&counter);

	(void)arg;
	return async_local_set(&counter, (void *)(value + 1), NULL) ? -1 : value;
}

/* The runs share their task-local values, which begin as those of the thread and do not go back to it. */
static void test_locals(void **state)
{
	struct async_runner runner = ASYNC_RUNNER_INIT;

	(void)state;
	assert_int_equal(async_local_set(&counter, (void *)5, NULL), 0);
	open_runner(&runner);
	assert_int_equal(async_local_set(&counter, (void *)50, NULL), 0);
	assert_int_equal(async_runner_run(&runner, count, NULL), 5);
	assert_int_equal(async_runner_run(&runner, count, NULL), 6);
	close_runner(&runner);
	assert_int_equal((intptr_t)async_local_get(&counter), 50);
}

static intptr_t stop_the_loop(void *arg)
{
	(void)arg;
	async_loop_stop(async_get_running_loop());
	return async_sleep(10);
}

static void test_stopped(void **state)
{
	struct async_runner runner = ASYNC_RUNNER_INIT;

	(void)state;
	open_runner(&runner);
	assert_int_equal(async_runner_run(&runner, stop_the_loop, NULL), -EINTR);
	assert_int_equal(async_runner_run(&runner, sleep_for, (void *)20), 0);
	close_runner(&runner);
}

static intptr_t keep_stopping(void *arg)
{
	int error;

	(void)arg;
	do
		async_loop_stop(async_get_running_loop());
	while ((error = async_sleep(0)) == 0);
	note("%s", error == -ECANCELED ? "cancelled" : "closed");
	return error;
}

static intptr_t leave_stopping(void *arg)
{
	(void)arg;
	async_release(async_create_task(keep_stopping, NULL));
	return async_sleep(ASYNC_FOREVER);
}

/* What stops the loop keeps nobody from being cancelled at the end. */
static void test_stopped_while_closing(void **state)
{
	struct async_runner runner = ASYNC_RUNNER_INIT;

	(void)state;
	open_runner(&runner);
	assert_int_equal(async_runner_run(&runner, leave_stopping, NULL), -EINTR);
	close_runner(&runner);
	assert_noted("cancelled");
}

/*** SIGINT ***/

static intptr_t interrupt(void *arg)
{
	raise(SIGINT);
	int error = async_sleep(ASYNC_FOREVER);
	note("%s", error == -ECANCELED ? async_cancel_reason(async_current_task()) : "?");
	return arg ? (intptr_t)arg : error;
}

static intptr_t interrupt_and_cancel(void *arg)
{
	intptr_t result = interrupt(arg);

	async_cancel(async_current_task(), "other");
	return result;
}

static bool sigint_is_default(void)
{
	struct sigaction action;

	return sigaction(SIGINT, NULL, &action) == 0 && action.sa_handler == SIG_DFL;
}

/* The real clock: a signal is no reason for the virtual one to stand still. */
static void open_real(struct async_runner *runner)
{
	struct async_options options = test_options();

	options.clock = ASYNC_CLOCK_REAL;
	open_with(runner, &options);
}

static void test_sigint_cancels_the_main_task(void **state)
{
	struct async_runner runner = ASYNC_RUNNER_INIT;

	(void)state;
	signal(SIGINT, SIG_DFL);
	open_real(&runner);
	assert_true(sigint_is_default());
	assert_int_equal(async_runner_run(&runner, interrupt, NULL), -EINTR);
	assert_noted("SIGINT");
	assert_true(sigint_is_default());
	/* One that goes on has its result; each run has a first SIGINT of its own. */
	assert_int_equal(async_runner_run(&runner, interrupt, (void *)6), 6);
	assert_noted("SIGINT");
	/* Cancelled by somebody else, too. */
	assert_int_equal(async_runner_run(&runner, interrupt_and_cancel, NULL), -ECANCELED);
	forget_notes();
	close_runner(&runner);
	assert_true(sigint_is_default());
}

static intptr_t interrupt_at_last(void *arg)
{
	(void)arg;
	return raise(SIGINT);
}

/* A SIGINT that came too late for one run does nothing to the next. */
static void test_late_sigint(void **state)
{
	struct async_runner runner = ASYNC_RUNNER_INIT;

	(void)state;
	signal(SIGINT, SIG_DFL);
	open_real(&runner);
	(void)async_runner_run(&runner, interrupt_at_last, NULL);
	assert_int_equal(async_runner_run(&runner, sleep_for, (void *)ASYNC_MS), 0);
	close_runner(&runner);
}

static void other_handler(int number)
{
	(void)number;
}

/* A handler of the program's own stays. */
static void test_sigint_of_the_program(void **state)
{
	struct async_options options = test_options();
	struct async_runner runner = ASYNC_RUNNER_INIT;

	(void)state;
	signal(SIGINT, other_handler);
	open_runner(&runner);
	assert_int_equal(async_runner_run(&runner, interrupt_at_last, NULL), 0);
	close_runner(&runner);
	assert_ptr_equal(signal(SIGINT, SIG_DFL), other_handler);
	options.ignore_sigint = true;
	open_with(&runner, &options);
	signal(SIGINT, other_handler);
	assert_int_equal(async_runner_run(&runner, interrupt_at_last, NULL), 0);
	close_runner(&runner);
	assert_ptr_equal(signal(SIGINT, SIG_DFL), other_handler);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_several_runs),
		TEST(test_close_cancels_what_is_left),
		TEST(test_late_failures_are_reported),
		TEST(test_stubborn_tasks),
		TEST(test_misuse),
		TEST(test_locals),
		TEST(test_stopped),
		TEST(test_stopped_while_closing),
		TEST(test_sigint_cancels_the_main_task),
		TEST(test_late_sigint),
		TEST(test_sigint_of_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
