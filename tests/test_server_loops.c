/* SPDX-License-Identifier: MIT */
/* Servers with several loops: threads that share a port, and end with the server. */
#include "harness.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "server_peers.h"

#define CLIENTS 48

/* How many threads of servers there are; tools have threads of their own. */
static size_t threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	size_t count = 0;

	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		char path[320], name[16] = "";
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		FILE *file = fopen(path, "re");

		if (file && fgets(name, sizeof(name), file))
			count += strncmp(name, "server-", 7) == 0;
		if (file)
			fclose(file);
	}
	closedir(dir);
	return count;
}

/* On the real clock: the threads have a part in it. No descriptor and no thread is left. */
static void run(async_fn *fn, void *arg)
{
	struct async_options options = test_options();
	size_t descriptors = open_descriptors();

	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(run_with(fn, arg, &options), 0);
	assert_int_equal(reports.count, 0);
	assert_int_equal(open_descriptors(), descriptors);
	assert_int_equal(threads(), 0);
}

static struct async_local creator = ASYNC_LOCAL_INIT(NULL);

static atomic_size_t now, most, served, cancelled;
static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t seen[8];
static size_t seen_count;

static void see_thread(void)
{
	size_t i = 0;

	pthread_mutex_lock(&seen_lock);
	while (i < seen_count && !pthread_equal(seen[i], pthread_self()))
		i++;
	if (i == seen_count)
		seen[seen_count++] = pthread_self();
	pthread_mutex_unlock(&seen_lock);
}

/* Answers each byte, until the end. */
static intptr_t answer(async_stream *stream, void *arg)
{
	size_t count = atomic_fetch_add(&now, 1) + 1, old = atomic_load(&most);
	char byte;
	ssize_t got;

	see_thread();
	while (count > old && !atomic_compare_exchange_weak(&most, &old, count))
		;
	atomic_fetch_add(&served, 1);
	/* What the task that started the server knew, its connections know. */
	int error = async_local_get(&creator) == arg ? 0 : -EINVAL;
	while (!error && (got = async_stream_read(stream, &byte, 1)) > 0)
		error = async_stream_write(stream, &byte, 1);
	if (!error && got < 0)
		error = (int)got;
	atomic_fetch_sub(&now, 1);
	atomic_fetch_add(&cancelled, error == -ECANCELED);
	return error;
}

static void reset(void)
{
	now = most = served = cancelled = 0;
	seen_count = 0;
}

static void start(struct async_server_options *options, async_server **server, char port[16])
{
	static int value;

	reset();
	assert_int_equal(async_local_set(&creator, &value, NULL), 0);
	assert_int_equal(async_start_server("127.0.0.1", "0", answer, &value, options, server), 0);
	port_of(*server, 0, port);
}

static void talk(int fd)
{
	char byte = 'x';

	assert_int_equal(async_send(fd, &byte, 1, 0), 1);
	assert_int_equal(async_recv(fd, &byte, 1, 0), 1);
}

static intptr_t serve_in_threads(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	async_server *server;
	int clients[CLIENTS];
	char port[16];

	options.loops = 3;
	start(&options, &server, port);
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = async_create_connection("127.0.0.1", port, NULL);
		assert_true(clients[i] >= 0);
		talk(clients[i]);
	}
	assert_int_equal(served, CLIENTS);
	assert_int_equal(most, CLIENTS);
	assert_int_equal(threads(), 2);
	/* The kernel spreads them: that all went to one is next to impossible. */
	assert_in_range(seen_count, 2, 3);
	for (size_t i = 0; i < CLIENTS; i++) {
		talk(clients[i]);
		if (!arg)
			assert_int_equal(async_close(clients[i]), 0);
	}
	if (!arg)
		return async_server_close(server);
	/* They are all under way. */
	assert_int_equal(async_server_abort(server), 0);
	assert_int_equal(cancelled, CLIENTS);
	for (size_t i = 0; i < CLIENTS; i++)
		assert_int_equal(async_close(clients[i]), 0);
	return 0;
}

static void loops_share_a_port(void **state)
{
	(void)state;
	run(serve_in_threads, NULL);
}

static void aborting_reaches_all_loops(void **state)
{
	(void)state;
	run(serve_in_threads, &(bool){true});
}

static intptr_t limit_in_threads(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	async_server *server;
	int clients[CLIENTS];
	char port[16];

	(void)arg;
	options.loops = 3;
	options.max_connections = 5;
	start(&options, &server, port);
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = async_create_connection("127.0.0.1", port, NULL);
		assert_true(clients[i] >= 0);
	}
	for (size_t i = 0; i < CLIENTS; i++)
		assert_int_equal(async_close(clients[i]), 0);
	while (served < CLIENTS || now > 0)
		assert_int_equal(async_sleep(ASYNC_MS / 10), 0);
	assert_in_range(most, 1, 5);
	return async_server_close(server);
}

static void limits_count_over_all_loops(void **state)
{
	(void)state;
	run(limit_in_threads, NULL);
}

static intptr_t share_a_path(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	async_server *server;
	int clients[CLIENTS];

	(void)arg;
	reset();
	options.loops = 3;
	assert_int_equal(async_local_set(&creator, NULL, NULL), 0);
	assert_int_equal(async_start_unix_server(unix_name(false), answer, NULL, &options, &server), 0);
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = connect_unix(unix_path);
		talk(clients[i]);
	}
	for (size_t i = 0; i < CLIENTS; i++)
		assert_int_equal(async_close(clients[i]), 0);
	assert_int_equal(async_server_close(server), 0);
	assert_int_equal(served, CLIENTS);
	assert_int_equal(access(unix_path, F_OK), -1);
	return 0;
}

/* How often the threads of servers have gone to sleep: a wake-up in vain may end inside of epoll_wait. */
static long sleeps(void)
{
	DIR *dir = opendir("/proc/self/task");
	long sum = 0;

	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		char path[320], line[128];
		bool ours = false;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		FILE *file = fopen(path, "re");

		while (file && fgets(line, sizeof(line), file)) {
			ours |= strncmp(line, "Name:\tserver-", 13) == 0;
			if (ours && strncmp(line, "voluntary", 9) == 0)
				sum += atol(strchr(line, ':') + 1);
		}
		if (file)
			fclose(file);
	}
	closedir(dir);
	return sum;
}

static intptr_t wake_one(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	async_server *server;

	(void)arg;
	reset();
	options.loops = 6;
	assert_int_equal(async_local_set(&creator, NULL, NULL), 0);
	assert_int_equal(async_start_unix_server(unix_name(true), answer, NULL, &options, &server), 0);
	assert_int_equal(async_sleep(20 * ASYNC_MS), 0);
	long before = sleeps();
	fault_count("accept4");
	for (int i = 0; i < CLIENTS; i++) {
		int client = connect_unix(unix_path);

		talk(client);
		assert_int_equal(async_close(client), 0);
		while (now > 0)
			assert_int_equal(async_sleep(ASYNC_MS / 10), 0);
	}
	unsigned long calls = fault_disarm();
	long slept = sleeps() - before;
	/* Whoever is woken accepts until there is none: two calls. It sleeps again after that, and for the talk. */
	assert_in_range(calls, CLIENTS, 3 * CLIENTS);
	/* Under these a thread also sleeps for the tool. */
	if (!under_tool("valgrind") && !under_tool("tsan"))
		assert_in_range(slept, 0, 5 * CLIENTS); /* seven and more if all are woken, two to four if one is */
	assert_int_equal(served, CLIENTS);
	/* And they take turns. */
	assert_true(seen_count > 1);
	return async_server_close(server);
}

static void a_connection_wakes_one_loop(void **state)
{
	(void)state;
	run(wake_one, NULL);
}

static void loops_share_a_path(void **state)
{
	(void)state;
	run(share_a_path, NULL);
}

/* Would stop its loop in each iteration, whatever the loop is at. */
static intptr_t keep_stopping(void *arg)
{
	int error;

	(void)arg;
	do
		async_loop_stop(async_get_running_loop());
	while ((error = async_sleep(0)) == 0);
	atomic_fetch_add(&cancelled, error == -ECANCELED);
	return error;
}

static atomic_size_t left;

/* In a further loop: leaves a task there. */
static intptr_t leave_task(async_stream *stream, void *arg)
{
	char byte;

	if (!pthread_equal(pthread_self(), *(pthread_t *)arg)) {
		async_release(async_create_task(keep_stopping, NULL));
		atomic_fetch_add(&left, 1);
	}
	ssize_t got = async_stream_read(stream, &byte, 1);
	return got < 0 ? got : async_stream_write(stream, &byte, 1);
}

static intptr_t leave_tasks(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	pthread_t self = pthread_self();
	async_server *server;
	char port[16];

	(void)arg;
	reset();
	left = 0;
	options.loops = 2;
	assert_int_equal(async_start_server("127.0.0.1", "0", leave_task, &self, &options, &server), 0);
	port_of(server, 0, port);
	while (left < 3) {
		int fd = async_create_connection("127.0.0.1", port, NULL);
		assert_true(fd >= 0);
		talk(fd);
		await_end_of(fd);
	}
	assert_int_equal(async_server_close(server), 0);
	assert_int_equal(cancelled, left);
	return 0;
}

static void what_is_left_in_a_loop_is_cancelled(void **state)
{
	(void)state;
	run(leave_tasks, NULL);
}

static intptr_t start_and_abort(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	async_server *server;
	char port[16];

	(void)arg;
	options.loops = 2;
	start(&options, &server, port);
	return async_server_abort(server);
}

static void starting_and_ending_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++)
		run(start_and_abort, NULL);
}

static intptr_t leave_server(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	async_server *server;
	char port[16];

	options.loops = 3;
	start(&options, &server, port);
	*(int *)arg = async_create_connection("127.0.0.1", port, NULL);
	talk(*(int *)arg);
	return 0;
}

static void a_loop_that_closes_ends_the_others(void **state)
{
	struct async_options options = test_options();
	struct async_runner runner = ASYNC_RUNNER_INIT;
	size_t descriptors = open_descriptors();
	int client;

	(void)state;
	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(async_runner_open(&runner, &options), 0);
	assert_int_equal(async_runner_run(&runner, leave_server, &client), 0);
	assert_int_equal(async_runner_close(&runner), 0);
	close(client);
	assert_int_equal(cancelled, 1);
	assert_int_equal(open_descriptors(), descriptors);
	assert_int_equal(threads(), 0);
}

static intptr_t leave_path(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	async_server *server;

	(void)arg;
	options.loops = 2;
	return async_start_unix_server(unix_name(false), answer, NULL, &options, &server);
}

/* A child process that closes the loop takes nothing from its parent. */
static void a_child_leaves_the_server_alone(void **state)
{
	struct async_options options = test_options();
	struct async_runner runner = ASYNC_RUNNER_INIT;
	size_t descriptors = open_descriptors();
	int status = -1, done[2];
	char byte;

	(void)state;
	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(async_runner_open(&runner, &options), 0);
	assert_int_equal(async_runner_run(&runner, leave_path, NULL), 0);
	assert_int_equal(pipe(done), 0);
	pid_t child = fork();
	if (child == 0) {
		if (async_runner_close(&runner) == 0 && write(done[1], "x", 1) == 1)
			/* Leak checkers would look at what another thread was about to note when this one forked. */
			raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(read(done[0], &byte, 1), 1);
	close(done[0]);
	close(done[1]);
	assert_int_equal(access(unix_path, F_OK), 0);
	assert_int_equal(async_runner_close(&runner), 0);
	assert_int_equal(access(unix_path, F_OK), -1);
	assert_int_equal(open_descriptors(), descriptors);
	assert_int_equal(threads(), 0);
}

static intptr_t fail_to_start(void *nth)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	async_server *server = NULL;

	options.loops = 3;
	fault_arm("pthread_create", *(unsigned long *)nth, -EAGAIN);
	int error = async_start_server("127.0.0.1", "0", answer, NULL, &options, &server);
	fault_disarm();
	assert_int_equal(error, -EAGAIN);
	assert_null(server);
	return 0;
}

static void threads_that_cannot_be_started(void **state)
{
	(void)state;
	for (unsigned long nth = 1; nth <= 2; nth++)
		run(fail_to_start, &nth);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(loops_share_a_port),
		TEST(aborting_reaches_all_loops),
		TEST(limits_count_over_all_loops),
		TEST(loops_share_a_path),
		TEST(a_connection_wakes_one_loop),
		TEST(what_is_left_in_a_loop_is_cancelled),
		TEST(starting_and_ending_at_once),
		TEST(a_loop_that_closes_ends_the_others),
		TEST(a_child_leaves_the_server_alone),
		TEST(threads_that_cannot_be_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
