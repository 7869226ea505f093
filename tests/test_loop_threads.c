/* SPDX-License-Identifier: MIT */
/* What other threads, signal handlers and child processes may do with a loop. */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static void stop_running(void *arg)
{
	(void)arg;
	note("stop");
	async_loop_stop(async_get_running_loop());
}

static intptr_t return_arg(void *arg)
{
	return (intptr_t)arg;
}

static void own_loop(void *arg)
{
	async_loop *loop = async_get_event_loop();

	assert_non_null(loop);
	assert_ptr_equal(async_get_event_loop(), loop);
	assert_ptr_not_equal(loop, arg);
	assert_null(async_get_running_loop());
	assert_int_equal(async_loop_run_until_complete(loop, async_create_task(return_arg, (void *)9)), 9);
}

static intptr_t check_event_loop(void *arg)
{
	assert_ptr_equal(async_get_event_loop(), arg);
	assert_ptr_equal(async_get_running_loop(), arg);
	return 0;
}

static void each_thread_has_a_loop_of_its_own(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	in_thread(own_loop, loop);
	async_task *task = async_loop_create_task(loop, check_event_loop, loop, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, task), 0);
	loop_end(loop);
}

static void try_everything(void *arg)
{
	async_loop *loop = arg;
	async_handle *handle;
	struct async_loop_stats stats = {.size = sizeof(stats)};

	assert_true(async_loop_is_running(loop));
	assert_int_equal(async_loop_call_soon(loop, note_callback, NULL, NULL), -EPERM);
	assert_int_equal(async_loop_call_later(loop, 1, note_callback, NULL, NULL), -EPERM);
	assert_int_equal(async_handle_new(loop, note_callback, NULL, &handle), -EPERM);
	assert_int_equal(async_error(async_loop_create_task(loop, return_arg, NULL, NULL)), -EPERM);
	assert_int_equal(async_error(async_future_new(loop, NULL)), -EPERM);
	assert_int_equal(async_loop_run_forever(loop), -EPERM);
	assert_int_equal(async_loop_run_once(loop), -EPERM);
	assert_int_equal(async_loop_close(loop), -EPERM);
	assert_int_equal(async_loop_get_stats(loop, &stats), -EPERM);
	assert_int_equal(async_loop_set_error_handler(loop, NULL, NULL), -EPERM);
	assert_int_equal(async_all_tasks(loop, NULL, 0), -EPERM);
	assert_int_equal(async_loop_fd(loop), -EPERM);
}

struct foreign {
	async_loop *loop;
	async_future *future;
};

static void try_future(void *arg)
{
	struct foreign *foreign = arg;

	try_everything(foreign->loop);
	assert_int_equal(async_future_set_result(foreign->future, 1), -EPERM);
	assert_int_equal(async_future_set_error(foreign->future, -1), -EPERM);
	assert_int_equal(async_cancel(foreign->future, NULL), -EPERM);
	assert_int_equal(async_add_done_callback(foreign->future, NULL, NULL), -EPERM);
}

static intptr_t invite_thread(void *arg)
{
	struct foreign foreign = {async_get_running_loop(), async_future_new(NULL, NULL)};

	(void)arg;
	in_thread(try_future, &foreign);
	assert_false(async_done(foreign.future));
	async_release(foreign.future);
	return 0;
}

static void other_threads_are_refused(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(invite_thread, NULL), 0);
}

#define THREADS 4
#define CALLS 500

struct counting {
	async_loop *loop;
	int seen[THREADS]; /* the next expected of each thread */
	int total;
};

struct counted_call {
	struct counting *counting;
	int thread, number;
};

struct poster {
	struct counting *counting;
	int thread;
	struct counted_call calls[CALLS];
};

static void count_call(void *arg)
{
	struct counted_call *call = arg;

	assert_int_equal(call->counting->seen[call->thread], call->number);
	call->counting->seen[call->thread]++;
	if (++call->counting->total == THREADS * CALLS)
		async_loop_stop(call->counting->loop);
}

static void *post_calls(void *arg)
{
	struct poster *poster = arg;

	for (int i = 0; i < CALLS; i++) {
		poster->calls[i] = (struct counted_call){poster->counting, poster->thread, i};
		if (async_loop_call_soon_threadsafe(poster->counting->loop, count_call, &poster->calls[i]) != 0)
			abort();
	}
	return NULL;
}

static void threads_post_calls(void **state)
{
	static struct poster posters[THREADS];
	struct counting counting = {.loop = loop_real()};
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		posters[i].counting = &counting;
		posters[i].thread = i;
		assert_int_equal(pthread_create(&threads[i], NULL, post_calls, &posters[i]), 0);
	}
	assert_int_equal(async_loop_run_forever(counting.loop), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counting.total, THREADS * CALLS);
	loop_end(counting.loop);
}

static void *stop_when_asleep(void *arg)
{
	await_asleep(arg);
	async_loop_stop(arg);
	return NULL;
}

static void *call_when_asleep(void *arg)
{
	await_asleep(arg);
	async_loop_call_soon_threadsafe(arg, stop_running, NULL);
	return NULL;
}

static void a_sleeping_loop_is_woken(void **state)
{
	void *(*const wake[])(void *) = {stop_when_asleep, call_when_asleep};
	async_loop *loop = loop_real();
	pthread_t thread;

	(void)state;
	for (size_t i = 0; i < countof(wake); i++) {
		assert_int_equal(pthread_create(&thread, NULL, wake[i], loop), 0);
		assert_int_equal(async_loop_run_forever(loop), 0);
		pthread_join(thread, NULL);
	}
	assert_noted("stop");
	loop_end(loop);
}

static async_handle *signal_handle;
static async_loop *signal_loop;

static void post_on_signal(int number)
{
	(void)number;
	async_handle_post(signal_handle);
}

static void stop_on_signal(int number)
{
	(void)number;
	async_loop_stop(signal_loop);
}

struct killer {
	async_loop *loop;
	pthread_t victim;
};

static void *kill_when_asleep(void *arg)
{
	const struct killer *killer = arg;

	await_asleep(killer->loop);
	/* ThreadSanitizer holds a handler back until its thread makes a call that it intercepts; a wait in io_uring
	 * is none. There the handler runs in this thread, which is as good for the race and does not interrupt the
	 * wait. */
	pthread_kill(under_tool("tsan") ? pthread_self() : killer->victim, SIGUSR1);
	return NULL;
}

static void handle_signals_with(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

static void raise_signal(void *arg)
{
	(void)arg;
	note("raise");
	raise(SIGUSR1);
}

static void a_signal_handler_posts(void **state)
{
	struct killer killer = {loop_real(), pthread_self()};
	pthread_t thread;

	(void)state;
	assert_int_equal(async_handle_new(killer.loop, stop_running, NULL, &signal_handle), 0);
	handle_signals_with(post_on_signal);
	assert_int_equal(async_loop_call_soon(killer.loop, raise_signal, NULL, NULL), 0);
	assert_int_equal(async_loop_run_forever(killer.loop), 0);
	assert_noted("raise stop");
	for (int i = 0; i < 20; i++) {
		assert_int_equal(pthread_create(&thread, NULL, kill_when_asleep, &killer), 0);
		assert_int_equal(async_loop_run_forever(killer.loop), 0);
		pthread_join(thread, NULL);
		assert_noted("stop");
	}
	signal(SIGUSR1, SIG_DFL);
	async_handle_release(signal_handle);
	loop_end(killer.loop);
}

static void a_signal_handler_stops(void **state)
{
	struct killer killer = {loop_real(), pthread_self()};
	pthread_t thread;

	(void)state;
	signal_loop = killer.loop;
	handle_signals_with(stop_on_signal);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(pthread_create(&thread, NULL, kill_when_asleep, &killer), 0);
		assert_int_equal(async_loop_run_forever(killer.loop), 0);
		pthread_join(thread, NULL);
	}
	signal(SIGUSR1, SIG_DFL);
	loop_end(killer.loop);
}

static void stop_loop(void *loop)
{
	async_loop_stop(loop);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void *post_until_refused(void *loop)
{
	while (async_loop_call_soon_threadsafe(loop, nothing, NULL) == 0)
		sched_yield();
	return NULL;
}

/* Whoever is about to wake the loop while it closes finds what it needs. */
static void threads_post_while_a_loop_closes(void **state)
{
	(void)state;
	for (size_t i = 0; i < test_many(500); i++) {
		async_loop *loop = loop_real();
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, post_until_refused, loop), 0);
		async_loop_call_later(loop, 20 * ASYNC_US, stop_loop, loop, NULL);
		assert_int_equal(async_loop_run_forever(loop), 0);
		assert_int_equal(async_loop_close(loop), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		async_loop_free(loop);
	}
}

struct elsewhere {
	async_loop *loop;
	int pipe[2];
	intptr_t result;
};

static intptr_t read_byte(void *arg)
{
	char byte;

	return async_read(((struct elsewhere *)arg)->pipe[0], &byte, 1);
}

static void run_elsewhere(void *arg)
{
	struct elsewhere *mine = arg;
	async_task *task = async_loop_create_task(mine->loop, read_byte, mine, NULL);

	mine->result = async_loop_run_until_complete(mine->loop, task);
}

static void a_loop_runs_in_one_thread_after_another(void **state)
{
	struct elsewhere mine = {.loop = loop_real()};

	(void)state;
	assert_int_equal(pipe(mine.pipe), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(write(mine.pipe[1], "x", 1), 1);
		if (i == 1)
			run_elsewhere(&mine);
		else
			in_thread(run_elsewhere, &mine);
		assert_int_equal(mine.result, 1);
	}
	loop_end(mine.loop);
	close(mine.pipe[0]);
	close(mine.pipe[1]);
}

/* Leaves a task behind that waits for the kernel. */
static void leave_waiting(void *arg)
{
	struct elsewhere *mine = arg;

	async_release(async_loop_create_task(mine->loop, read_byte, mine, NULL));
	for (int i = 0; i < 2; i++) {
		async_loop_stop(mine->loop);
		mine->result = async_loop_run_forever(mine->loop);
	}
}

static void a_loop_is_closed_after_its_thread_ended(void **state)
{
	struct elsewhere mine = {.loop = loop_real()};

	(void)state;
	assert_int_equal(pipe(mine.pipe), 0);
	in_thread(leave_waiting, &mine);
	assert_int_equal(mine.result, 0);
	assert_int_equal(async_loop_close(mine.loop), 0);
	async_loop_free(mine.loop);
	close(mine.pipe[0]);
	close(mine.pipe[1]);
}

static void close_elsewhere(void *arg)
{
	struct elsewhere *mine = arg;

	mine->result = async_loop_close(mine->loop);
}

/* A ring belongs to its thread; epoll does not mind. */
static void a_loop_with_operations_is_closed_in_its_thread(void **state)
{
	struct elsewhere mine = {.loop = loop_real()};
	struct async_loop_stats stats = {.size = sizeof(stats)};

	(void)state;
	assert_int_equal(pipe(mine.pipe), 0);
	leave_waiting(&mine);
	assert_int_equal(async_loop_get_stats(mine.loop, &stats), 0);
	in_thread(close_elsewhere, &mine);
	if (strcmp(stats.backend, "io_uring") == 0) {
		assert_int_equal(mine.result, -EPERM);
		mine.result = async_loop_close(mine.loop);
	}
	assert_int_equal(mine.result, 0);
	async_loop_free(mine.loop);
	close(mine.pipe[0]);
	close(mine.pipe[1]);
}

static int destroyed;

static void count_destroy(void *arg)
{
	(void)arg;
	destroyed++;
}

#define CHECK(condition) \
	do { \
		if (!(condition)) \
			_exit(__LINE__ % 250 + 1); \
	} while (0)

static void use_in_child(async_loop *loop, async_future *future)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.destroy = count_destroy;
	CHECK(async_loop_call_soon(loop, note_callback, NULL, NULL) == -EPERM);
	CHECK(async_loop_call_soon_threadsafe(loop, note_callback, NULL) == -EPERM);
	CHECK(async_error(async_loop_create_task(loop, return_arg, NULL, &options)) == -EPERM);
	CHECK(destroyed == 1);
	CHECK(async_error(async_future_new(loop, NULL)) == -EPERM);
	CHECK(async_loop_run_forever(loop) == -EPERM);
	CHECK(async_loop_run_once(loop) == -EPERM);
	CHECK(async_loop_fd(loop) == -EPERM);
	CHECK(async_add_done_callback(future, NULL, NULL) < 0);
	/* A loop of its own works. */
	async_loop *own;
	CHECK(async_loop_new(NULL, &own) == 0);
	CHECK(async_loop_run_until_complete(own, async_loop_create_task(own, return_arg, (void *)3, NULL)) == 3);
	async_loop_free(own);
	/* And the parent's can be closed. */
	async_release(future);
	CHECK(async_loop_close(loop) == 0);
	async_loop_free(loop);
	_exit(0);
}

static void a_forked_child_is_refused(void **state)
{
	async_loop *loop = loop_real();
	async_future *future = async_future_new(loop, NULL);
	int status;

	(void)state;
	assert_true(async_loop_fd(loop) >= 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		use_in_child(loop, future);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* The parent's goes on. */
	async_future_set_result(future, 2);
	assert_int_equal(async_loop_run_until_complete(loop, future), 2);
	loop_end(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_thread_has_a_loop_of_its_own),
		TEST(other_threads_are_refused),
		TEST(threads_post_calls),
		TEST(a_sleeping_loop_is_woken),
		TEST(a_signal_handler_posts),
		TEST(a_signal_handler_stops),
		TEST(threads_post_while_a_loop_closes),
		TEST(a_loop_runs_in_one_thread_after_another),
		TEST(a_loop_is_closed_after_its_thread_ended),
		TEST(a_loop_with_operations_is_closed_in_its_thread),
		TEST(a_forked_child_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
