/* SPDX-License-Identifier: MIT */
/* What async_dump_tasks and SIGQUIT say, from anywhere. */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "core/loop.h"

static char text[65536];

/* Dumps into `text`. */
static intptr_t dump(void)
{
	int fd = memfd_create("dump", MFD_CLOEXEC);
	intptr_t count = async_dump_tasks(fd);
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

	close(fd);
	text[length > 0 ? length : 0] = '\0';
	return count;
}

static void assert_says(const char *what)
{
	if (!strstr(text, what))
		fail_msg("no \"%s\" in:\n%s", what, text);
}

static async_task *start(async_fn *fn, void *arg, const char *name)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.name = name;
	return async_create_task_with(fn, arg, &options);
}

static intptr_t sleep_long(void *arg)
{
	(void)arg;
	return async_sleep(90 * ASYNC_S);
}

static intptr_t take_lock(void *arg)
{
	return async_lock_acquire(arg);
}

static intptr_t read_byte(void *arg)
{
	char byte;

	return async_read(*(int *)arg, &byte, 1);
}

static intptr_t await_it(void *arg)
{
	return async_await(async_ref(arg));
}

static intptr_t dump_all_states(void *arg)
{
	struct async_lock lock = ASYNC_LOCK_INIT;
	async_future *future = async_future_new(NULL, NULL);
	async_task *tasks[7];
	char number[64];
	int fds[2];

	(void)arg;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(async_lock_acquire(&lock), 0);
	tasks[0] = start(sleep_long, NULL, "sleeper");
	tasks[1] = start(take_lock, &lock, "locker");
	tasks[2] = start(read_byte, fds, "reader");
	tasks[3] = start(await_it, tasks[0], "awaiter");
	tasks[4] = start(await_it, future, NULL);
	tasks[5] = start(sleep_long, NULL, "\033[31mred");
	assert_int_equal(async_sleep(30 * ASYNC_S), 0);
	tasks[6] = start(sleep_long, NULL, "late");

	assert_int_equal(dump(), 8);
	snprintf(number, sizeof(number), "async: loop that thread %d runs: 8 tasks, 2 timers, 0 jobs\n", (int)gettid());
	assert_says(number);
	assert_says("Task-1: runs, ");
	assert_says("(sleeper): waits for sleep, 60.000 s left, since ");
	assert_says("Task-3 (locker): waits for a lock");
	assert_says("(reader): waits for a read");
	assert_says("a lock that Task-1 holds, ");
	snprintf(number, sizeof(number), "a read on descriptor %d, ", fds[0]);
	assert_says(number);
	assert_says("(awaiter): waits for Task-2 (sleeper), ");
	assert_says("Task-6: waits for a future, ");
	assert_says("Task-7 (?[31mred): ");
	assert_says("Task-8 (late): has not begun, created at ");
	assert_says("test_dump+0x");
	for (size_t i = 0; i < countof(tasks); i++)
		async_cancel(tasks[i], NULL);
	give_way(3);
	assert_int_equal(dump(), 1);
	for (size_t i = 0; i < countof(tasks); i++)
		async_release(tasks[i]);
	async_release(future);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

static void test_every_state(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(dump_all_states, NULL), 0);
}

static intptr_t give_way_twice(void *arg)
{
	(void)arg;
	give_way(2);
	return 0;
}

static intptr_t dump_ready(void *arg)
{
	async_task *task = async_create_task(give_way_twice, NULL);

	(void)arg;
	give_way(1);
	assert_int_equal(dump(), 2);
	assert_says("Task-2: is ready, created at ");
	return async_await(task);
}

static void test_a_task_that_is_ready(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(dump_ready, NULL), 0);
}

static void test_without_loops(void **state)
{
	(void)state;
	assert_int_equal(dump(), 0);
	assert_string_equal(text, "async: there is no loop\n");
}

static void test_a_loop_that_does_not_run(void **state)
{
	async_loop *loop = loop_virtual();
	async_task *task = async_loop_create_task(loop, sleep_long, NULL, NULL);

	(void)state;
	assert_int_equal(dump(), 1);
	assert_says("async: loop that does not run");
	assert_says("Task-1: has not begun");
	async_cancel(task, NULL);
	async_release(task);
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	loop_end(loop);
}

static void test_many_tasks(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	for (int i = 0; i < 1000; i++)
		async_release(async_loop_create_task(loop, sleep_long, NULL, NULL));
	assert_int_equal(dump(), 1000);
	assert_int_equal(async_loop_close(loop), 0);
	async_loop_free(loop);
}

/* What cannot be written is told, what cannot be read is left out. */
static intptr_t dump_with_faults(void *arg)
{
	static const int errors[] = {-EPERM, -EFAULT};
	async_task *task = start(sleep_long, NULL, "sleeper");

	(void)arg;
	give_way(1);
	assert_int_equal(async_dump_tasks(-1), -EBADF);
	fault_arm("write", 1, -EIO);
	assert_int_equal(dump(), -EIO);
	fault_arm("write", 1, -EINTR);
	assert_int_equal(dump(), 2);
	for (size_t i = 0; i < countof(errors); i++) {
		fault_count("process_vm_readv");
		assert_int_equal(dump(), 2);
		unsigned long calls = fault_disarm();
		assert_says("(sleeper): waits for sleep");
		for (unsigned long nth = 1; nth <= calls; nth++) {
			fault_arm("process_vm_readv", nth, errors[i]);
			intptr_t count = dump();
			fault_disarm();
			/* Where it is refused there is another way. */
			assert_true(errors[i] == -EPERM ? count == 2 : count >= 0 && count <= 2);
		}
	}
	fault_arm("open", 1, -EMFILE);
	assert_int_equal(dump(), 2);
	fault_disarm();
	assert_says("created at 0x");
	async_cancel(task, NULL);
	async_release(task);
	return 0;
}

static void test_faults(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(dump_with_faults, NULL), 0);
}

/* A handler that interrupts the library wherever it is, and another thread that looks all the while. */
static int null_fd;
static atomic_uint handled;
static atomic_bool enough;

static void dump_in_handler(int number)
{
	(void)number;
	if (async_dump_tasks(null_fd) >= 0)
		atomic_fetch_add(&handled, 1);
}

static void *disturb(void *loops_thread)
{
	while (!atomic_load(&enough)) {
		unsigned before = atomic_load(&handled);

		pthread_kill(*(pthread_t *)loops_thread, SIGUSR1);
		if (async_dump_tasks(null_fd) < 0)
			abort();
		while (atomic_load(&handled) == before && !atomic_load(&enough))
			sched_yield();
	}
	return NULL;
}

static intptr_t rename_and_sleep(void *arg)
{
	for (int i = 0; i < (intptr_t)arg; i++) {
		if (async_task_set_name(async_current_task(), i % 2 ? "odd" : "even") < 0)
			return -ENOMEM;
		if (async_sleep(i % 3 * ASYNC_US) < 0)
			return -ECANCELED;
	}
	return 0;
}

static intptr_t be_disturbed(void *arg)
{
	size_t least = test_many(200);

	(void)arg;
	while (atomic_load(&handled) < least) {
		async_task *tasks[16];

		for (intptr_t i = 0; i < 16; i++)
			tasks[i] = start(rename_and_sleep, (void *)i, "young");
		for (int i = 0; i < 16; i++)
			if (async_await(tasks[i]) != 0)
				return -1;
	}
	return 0;
}

static intptr_t busy(void *arg)
{
	pthread_t self = pthread_self(), thread;

	assert_int_equal(pthread_create(&thread, NULL, disturb, &self), 0);
	intptr_t result = be_disturbed(arg);
	atomic_store(&enough, true);
	pthread_join(thread, NULL);
	return result;
}

static void test_from_anywhere(void **state)
{
	struct sigaction action = {.sa_handler = dump_in_handler, .sa_flags = SA_RESTART | SA_ONSTACK}, old;
	struct async_options options = test_options();

	(void)state;
	options.clock = ASYNC_CLOCK_REAL;
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	atomic_store(&handled, 0);
	atomic_store(&enough, false);
	sigaction(SIGUSR1, &action, &old);
	intptr_t result = run_with(busy, NULL, &options);
	sigaction(SIGUSR1, &old, NULL);
	close(null_fd);
	assert_int_equal(result, 0);
}

/* A process whose only task blocks its loop for ever. Not in read(2): there ThreadSanitizer holds signals back. */
static intptr_t block_for_ever(void *arg)
{
	struct epoll_event event = {.events = EPOLLIN};
	int *fds = arg, epoll_fd = epoll_create1(0);
	char byte;

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[0], &event) < 0 || write(fds[1], "b", 1) != 1)
		return -EIO;
	while (epoll_wait(epoll_fd, &event, 1, -1) != 1)
		;
	return read(fds[0], &byte, 1);
}

static _Noreturn void blocked_child(int *fds, int errors, void (*action)(int))
{
	struct async_options options = test_options();
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	dup2(errors, STDERR_FILENO);
	signal(SIGQUIT, action);
	options.dump_on_sigquit = true;
	options.slow_task = 3600 * ASYNC_S;
	options.debug = false;
	loop_running = NULL;
	intptr_t result = async_run_with(block_for_ever, fds, &options);
	/* Leak checkers shall not look at what is the parent's. */
	kill(getpid(), result == 1 ? SIGKILL : SIGTERM);
	_exit(1);
}

/* Gives the status of a child that got a SIGQUIT while it blocked, and what it said in `text`. */
static int quit_child(void (*action)(int))
{
	int to_child[2], to_parent[2], errors[2], status;
	size_t length = 0;
	ssize_t got;
	char byte;

	assert_int_equal(pipe(to_child) | pipe(to_parent) | pipe(errors), 0);
	pid_t child = fork();
	if (child == 0) {
		int fds[2] = {to_child[0], to_parent[1]};

		close(errors[0]);
		close(to_child[1]);
		blocked_child(fds, errors[1], action);
	}
	close(errors[1]);
	assert_int_equal(read(to_parent[0], &byte, 1), 1);
	struct pollfd said = {.fd = errors[0], .events = POLLIN};
	/* Again if nothing comes: ThreadSanitizer holds back what arrives before the child waits. */
	do
		kill(child, SIGQUIT);
	while (action == SIG_DFL && poll(&said, 1, 1000) == 0);
	/* One that ignores it goes on. */
	if (action != SIG_DFL)
		assert_int_equal(write(to_child[1], "x", 1), 1);
	while ((got = read(errors[0], text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t)got;
	text[length] = '\0';
	assert_int_equal(waitpid(child, &status, 0), child);
	close(to_child[0]);
	close(to_child[1]);
	close(to_parent[0]);
	close(to_parent[1]);
	close(errors[0]);
	return status;
}

static void test_sigquit_of_a_blocked_process(void **state)
{
	(void)state;
	int status = quit_child(SIG_DFL);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGQUIT);
	assert_says("runs: 1 task, ");
	assert_says("Task-1: runs, created at ");
}

static void test_sigquit_that_is_ignored(void **state)
{
	(void)state;
	int status = quit_child(SIG_IGN);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_string_equal(text, "");
}

static bool quit_is_default(void)
{
	struct sigaction action;

	sigaction(SIGQUIT, NULL, &action);
	return action.sa_handler == SIG_DFL;
}

static intptr_t look_at_quit(void *arg)
{
	*(bool *)arg = quit_is_default();
	return 0;
}

static void test_sigquit_is_given_back(void **state)
{
	struct async_options options = test_options();
	bool is_default = false;

	(void)state;
	assert_int_equal(async_run_with(look_at_quit, &is_default, &options), 0);
	assert_true(is_default);
	options.dump_on_sigquit = true;
	assert_int_equal(async_run_with(look_at_quit, &is_default, &options), 0);
	assert_false(is_default);
	assert_true(quit_is_default());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_without_loops),
		TEST(test_every_state),
		TEST(test_a_task_that_is_ready),
		TEST(test_a_loop_that_does_not_run),
		TEST(test_many_tasks),
		TEST(test_faults),
		TEST(test_from_anywhere),
		TEST(test_sigquit_of_a_blocked_process),
		TEST(test_sigquit_that_is_ignored),
		TEST(test_sigquit_is_given_back),
	};

	return cmocka_run_group_tests_name("dump", tests, NULL, NULL);
}
