/* SPDX-License-Identifier: MIT */
/* async_run: the main task, what it leaves behind, and the signals. */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static intptr_t run(async_fn *fn, void *arg)
{
	struct async_options options = test_options();

	reports = (struct reports){0};
	return async_run_with(fn, arg, &options);
}

/* The main task's first line in tests that look at what is reported. */
static void record(void)
{
	assert_int_equal(async_loop_set_error_handler(async_get_running_loop(), record_report, NULL), 0);
}

static intptr_t return_arg(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t nest(void *arg)
{
	(void)arg;
	assert_int_equal(async_run(return_arg, NULL), -EBUSY);
	assert_int_equal(run(return_arg, NULL), -EBUSY);
	give_way(1);
	return 8;
}

static void gives_the_result(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_int_equal(async_run(return_arg, (void *)5), 5);
	assert_int_equal(run(return_arg, (void *)-EIO), -EIO);
	assert_int_equal(run(return_arg, (void *)-ECANCELED), -ECANCELED);
	assert_int_equal(run(nest, NULL), 8);
	assert_null(async_get_running_loop());
	assert_int_equal(async_run(NULL, NULL), -EINVAL);
	options.stack_size = 1;
	assert_int_equal(async_run_with(return_arg, NULL, &options), -EINVAL);
}

/* What is left */

static intptr_t leftover(void *arg)
{
	int result = async_sleep(1000 * ASYNC_S);

	note("%s:%d:%s", (const char *)arg, result, async_cancel_reason(async_current_task()));
	return strcmp(arg, "fails") == 0 ? -EIO : result;
}

static intptr_t leave_tasks(void *arg)
{
	(void)arg;
	record();
	async_release(async_create_task(leftover, (void *)(uintptr_t)"a"));
	async_release(async_create_task(leftover, (void *)(uintptr_t)"b"));
	give_way(1);
	/* It begins in the iteration in which the end of this task is noticed. */
	async_release(async_create_task(leftover, (void *)(uintptr_t)"c"));
	return 1;
}

static void cancels_what_is_left(void **state)
{
	(void)state;
	assert_int_equal(run(leave_tasks, NULL), 1);
	assert_int_equal(reports.count, 0);
	assert_noted("a:-125:shutdown b:-125:shutdown c:-125:shutdown");
}

static intptr_t leave_failing(void *arg)
{
	(void)arg;
	record();
	async_release(async_create_task(leftover, (void *)(uintptr_t)"fails"));
	give_way(1);
	return 2;
}

static void reports_late_failures(void **state)
{
	(void)state;
	assert_int_equal(run(leave_failing, NULL), 2);
	assert_int_equal(reports.count, 1);
	assert_int_equal(reports.error, -EIO);
	assert_noted("fails:-125:shutdown");
}

/* A clean-up that creates a task: that one is cancelled too. */
static intptr_t spawn_at_the_end(void *arg)
{
	int result = async_sleep(1000 * ASYNC_S);

	(void)arg;
	async_release(async_create_task(leftover, (void *)(uintptr_t)"late"));
	give_way(1);
	note("spawner:%d", result);
	return result;
}

static intptr_t leave_spawner(void *arg)
{
	(void)arg;
	record();
	async_release(async_create_task(spawn_at_the_end, NULL));
	give_way(1);
	return 3;
}

static void cancels_what_the_clean_up_creates(void **state)
{
	(void)state;
	assert_int_equal(run(leave_spawner, NULL), 3);
	assert_noted("spawner:-125 late:-125:shutdown");
	assert_int_equal(reports.count, 0);
}

static async_time last_seen;

static intptr_t ignore_everything(void *arg)
{
	(void)arg;
	for (;;) {
		(void)!async_sleep(30 * ASYNC_MS);
		last_seen = async_loop_time(NULL);
	}
	return 0;
}

static char reported_name[ASYNC_TASK_NAME_MAX];

static int record_name(const struct async_error_context *context, void *arg)
{
	if (context->future)
		async_task_get_name(context->future, reported_name, sizeof(reported_name));
	return record_report(context, arg);
}

static intptr_t leave_stubborn(void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	(void)arg;
	async_loop_set_error_handler(async_get_running_loop(), record_name, NULL);
	options.name = "stubborn";
	async_release(async_create_task_with(ignore_everything, NULL, &options));
	async_release(async_create_task(leftover, (void *)(uintptr_t)"polite"));
	give_way(1);
	return 4;
}

static void names_what_ignores_its_cancellation(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.shutdown_timeout = 2 * ASYNC_S;
	reports = (struct reports){0};
	assert_int_equal(async_run_with(leave_stubborn, NULL, &options), 4);
	assert_int_equal(reports.count, 1);
	assert_string_equal(reported_name, "stubborn");
	assert_non_null(strstr(reports.message, "ignores its cancellation"));
	assert_noted("polite:-125:shutdown");
	/* It had its two seconds, of virtual time, and not many more. */
	assert_true(last_seen >= 1900 * ASYNC_MS && last_seen <= 2200 * ASYNC_MS);
}

static intptr_t wait_for_nobody(void *arg)
{
	(void)arg;
	record();
	intptr_t result = async_await(async_future_new(NULL, NULL));
	note("main:%ld", (long)result);
	return 5;
}

static void a_deadlock_ends_the_run(void **state)
{
	(void)state;
	assert_int_equal(run(wait_for_nobody, NULL), -EDEADLK);
	assert_int_equal(reports.count, 1);
	assert_non_null(strstr(reports.message, "Task-1 waits for a future"));
	/* Cancelled like everything that is left. */
	assert_noted("main:-125");
}

static atomic_int job_ended;

static intptr_t job_until_asleep(void *arg)
{
	await_asleep(arg);
	atomic_store(&job_ended, 1);
	return 0;
}

static intptr_t leave_job(void *arg)
{
	(void)arg;
	async_release(async_run_in_executor(NULL, job_until_asleep, async_get_running_loop()));
	give_way(1);
	return 6;
}

static void joins_the_default_executor(void **state)
{
	(void)state;
	atomic_store(&job_ended, 0);
	assert_int_equal(run(leave_job, NULL), 6);
	assert_int_equal(atomic_load(&job_ended), 1);
}

static void run_in_thread(void *arg)
{
	*(intptr_t *)arg = run(return_arg, (void *)7);
}

static intptr_t run_beside(void *arg)
{
	intptr_t result = 0;

	(void)arg;
	in_thread(run_in_thread, &result);
	return result;
}

static void each_thread_may_run_one(void **state)
{
	(void)state;
	assert_int_equal(run(run_beside, NULL), 7);
}

/* SIGINT */

static void (*action_of(int number))(int)
{
	struct sigaction action;

	assert_int_equal(sigaction(number, NULL, &action), 0);
	return action.sa_handler;
}

static intptr_t interrupt_self(void *arg)
{
	async_release(async_create_task(leftover, (void *)(uintptr_t)"other"));
	give_way(1);
	raise(SIGINT);
	int result = async_sleep(1000 * ASYNC_S);
	note("main:%d:%s", result, async_cancel_reason(async_current_task()));
	return arg ? (intptr_t)arg : result;
}

static void the_first_sigint_cancels(void **state)
{
	(void)state;
	assert_int_equal(run(interrupt_self, NULL), -EINTR);
	assert_noted("main:-125:SIGINT other:-125:shutdown");
	assert_ptr_equal(action_of(SIGINT), SIG_DFL);
	/* A main task that has a result in spite of it keeps it. */
	assert_int_equal(run(interrupt_self, (void *)3), 3);
	forget_notes();
	/* And again: nothing is left of the first one. */
	assert_int_equal(run(interrupt_self, NULL), -EINTR);
	forget_notes();
	assert_int_equal(run(return_arg, (void *)-ECANCELED), -ECANCELED);
}

static void *interrupt_when_asleep(void *arg)
{
	await_asleep(arg);
	kill(getpid(), SIGINT);
	return NULL;
}

static intptr_t sleep_real(void *arg)
{
	pthread_t thread;

	(void)arg;
	assert_int_equal(pthread_create(&thread, NULL, interrupt_when_asleep, async_get_running_loop()), 0);
	int result = async_sleep(1000 * ASYNC_S);
	pthread_join(thread, NULL);
	return result;
}

static void sigint_wakes_a_sleeping_loop(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(async_run_with(sleep_real, NULL, &options), -EINTR);
}

static intptr_t interrupt_twice(void *arg)
{
	(void)arg;
	raise(SIGINT);
	raise(SIGINT);
	return 0;
}

static void in_child(async_fn *fn, int expected_signal)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		(void)!run(fn, NULL);
		_exit(3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), expected_signal);
}

static void the_second_sigint_kills(void **state)
{
	(void)state;
	in_child(interrupt_twice, SIGINT);
}

static int caught;

static void catch(int number)
{
	caught = number;
}

static intptr_t look_at_actions(void *arg)
{
	void (**actions)(int) = arg;

	actions[0] = action_of(SIGINT);
	actions[1] = action_of(SIGPIPE);
	return 0;
}

static intptr_t interrupt_and_go_on(void *arg)
{
	(void)arg;
	caught = 0;
	raise(SIGINT);
	give_way(3);
	assert_int_equal(caught, SIGINT);
	return 9;
}

static void actions_of_the_program_stay(void **state)
{
	struct async_options options = test_options();
	void (*actions[2])(int);

	(void)state;
	signal(SIGINT, catch);
	signal(SIGPIPE, catch);
	assert_int_equal(run(look_at_actions, actions), 0);
	assert_ptr_equal(actions[0], catch);
	assert_ptr_equal(actions[1], catch);
	assert_int_equal(run(interrupt_and_go_on, NULL), 9);
	assert_ptr_equal(action_of(SIGINT), catch);
	assert_ptr_equal(action_of(SIGPIPE), catch);
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);

	assert_int_equal(run(look_at_actions, actions), 0);
	assert_ptr_not_equal(actions[0], SIG_DFL);
	options.ignore_sigint = true;
	assert_int_equal(async_run_with(look_at_actions, actions, &options), 0);
	assert_ptr_equal(actions[0], SIG_DFL);
}

static intptr_t write_to_nobody(void *arg)
{
	int pipes[2];

	(void)arg;
	assert_int_equal(pipe(pipes), 0);
	close(pipes[0]);
	/* A plain write(2): SIGPIPE would end the process. */
	intptr_t result = write(pipes[1], "x", 1) < 0 ? -errno : 0;
	close(pipes[1]);
	return result;
}

static void sigpipe_is_ignored_for_the_run(void **state)
{
	(void)state;
	assert_ptr_equal(action_of(SIGPIPE), SIG_DFL);
	assert_int_equal(run(write_to_nobody, NULL), -EPIPE);
	assert_ptr_equal(action_of(SIGPIPE), SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gives_the_result),
		TEST(cancels_what_is_left),
		TEST(reports_late_failures),
		TEST(cancels_what_the_clean_up_creates),
		TEST(names_what_ignores_its_cancellation),
		TEST(a_deadlock_ends_the_run),
		TEST(joins_the_default_executor),
		TEST(each_thread_may_run_one),
		TEST(the_first_sigint_cancels),
		TEST(sigint_wakes_a_sleeping_loop),
		TEST(the_second_sigint_kills),
		TEST(actions_of_the_program_stay),
		TEST(sigpipe_is_ignored_for_the_run),
	};

	/* A program may have inherited others from whoever started it. */
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
