/* SPDX-License-Identifier: MIT */
/*
 * The watchdog. A task blocks on what a second thread controls, which lets it go when the report has come: so nothing
 * depends on how long anything takes.
 */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "core/loop.h"
#include "core/stalls.h"
#include "introspect/watchdog.h"

/* What stderr said, and how the task that blocks is let go. */
static struct {
	int stderr_pipe[2], release_pipe[2], real_stderr;
	pthread_t reader;
	atomic_int released;
	char text[32768];
} seen;

#define HOLDS "does not give way"

static size_t count_of(const char *text, const char *what)
{
	size_t count = 0;

	for (const char *at = text; (at = strstr(at, what)); at++)
		count++;
	return count;
}

/* The watchdog looks again, several times. */
static void let_it_look(void)
{
	for (int i = 0; i < 5; i++) {
		async_time before = atomic_load(&process_stalls.ticked);

		while (atomic_load(&process_stalls.ticked) == before)
			sched_yield();
	}
}

static void let_go(void)
{
	atomic_store(&seen.released, 1);
	assert_int_equal(write(seen.release_pipe[1], "x", 1), 1);
}

static void *read_stderr(void *arg)
{
	size_t length = 0;
	bool told = false;
	ssize_t got;

	while ((got = read(seen.stderr_pipe[0], seen.text + length, sizeof(seen.text) - 1 - length)) > 0) {
		length += (size_t)got;
		seen.text[length] = '\0';
		if (!told && strstr(seen.text, HOLDS)) {
			told = true;
			let_it_look();
			let_go();
		}
	}
	return arg;
}

static void watch_stderr(void)
{
	memset(&seen, 0, sizeof(seen));
	fflush(stderr);
	assert_int_equal(pipe2(seen.stderr_pipe, O_CLOEXEC), 0);
	assert_int_equal(pipe2(seen.release_pipe, O_CLOEXEC), 0);
	seen.real_stderr = dup(STDERR_FILENO);
	assert_int_equal(dup2(seen.stderr_pipe[1], STDERR_FILENO), STDERR_FILENO);
	close(seen.stderr_pipe[1]);
	assert_int_equal(pthread_create(&seen.reader, NULL, read_stderr, NULL), 0);
}

static void end_stderr(void)
{
	fflush(stderr);
	dup2(seen.real_stderr, STDERR_FILENO);
	close(seen.real_stderr);
	pthread_join(seen.reader, NULL);
	close(seen.stderr_pipe[0]);
	close(seen.release_pipe[0]);
	close(seen.release_pipe[1]);
}

static noinline intptr_t block_in_read(void *arg)
{
	char byte;

	(void)arg;
	return read(seen.release_pipe[0], &byte, 1) == 1 ? 0 : -EIO;
}

static noinline intptr_t block_in_epoll(void *arg)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = epoll_create1(EPOLL_CLOEXEC);

	(void)arg;
	epoll_ctl(fd, EPOLL_CTL_ADD, seen.release_pipe[0], &event);
	int ready = epoll_wait(fd, &event, 1, -1);
	close(fd);
	return ready == 1 ? 0 : -EIO;
}

/* Without a call, which ThreadSanitizer would put there: its code has no frame pointers to go on from. */
__attribute__((no_sanitize("thread"))) static noinline intptr_t block_in_a_computation(void *arg)
{
	(void)arg;
	while (!atomic_load(&seen.released))
		cpu_relax();
	return 0;
}

static intptr_t block_renaming(void *arg)
{
	static const char *const names[] = {"first-of-two-names", "second-of-two-names"};

	(void)arg;
	for (unsigned i = 0; !atomic_load(&seen.released); i++)
		if (async_task_set_name(async_current_task(), names[i % 2]) < 0)
			return -ENOMEM;
	return 0;
}

static struct async_options watched_options(void)
{
	struct async_options options = test_options();

	options.slow_task = 10 * ASYNC_MS;
	return options;
}

static async_task *create_named(async_loop *loop, async_fn *fn, const char *name)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.name = name;
	return async_loop_create_task(loop, fn, NULL, &options);
}

/* Runs a task that blocks until it was reported. */
static void run_blocking(async_fn *fn, const char *name)
{
	struct async_options options = watched_options();

	watch_stderr();
	async_loop *loop = loop_with(&options);
	intptr_t result = async_loop_run_until_complete(loop, create_named(loop, fn, name));
	/* What follows the end of the slice. */
	async_loop_stop(loop);
	async_loop_run_forever(loop);
	loop_end(loop);
	end_stderr();
	if (result != 0)
		fail_msg("the call that blocked gives %ld", (long)result);
	assert_int_equal(count_of(seen.text, HOLDS), 1);
	assert_true(reports.count > 0);
	assert_non_null(strstr(reports.message, "held the loop for"));
}

/* Whether reports have backtraces with names here. */
static bool has_backtraces(void)
{
	if (!under_tool("valgrind"))
		return !strstr(seen.text, "? (");
	assert_non_null(strstr(seen.text, "no backtrace: the program runs in valgrind"));
	return false;
}

static void test_blocked_in_a_system_call(void **state)
{
	(void)state;
	run_blocking(block_in_read, "reader");
	assert_non_null(strstr(seen.text, "async: reader has held the loop for 0."));
	if (!has_backtraces())
		return;
	assert_non_null(strstr(seen.text, "  #0  "));
	assert_non_null(strstr(seen.text, "block_in_read ("));
	assert_non_null(strstr(seen.text, "tests/test_watchdog.c:"));
}

/* epoll_wait would end with -EINTR if the thread were stopped. */
static void test_a_call_that_a_stop_would_end(void **state)
{
	(void)state;
	run_blocking(block_in_epoll, "poller");
	assert_non_null(strstr(seen.text, "async: poller has held"));
}

static void test_blocked_in_a_computation(void **state)
{
	(void)state;
	run_blocking(block_in_a_computation, NULL);
	assert_non_null(strstr(seen.text, "async: Task-1 has held"));
	if (has_backtraces())
		assert_non_null(strstr(seen.text, "block_in_a_computation ("));
}

static void test_a_task_that_renames_itself(void **state)
{
	(void)state;
	run_blocking(block_renaming, "first-of-two-names");
	assert_true(strstr(seen.text, "async: first-of-two-names has") ||
		    strstr(seen.text, "async: second-of-two-names has"));
}

static void call_blocking(void *arg)
{
	note("%d", (int)block_in_read(arg));
}

static void test_a_callback(void **state)
{
	struct async_options options = watched_options();

	(void)state;
	watch_stderr();
	async_loop *loop = loop_with(&options);
	assert_int_equal(async_loop_call_soon(loop, call_blocking, NULL, NULL), 0);
	for (int i = 0; i < 2; i++) {
		async_loop_stop(loop);
		assert_int_equal(async_loop_run_forever(loop), 0);
	}
	loop_end(loop);
	end_stderr();
	assert_noted("0");
	assert_non_null(strstr(seen.text, "async: a callback has held the loop"));
	assert_non_null(strstr(reports.message, "a callback held the loop"));
}

static intptr_t end_at_once(void *arg)
{
	(void)arg;
	return 0;
}

/* The callback holds the loop before and after what it runs inside. */
static void call_eager_then_block(void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.eager = true;
	async_release(async_create_task_with(end_at_once, NULL, &options));
	call_blocking(arg);
}

static void test_a_callback_that_ran_an_eager_task(void **state)
{
	struct async_options options = watched_options();

	(void)state;
	watch_stderr();
	async_loop *loop = loop_with(&options);
	assert_int_equal(async_loop_call_soon(loop, call_eager_then_block, NULL, NULL), 0);
	for (int i = 0; i < 2; i++) {
		async_loop_stop(loop);
		assert_int_equal(async_loop_run_forever(loop), 0);
	}
	loop_end(loop);
	end_stderr();
	assert_noted("0");
	assert_non_null(strstr(seen.text, "async: a callback has held the loop"));
}

/* What cannot be had is named; the report comes all the same. */
static void test_no_tracer(void **state)
{
	static const struct {
		const char *call;
		int error;
		const char *said;
	} faults[] = {
		{"ptrace", -EPERM, "no backtrace: ptrace is refused: Operation not permitted"},
		{"clone", -EAGAIN, "no backtrace: there is no tracer"},
	};

	(void)state;
	for (size_t i = 0; i < countof(faults); i++) {
		fault_arm(faults[i].call, 1, faults[i].error);
		run_blocking(block_in_a_computation, "alone");
		unsigned long calls = fault_disarm();
		assert_non_null(strstr(seen.text, "async: alone has held"));
		if (under_tool("valgrind"))
			continue;
		assert_true(calls > 0);
		assert_non_null(strstr(seen.text, faults[i].said));
	}
}

/* Without libdw, which the first report looks for: this test is the first. */
static void test_no_libdw(void **state)
{
	(void)state;
	fault_arm("dlopen", 1, -ENOENT);
	run_blocking(block_in_a_computation, "alone");
	fault_disarm();
	if (under_tool("valgrind"))
		return;
	assert_non_null(strstr(seen.text, "  #0  "));
	assert_non_null(strstr(seen.text, "test_watchdog+0x"));
}

static size_t threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	size_t count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void test_it_comes_and_goes_with_the_loops(void **state)
{
	struct async_options options = watched_options();
	size_t before = threads();
	async_loop *loops[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		loops[i] = loop_with(&options);
	assert_int_equal(threads(), before);
	for (int i = 0; i < 2; i++) {
		async_loop_stop(loops[i]);
		assert_int_equal(async_loop_run_forever(loops[i]), 0);
		assert_int_equal(threads(), before + 1);
	}
	loop_end(loops[1]);
	assert_int_equal(threads(), before + 1);
	loop_end(loops[0]);
	/* A thread that was joined may be in the list for a moment. */
	while (threads() != before)
		sched_yield();
}

static void test_it_cannot_start(void **state)
{
	struct async_options options = watched_options();

	(void)state;
	options.slow_task = 3600 * ASYNC_S;
	async_loop *loop = loop_with(&options);
	fault_arm("watchdog", 1, -EAGAIN);
	assert_int_equal(async_loop_run_until_complete(loop, create_named(loop, end_at_once, NULL)), 0);
	assert_int_equal(fault_disarm(), 1);
	assert_int_equal(reports.count, 1);
	assert_int_equal(reports.error, -EAGAIN);
	loop_end(loop);
}

static void test_it_is_not_there_without_debug(void **state)
{
	struct async_options options = watched_options();
	size_t before = threads();

	(void)state;
	options.debug = false;
	async_loop *loop = loop_with(&options);
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_int_equal(threads(), before);
	loop_end(loop);
}

static bool debug_with(const char *value)
{
	struct async_options options = test_options();

	options.debug = false;
	if (value)
		setenv("ASYNC_DEBUG", value, 1);
	async_loop *loop = loop_with(&options);
	unsetenv("ASYNC_DEBUG");
	bool debug = loop->options.debug;
	loop_end(loop);
	return debug;
}

static void test_the_environment_switches_it_on(void **state)
{
	(void)state;
	assert_false(debug_with(NULL));
	assert_false(debug_with(""));
	assert_false(debug_with("0"));
	assert_true(debug_with("1"));
	char said[200];
	stderr_capture();
	assert_true(debug_with("yes"));
	stderr_release(said, sizeof(said));
	assert_string_equal(said, "async: ASYNC_DEBUG: 'yes' is unknown, and taken for 1; expected 0 or 1\n");
}

/* In a child that was forked while it watched, loops of its own are watched anew. */
static intptr_t fork_and_run(void *arg)
{
	int status;
	pid_t child = fork();

	(void)arg;
	if (child == 0) {
		struct async_options options = watched_options();
		async_loop *loop = NULL;

		loop_running = NULL;
		bool good = async_loop_new(&options, &loop) == 0;
		async_loop_stop(loop);
		good = good && async_loop_run_forever(loop) == 0 && threads() >= 4;
		/* Leak checkers shall not look at what is the parent's. */
		kill(getpid(), good && async_loop_close(loop) == 0 ? SIGKILL : SIGTERM);
	}
	if (waitpid(child, &status, 0) != child)
		return -ECHILD;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : -ECHILD;
}

static void test_a_forked_child(void **state)
{
	struct async_options options = test_options();

	(void)state;
	if (under_tool("tsan"))
		skip(); /* it ends a process that starts threads after a fork from several */
	assert_int_equal(run_with(fork_and_run, NULL, &options), 0);
}

static void test_reports_have_a_rate(void **state)
{
	struct slow_report slow = {.window = 0};
	async_time now = 5;

	(void)state;
	for (int i = 0; i < WATCHDOG_REPORTS; i++)
		assert_true(watchdog_admit(&slow, now += ASYNC_S));
	assert_false(watchdog_admit(&slow, now += ASYNC_S));
	assert_false(watchdog_admit(&slow, now += ASYNC_S));
	assert_int_equal(slow.untold, 2);
	assert_true(watchdog_admit(&slow, now + 60 * ASYNC_S));
}

static void test_late_ticks_are_lost_time(void **state)
{
	struct stalls stalls = {0};

	(void)state;
	assert_int_equal(stalls_lost(&stalls, 1000), 0);
	stalls_set_period(&stalls, 10, 1000);
	stalls_tick(&stalls, 1012);
	assert_int_equal(stalls_lost(&stalls, 1020), 0);
	/* Stopped from then on: whoever looks before the ticker does sees it, too. */
	assert_int_equal(stalls_lost(&stalls, 1512), 490);
	stalls_tick(&stalls, 1515);
	assert_int_equal(stalls_lost(&stalls, 1515), 493);
	stalls_tick(&stalls, 1525);
	assert_int_equal(stalls_lost(&stalls, 1530), 493);
	/* While nobody ticks nothing is lost. */
	stalls_set_period(&stalls, 0, 1530);
	assert_int_equal(stalls_lost(&stalls, 9999), 493);
	stalls_set_period(&stalls, 10, 9999);
	assert_int_equal(stalls_lost(&stalls, 10000), 493);
}

/* A process whose task is inside a slice while it is stopped for longer than slow_task. */
static void stopped_child(int begun, int release)
{
	struct async_options options = test_options();
	async_loop *loop = NULL;

	options.slow_task = ASYNC_S;
	loop_running = NULL;
	seen.stderr_pipe[1] = begun;
	seen.release_pipe[0] = release;
	if (async_loop_new(&options, &loop) < 0)
		_exit(1);
	async_loop_set_error_handler(loop, record_report, NULL);
	memset(&reports, 0, sizeof(reports));
	/* The slice begins with a byte to the parent. */
	async_loop_call_soon(loop, call_blocking, NULL, NULL);
	async_loop_stop(loop);
	(void)!write(begun, "b", 1);
	async_loop_run_forever(loop);
	async_loop_stop(loop);
	async_loop_run_forever(loop);
	kill(getpid(), reports.count > 0 ? SIGTERM : SIGKILL);
	_exit(1);
}

/* Until the thread of the child sleeps in the read. */
static void await_reading(pid_t child)
{
	char path[64], line[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/wchan", (int)child);
	do {
		int fd = open(path, O_RDONLY);

		sched_yield();
		ssize_t got = read(fd, line, sizeof(line) - 1);
		line[got > 0 ? got : 0] = '\0';
		close(fd);
	} while (!strstr(line, "pipe"));
}

static void test_a_stopped_process_is_not_slow(void **state)
{
	struct timespec longer = {.tv_sec = 1, .tv_nsec = 500000000};
	int begun[2], release[2], errors[2], status;
	char byte, text[256] = "";

	(void)state;
	if (access("/proc/self/wchan", R_OK) != 0 || under_tool("valgrind") || under_tool("tsan"))
		skip();
	assert_int_equal(pipe(begun) | pipe(release) | pipe(errors), 0);
	pid_t child = fork();
	if (child == 0) {
		dup2(errors[1], STDERR_FILENO);
		close(errors[1]);
		stopped_child(begun[1], release[0]);
	}
	close(errors[1]);
	assert_int_equal(read(begun[0], &byte, 1), 1);
	await_reading(child);
	kill(child, SIGSTOP);
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(WIFSTOPPED(status));
	nanosleep(&longer, NULL);
	assert_int_equal(write(release[1], "x", 1), 1);
	kill(child, SIGCONT);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(read(errors[0], text, sizeof(text) - 1) >= 0);
	assert_string_equal(text, "");
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	close(begun[0]);
	close(begun[1]);
	close(release[0]);
	close(release[1]);
	close(errors[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_libdw),
		TEST(test_blocked_in_a_system_call),
		TEST(test_a_call_that_a_stop_would_end),
		TEST(test_blocked_in_a_computation),
		TEST(test_a_task_that_renames_itself),
		TEST(test_a_callback),
		TEST(test_a_callback_that_ran_an_eager_task),
		TEST(test_no_tracer),
		TEST(test_it_comes_and_goes_with_the_loops),
		TEST(test_it_cannot_start),
		TEST(test_it_is_not_there_without_debug),
		TEST(test_the_environment_switches_it_on),
		TEST(test_a_forked_child),
		TEST(test_reports_have_a_rate),
		TEST(test_late_ticks_are_lost_time),
		TEST(test_a_stopped_process_is_not_slow),
	};

	return cmocka_run_group_tests_name("watchdog", tests, NULL, NULL);
}
