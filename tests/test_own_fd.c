/* SPDX-License-Identifier: MIT */
/* The library's own descriptors are never 0, 1 or 2, and always close-on-exec, whatever of it is used. */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <async/process_pool.h>

#include "base/fault.h"
#include "base/own_fd.h"

/* In a child without standard descriptors nothing can be said but where it went wrong. */
#define CHECK(condition) \
	do { \
		if (!(condition)) \
			_exit(__LINE__ % 250 + 1); \
	} while (0)

/* A bit for each of 0, 1, 2 that is open. */
static int standard_open(void)
{
	int open = 0;

	for (int fd = 0; fd < 3; fd++)
		open |= (fcntl(fd, F_GETFD) >= 0) << fd;
	return open;
}

static bool inherited[1024];

static void note_inherited(void)
{
	for (int fd = 0; fd < (int)countof(inherited); fd++)
		inherited[fd] = fcntl(fd, F_GETFD) >= 0;
}

/* What came besides is close-on-exec. */
static bool all_close_on_exec(void)
{
	for (int fd = 3; fd < (int)countof(inherited); fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (!inherited[fd] && flags >= 0 && !(flags & FD_CLOEXEC))
			return false;
	}
	return true;
}

/* Not for a moment, either: another thread may write there. In place of the C library's, with what the kernel gave. */
static atomic_int lowest = INT_MAX;

static int seen(int fd)
{
	int low = atomic_load(&lowest);

	while (fd >= 0 && fd < low && !atomic_compare_exchange_weak(&lowest, &low, fd))
		;
	return fd;
}

int eventfd(unsigned count, int flags)
{
	return seen((int)syscall(SYS_eventfd2, count, flags));
}

int epoll_create1(int flags)
{
	return seen((int)syscall(SYS_epoll_create1, flags));
}

int pipe2(int fds[2], int flags)
{
	int result = (int)syscall(SYS_pipe2, fds, flags);

	if (result == 0)
		seen(fds[0]), seen(fds[1]);
	return result;
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
	int result = (int)syscall(SYS_socketpair, domain, type, protocol, fds);

	if (result == 0)
		seen(fds[0]), seen(fds[1]);
	return result;
}

#define LOOK() CHECK(standard_open() == 0 && all_close_on_exec() && atomic_load(&lowest) > 2)

static intptr_t look_in_worker(void *arg)
{
	(void)arg;
	return standard_open();
}

static intptr_t send_back(async_stream *stream, void *arg)
{
	char byte;

	(void)arg;
	return async_stream_read(stream, &byte, 1) == 1 ? async_stream_write(stream, &byte, 1) : -EPIPE;
}

static void exchange(async_stream *stream)
{
	char byte = 'x';

	LOOK();
	CHECK(async_stream_write(stream, &byte, 1) == 0);
	CHECK(async_stream_read(stream, &byte, 1) == 1);
	LOOK();
	CHECK(async_stream_close(stream) == 0);
}

static void serve(void)
{
	char path[64], port[8];
	async_server *server;
	async_stream *stream;
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);

	CHECK(async_start_server("127.0.0.1", "0", send_back, NULL, NULL, &server) == 0);
	CHECK(async_server_address(server, 0, (struct sockaddr *)&address, &size) == 0);
	snprintf(port, sizeof(port), "%d", ntohs(((struct sockaddr_in *)&address)->sin_port));
	CHECK(async_open_connection("127.0.0.1", port, NULL, &stream) == 0);
	exchange(stream);
	CHECK(async_server_close(server) == 0);
	snprintf(path, sizeof(path), "/tmp/async-own-fd-%d", (int)getpid());
	CHECK(async_start_unix_server(path, send_back, NULL, NULL, &server) == 0);
	CHECK(async_open_unix_connection(path, NULL, &stream) == 0);
	exchange(stream);
	CHECK(async_server_close(server) == 0);
}

static void start_children(void)
{
	static const enum async_stdio_kind kinds[] = {ASYNC_STDIO_INHERIT, ASYNC_STDIO_PIPE, ASYNC_STDIO_NULL};
	char *argv[] = {(char *)"true", NULL};

	for (size_t i = 0; i < 2 * countof(kinds); i++) {
		struct async_process_options options = ASYNC_PROCESS_OPTIONS_INIT;
		async_process *process;

		for (int which = 0; which < 3; which++)
			options.stdio[which].kind = kinds[i % countof(kinds)];
		if (i >= countof(kinds))
			fault_arm("pidfd_open child", 1, -ENOSYS);
		CHECK(async_process_spawn("true", argv, &options, &process) == 0);
		fault_disarm();
		LOOK();
		CHECK(async_process_wait(process) == 0);
		LOOK();
		CHECK(async_process_close(process) == 0);
	}
}

static void use_files(void)
{
	char path[64], byte;

	snprintf(path, sizeof(path), "/tmp/async-own-fd-%d", (int)getpid());
	int to = async_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	/* Asked for by the program, so it is the least. */
	CHECK(to == 0);
	int from = async_open("/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
	CHECK(from == 1 && async_sendfile(to, from, NULL, 100) == 100);
	CHECK(async_pread(from, &byte, 1, 0) == 1);
	CHECK(async_close(from) == 0 && async_close(to) == 0 && unlink(path) == 0);
	int fd = async_socket(AF_INET, SOCK_STREAM, 0);
	CHECK(fd == 0 && async_close(fd) == 0);
	LOOK();
}

static void hold_the_loop(void)
{
	struct timespec time = {.tv_nsec = 100 * 1000 * 1000};

	nanosleep(&time, NULL);
}

static intptr_t use_everything(void *arg)
{
	struct addrinfo *list;

	(void)arg;
	LOOK();
	CHECK(async_sleep(ASYNC_MS) == 0);
	LOOK();
	CHECK(async_loop_fd(async_get_running_loop()) > 2);
	LOOK();
	CHECK(async_to_thread(look_in_worker, NULL) == 0);
	CHECK(async_resolve("localhost", NULL, NULL, &list) == 0);
	freeaddrinfo(list);
	LOOK();
	use_files();
	serve();
	start_children();
	async_dump_tasks(1000);
	hold_the_loop();
	CHECK(async_sleep(ASYNC_MS) == 0);
	LOOK();
	return 0;
}

static intptr_t print_job(const void *bytes, size_t size, async_reply *reply)
{
	int open = standard_open();

	(void)bytes, (void)size;
	printf("a job prints\n");
	return async_reply_write(reply, &open, sizeof(open));
}

/* Of its standard descriptors a worker has the null device as input. */
static intptr_t use_pool(void *arg)
{
	async_executor *pool;
	struct async_process_pool_options options = ASYNC_PROCESS_POOL_OPTIONS_INIT;

	(void)arg;
	options.max_workers = 2;
	/* ThreadSanitizer's, of which there are two after a fork. */
	options.allow_threads = true;
	CHECK(async_process_pool_new(&options, &pool) == 0);
	for (int i = 0; i < 3; i++) {
		intptr_t word = async_await(async_run_in_process(pool, print_job, "", 1));

		CHECK(word > 0);
		const async_process_result *result = (const async_process_result *)word;
		int open;
		CHECK(async_process_result_size(result) == sizeof(open));
		memcpy(&open, async_process_result_data(result), sizeof(open));
		CHECK(open == 1);
		async_process_result_free((async_process_result *)word);
		LOOK();
	}
	CHECK(async_executor_close(pool, true) == 0);
	async_executor_free(pool);
	LOOK();
	return 0;
}

/* Runs it in a child in which all of the standard descriptors, or one of them, are closed. */
static void run_without(async_fn *fn, int only)
{
	int status;

	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct async_options options = test_options();

		for (int fd = 0; fd < 3; fd++)
			if (only < 0 || fd == only)
				close(fd);
		note_inherited();
		options.clock = ASYNC_CLOCK_REAL;
		options.slow_task = 20 * ASYNC_MS;
		CHECK(async_run_with(fn, NULL, &options) == 0);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status))
		fail_msg("line %d, or 250 further on", WEXITSTATUS(status) - 1);
	assert_int_equal(status, 0);
}

static void none_of_the_librarys_is_low(void **state)
{
	(void)state;
	run_without(use_everything, -1);
}

static void none_of_a_pools_is_low(void **state)
{
	(void)state;
	run_without(use_pool, -1);
}

static int open_null(void)
{
	return own_open("/dev/null", O_RDONLY, 0);
}

static int open_one_event(void)
{
	return own_eventfd(0, 0);
}

static int open_one_pipe(void)
{
	int ends[2], error = own_pipe(ends);

	if (error)
		return error;
	close(ends[0]);
	return ends[1];
}

/* Where the number cannot be changed, there is an error and nothing is left open. */
static void no_number_is_an_error(void **state)
{
	static int (*const opens[])(void) = {open_null, open_one_event, open_one_pipe};
	size_t before = open_descriptors();
	int saved = fcntl(0, F_DUPFD_CLOEXEC, 100);

	(void)state;
	close(0);
	for (size_t i = 0; i < countof(opens); i++) {
		int fd = opens[i]();
		assert_true(fd > 2);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		close(fd);
	}
	fault_arm("fcntl", 1, -EMFILE);
	assert_int_equal(own_lift(open("/dev/null", O_RDONLY | O_CLOEXEC)), -EMFILE);
	assert_int_equal(fault_disarm(), 1);
	assert_int_equal(fcntl(0, F_GETFD), -1);
	struct rlimit limit, none = {3, 3};
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none.rlim_max = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &none);
	int error = open_null();
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(error, -EMFILE);
	dup2(saved, 0);
	close(saved);
	assert_int_equal(open_descriptors(), before);
}

/* What fills the gaps for other libraries can be neither read nor written, and what the program puts there meanwhile
 * stays. */
static void gaps_are_filled(void **state)
{
	int saved[3];
	bool blocked[3];
	char byte = 0;

	(void)state;
	for (int fd = 0; fd < 3; fd++) {
		saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
		close(fd);
	}
	own_standard_block(blocked);
	int filled = standard_open();
	bool deaf = read(0, &byte, 1) < 0 && write(1, &byte, 1) < 0 && write(2, &byte, 1) < 0;
	int least = open("/dev/null", O_RDONLY | O_CLOEXEC);
	dup2(least, 1);
	own_standard_unblock(blocked);
	int left = standard_open();
	for (int fd = 0; fd < 3; fd++) {
		dup2(saved[fd], fd);
		close(saved[fd]);
	}
	close(least);
	assert_int_equal(filled, 7);
	assert_true(deaf);
	assert_true(least > 2);
	assert_int_equal(left, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(none_of_the_librarys_is_low),
		TEST(none_of_a_pools_is_low),
		TEST(no_number_is_an_error),
		TEST(gaps_are_filled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
