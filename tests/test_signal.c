/* SPDX-License-Identifier: MIT */
/* Signals: what is called and who is woken, what is remembered, and what the process is left with. */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"

static const int usr1[] = {SIGUSR1}, usr2[] = {SIGUSR2}, both[] = {SIGUSR1, SIGUSR2};

static void (*action_of(int number))(int)
{
	struct sigaction action;

	assert_int_equal(sigaction(number, NULL, &action), 0);
	return action.sa_handler;
}

/* To any thread of the process. ThreadSanitizer holds a signal back until the thread calls something that it knows,
 * which waiting for a ring is not. */
static void send_usr1(void)
{
	const char *tool = getenv("TEST_TOOL");

	if (tool && strcmp(tool, "tsan") == 0)
		raise(SIGUSR1);
	else
		kill(getpid(), SIGUSR1);
}

/* Callbacks */

static intptr_t calls_back(void *arg)
{
	async_loop *loop = async_get_running_loop();

	(void)arg;
	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, note_callback, (void *)(intptr_t)"one"), 0);
	note("raise");
	raise(SIGUSR1);
	note("raised");
	give_way(2);
	/* Until they are dealt with, several are one. */
	for (int i = 0; i < 3; i++)
		raise(SIGUSR1);
	give_way(3);
	assert_noted("raise raised one one");

	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, note_callback, (void *)(intptr_t)"other"), 0);
	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR2, note_callback, (void *)(intptr_t)"two"), 0);
	raise(SIGUSR2);
	raise(SIGUSR1);
	give_way(2);
	assert_noted("two other");

	/* A call that is due is not made: neither before the loop has heard of it nor after. */
	raise(SIGUSR1);
	assert_int_equal(async_loop_remove_signal_handler(loop, SIGUSR1), 1);
	assert_int_equal(async_loop_remove_signal_handler(loop, SIGUSR1), 0);
	give_way(3);
	assert_noted("");
	return 0;
}

static void test_callbacks(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(calls_back, NULL), 0);
	assert_true(action_of(SIGUSR1) == SIG_DFL);
	assert_true(action_of(SIGUSR2) == SIG_DFL);
}

static void remove_itself(void *arg)
{
	note("%s", async_loop_remove_signal_handler(arg, SIGUSR1) == 1 ? "removed" : "failed");
}

static intptr_t removes_itself(void *arg)
{
	async_loop *loop = async_get_running_loop();

	(void)arg;
	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, remove_itself, loop), 0);
	raise(SIGUSR1);
	give_way(3);
	assert_noted("removed");
	assert_true(action_of(SIGUSR1) == SIG_DFL);
	return 0;
}

static void test_removal_in_callback(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(removes_itself, NULL), 0);
}

/* Waiting */

static intptr_t wait_for(void *arg)
{
	const int *number = arg;
	int result = async_signal_wait(number, number == both ? 2 : 1);

	note("%d", result == SIGUSR1 ? 1 : result == SIGUSR2 ? 2 : result);
	return result;
}

static async_task *waiter(const int *numbers)
{
	return async_create_task(wait_for, (void *)(uintptr_t)numbers);
}

static intptr_t everybody_is_told(void *arg)
{
	async_loop *loop = async_get_running_loop();
	async_task *tasks[] = {waiter(usr1), waiter(usr2), waiter(both)};

	(void)arg;
	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, note_callback, (void *)(intptr_t)"call"), 0);
	give_way(1);
	raise(SIGUSR1);
	assert_int_equal(async_await(tasks[0]), SIGUSR1);
	assert_int_equal(async_await(tasks[2]), SIGUSR1);
	assert_noted("call 1 1");
	/* The callback goes, who waits stays. */
	async_task *again = waiter(usr1);
	give_way(1);
	assert_int_equal(async_loop_remove_signal_handler(loop, SIGUSR1), 1);
	assert_int_equal(async_loop_remove_signal_handler(loop, SIGUSR1), 0);
	raise(SIGUSR1);
	raise(SIGUSR2);
	assert_int_equal(async_await(again), SIGUSR1);
	assert_int_equal(async_await(tasks[1]), SIGUSR2);
	assert_noted("1 2");
	return 0;
}

static void test_everybody_is_told(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(everybody_is_told, NULL), 0);
}

static intptr_t remembers(void *arg)
{
	async_loop *loop = async_get_running_loop();
	async_task *first = waiter(both);

	(void)arg;
	give_way(1);
	raise(SIGUSR1);
	assert_int_equal(async_await(first), SIGUSR1);
	/* Nobody waits now. */
	raise(SIGUSR1);
	raise(SIGUSR1);
	raise(SIGUSR2);
	give_way(2);
	assert_int_equal(async_signal_wait(both, 2), SIGUSR1);
	assert_int_equal(async_signal_wait(both, 2), SIGUSR2);
	raise(SIGUSR1);
	give_way(2);
	assert_true(action_of(SIGUSR1) != SIG_DFL);
	assert_int_equal(async_loop_remove_signal_handler(loop, SIGUSR1), 1);
	assert_true(action_of(SIGUSR1) == SIG_DFL);
	/* What was remembered is gone with it. */
	async_task *last = waiter(both);
	give_way(2);
	assert_false(async_done(last));
	raise(SIGUSR2);
	assert_int_equal(async_await(last), SIGUSR2);
	return 0;
}

static void test_remembered(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(remembers, NULL), 0);
	forget_notes();
}

static intptr_t wait_twice(void *arg)
{
	int first = async_signal_wait(usr1, 1), second = async_signal_wait(usr1, 1);

	(void)arg;
	return first == SIGUSR1 ? second : -1;
}

static void cancel_it(void *arg)
{
	async_cancel(arg, NULL);
}

static intptr_t cancels(void *arg)
{
	async_loop *loop = async_get_running_loop();
	async_task *task = waiter(usr1);

	(void)arg;
	give_way(1);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	forget_notes();
	/* Woken, and cancelled before it runs: neither is lost. */
	task = async_create_task(wait_twice, NULL);
	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, cancel_it, task), 0);
	give_way(1);
	raise(SIGUSR1);
	assert_int_equal(async_await(task), -ECANCELED);
	return 0;
}

static void test_cancellation(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancels, NULL), 0);
}

/* Several loops */

struct other_loop {
	async_loop *loop;
	int result;
};

static intptr_t wait_there(void *arg)
{
	(void)arg;
	return async_signal_wait(usr1, 1);
}

static void *run_there(void *arg)
{
	struct other_loop *other = arg;

	other->result = (int)async_loop_run_until_complete(other->loop,
							   async_loop_create_task(other->loop, wait_there, NULL, NULL));
	return NULL;
}

static void test_several_loops(void **state)
{
	struct other_loop others[3] = {{.loop = loop_real()}, {.loop = loop_virtual()}, {.loop = loop_real()}};
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_there, &others[i]), 0);
	/* One signal, whichever thread the kernel takes. */
	for (int i = 0; i < 3; i++)
		await_asleep(others[i].loop);
	send_usr1();
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(others[i].result, SIGUSR1);
		assert_true(action_of(SIGUSR1) != SIG_DFL);
		loop_end(others[i].loop);
	}
	assert_true(action_of(SIGUSR1) == SIG_DFL);
}

static atomic_bool stop_raising;

static void *keep_raising(void *arg)
{
	while (!atomic_load(&stop_raising))
		raise(SIGUSR1);
	return arg;
}

static void ignore(void *arg)
{
	(void)arg;
}

static void own_handler(int number)
{
	(void)number;
}

/* Handlers under way in another thread while subscriptions come and go. */
static void test_removal_during_signals(void **state)
{
	async_loop *loop = loop_virtual();
	pthread_t thread;

	(void)state;
	signal(SIGUSR1, own_handler);
	atomic_store(&stop_raising, false);
	assert_int_equal(pthread_create(&thread, NULL, keep_raising, NULL), 0);
	for (size_t i = test_many(5000); i > 0; i--) {
		assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, ignore, NULL), 0);
		if (i % 2)
			assert_true(async_loop_run_once(loop) >= 0);
		assert_int_equal(async_loop_remove_signal_handler(loop, SIGUSR1), 1);
	}
	atomic_store(&stop_raising, true);
	pthread_join(thread, NULL);
	loop_end(loop);
	assert_true(action_of(SIGUSR1) == own_handler);
	signal(SIGUSR1, SIG_DFL);
}

/* What the process is left with */

static void test_previous_action(void **state)
{
	async_loop *loop = loop_virtual(), *second = loop_virtual();

	(void)state;
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, own_handler);
	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, ignore, NULL), 0);
	assert_int_equal(async_loop_add_signal_handler(second, SIGUSR1, ignore, NULL), 0);
	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR2, ignore, NULL), 0);
	assert_int_equal(async_loop_remove_signal_handler(loop, SIGUSR1), 1);
	assert_true(action_of(SIGUSR1) != SIG_IGN);
	assert_int_equal(async_loop_remove_signal_handler(second, SIGUSR1), 1);
	assert_true(action_of(SIGUSR1) == SIG_IGN);

	/* Somebody else's is left alone, until a loop asks for it. */
	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, ignore, NULL), 0);
	signal(SIGUSR1, own_handler);
	assert_int_equal(async_loop_add_signal_handler(second, SIGUSR1, ignore, NULL), 0);
	assert_true(action_of(SIGUSR1) != own_handler);
	loop_end(second);
	signal(SIGUSR1, SIG_DFL);
	loop_end(loop);
	assert_true(action_of(SIGUSR1) == SIG_DFL);
	assert_true(action_of(SIGUSR2) == own_handler);
	signal(SIGUSR2, SIG_DFL);
}

static intptr_t handle_interrupt(void *arg)
{
	async_loop *loop = async_get_running_loop();

	(void)arg;
	assert_int_equal(async_loop_add_signal_handler(loop, SIGINT, note_callback, (void *)(intptr_t)"mine"), 0);
	raise(SIGINT);
	give_way(2);
	assert_noted("mine");
	assert_int_equal(async_loop_remove_signal_handler(loop, SIGINT), 1);
	/* The run's own is back: it cancels. */
	raise(SIGINT);
	return async_sleep(ASYNC_S);
}

static intptr_t leave_interrupt(void *arg)
{
	(void)arg;
	return async_loop_add_signal_handler(async_get_running_loop(), SIGINT, ignore, NULL);
}

static void test_interrupt_of_a_run(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_int_equal(async_run_with(handle_interrupt, NULL, &options), -EINTR);
	assert_true(action_of(SIGINT) == SIG_DFL);
	assert_int_equal(async_run_with(leave_interrupt, NULL, &options), 0);
	assert_true(action_of(SIGINT) == SIG_DFL);
}

static void test_forked_child(void **state)
{
	async_loop *loop = loop_virtual();
	int status;

	(void)state;
	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, ignore, NULL), 0);
	pid_t child = fork();
	if (child == 0) {
		/* Caught, for a loop that is not the child's. */
		raise(SIGUSR1);
		bool refused = async_loop_add_signal_handler(loop, SIGUSR2, ignore, NULL) == -EPERM;
		async_loop_free(loop);
		_exit(refused && action_of(SIGUSR1) == SIG_DFL ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	loop_end(loop);
}

/* Deadlocks */

static void *raise_when_asleep(void *loop)
{
	await_asleep(loop);
	send_usr1();
	return NULL;
}

static void stop_loop(void *loop)
{
	async_loop_stop(loop);
}

static intptr_t wait_for_nothing(void *arg)
{
	return async_await(async_ref(arg));
}

static void test_no_false_deadlock(void **state)
{
	pthread_t thread;

	(void)state;
	for (int waits = 0; waits < 2; waits++) {
		async_loop *loop = loop_virtual();

		assert_int_equal(pthread_create(&thread, NULL, raise_when_asleep, loop), 0);
		if (waits) {
			async_task *task = async_loop_create_task(loop, wait_there, NULL, NULL);
			assert_int_equal(async_loop_run_until_complete(loop, task), SIGUSR1);
		} else {
			assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, stop_loop, loop), 0);
			assert_int_equal(async_loop_run_forever(loop), 0);
			assert_int_equal(async_loop_remove_signal_handler(loop, SIGUSR1), 1);
		}
		pthread_join(thread, NULL);
		/* What is only remembered wakes nobody, nor does what was removed. */
		async_future *never = async_future_new(loop, NULL);
		async_task *task = async_loop_create_task(loop, wait_for_nothing, never, NULL);
		assert_int_equal(async_loop_run_until_complete(loop, async_ref(task)), -EDEADLK);
		async_cancel(task, NULL);
		assert_int_equal(async_loop_run_until_complete(loop, task), -ECANCELED);
		async_release(never);
		loop_end(loop);
	}
}

/* Errors */

static intptr_t bad_calls(void *arg)
{
	static const int unwanted[] = {SIGUSR1, SIGKILL};
	async_loop *loop = async_get_running_loop();

	(void)arg;
	for (int number = -1; number <= NSIG; number++) {
		bool bad = number <= 0 || number == SIGKILL || number == SIGSTOP || number == SIGSEGV ||
			   number == SIGBUS || number == SIGFPE || number == SIGILL || number == NSIG;

		if (!bad)
			continue;
		assert_int_equal(async_loop_add_signal_handler(loop, number, ignore, NULL), -EINVAL);
		assert_int_equal(async_loop_remove_signal_handler(loop, number), -EINVAL);
		assert_int_equal(async_signal_wait(&number, 1), -EINVAL);
	}
	/* The C library's own: the kernel would let us. */
	assert_int_equal(async_loop_add_signal_handler(loop, SIGRTMIN - 1, ignore, NULL), -EINVAL);
	assert_int_equal(async_signal_wait(unwanted, 2), -EINVAL);
	assert_int_equal(async_signal_wait(NULL, 1), -EINVAL);
	assert_int_equal(async_signal_wait(usr1, 0), -EINVAL);
	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, NULL, NULL), -EINVAL);
	assert_int_equal(async_loop_add_signal_handler(NULL, SIGUSR1, ignore, NULL), -EINVAL);
	assert_int_equal(async_loop_remove_signal_handler(NULL, SIGUSR1), -EINVAL);
	assert_int_equal(async_loop_remove_signal_handler(loop, SIGUSR1), 0);
	assert_true(action_of(SIGUSR1) == SIG_DFL);
	return 0;
}

static void test_bad_calls(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	assert_int_equal(run_virtual(bad_calls, NULL), 0);
	assert_int_equal(async_signal_wait(usr1, 1), -EPERM);
	async_loop_close(loop);
	assert_int_equal(async_loop_add_signal_handler(loop, SIGUSR1, ignore, NULL), -ESHUTDOWN);
	assert_int_equal(async_loop_remove_signal_handler(loop, SIGUSR1), -ESHUTDOWN);
	async_loop_free(loop);
}

static intptr_t fails_midway(void *arg)
{
	unsigned long *calls = arg;
	unsigned long nth = *calls;

	if (nth > 0)
		fault_arm(NULL, nth, -ENOMEM);
	else
		fault_count(NULL);
	/* The loop is asked for both, and has the second already when it can be had. */
	int error = async_loop_add_signal_handler(async_get_running_loop(), SIGUSR2, ignore, NULL);
	if (!error) {
		async_task *task = waiter(both);
		give_way(1);
		if (!async_done(task))
			raise(SIGUSR1);
		error = (int)async_await(task);
	}
	*calls = fault_disarm();
	if (error < 0)
		assert_true(action_of(SIGUSR1) == SIG_DFL);
	return error;
}

static void test_every_failure(void **state)
{
	struct async_options options = test_options();
	unsigned long calls = 0;

	(void)state;
	assert_int_equal(run_with(fails_midway, &calls, &options), SIGUSR1);
	assert_true(calls > 4);
	for (unsigned long nth = calls; nth > 0; nth--) {
		unsigned long armed = nth;
		intptr_t result = run_with(fails_midway, &armed, &options);

		assert_true(result == SIGUSR1 || result == -ENOMEM);
		assert_true(action_of(SIGUSR1) == SIG_DFL);
		assert_true(action_of(SIGUSR2) == SIG_DFL);
	}
	forget_notes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_callbacks),
		TEST(test_removal_in_callback),
		TEST(test_everybody_is_told),
		TEST(test_remembered),
		TEST(test_cancellation),
		TEST(test_several_loops),
		TEST(test_removal_during_signals),
		TEST(test_previous_action),
		TEST(test_interrupt_of_a_run),
		TEST(test_forked_child),
		TEST(test_no_false_deadlock),
		TEST(test_bad_calls),
		TEST(test_every_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
