/* SPDX-License-Identifier: MIT */
/*
 * A TCP connection that was read dry is not asked again before something has happened to it, and whatever happens is
 * noticed. On the real clock, because the virtual one looks at every descriptor again; that the library does so after a
 * while on the real one, too, must not be what a test passes by: so the calls that it takes are counted.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"

#define ROUNDS 100

/* A connection: the first end is read by tasks. */
static void connect_ends(int ends[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ends[1], (struct sockaddr *)&address, size), 0);
	ends[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ends[0] >= 0);
	close(listener);
}

static void close_ends(const int ends[2])
{
	assert_int_equal(async_close(ends[0]), 0);
	close(ends[1]);
}

static void put(int fd, const char *text, int flags)
{
	assert_int_equal(send(fd, text, strlen(text), flags), strlen(text));
}

static intptr_t receive_once(void *arg)
{
	char buffer[16];

	return async_recv(*(int *)arg, buffer, sizeof(buffer), 0);
}

/* Has a task wait for bytes, sends them, and lets it have them. */
static void pass(int ends[2], const char *text)
{
	async_task *reader = async_create_task(receive_once, &ends[0]);

	assert_int_equal(async_sleep(0), 0);
	assert_false(async_done(reader));
	put(ends[1], text, 0);
	assert_int_equal(async_await(reader), strlen(text));
}

static void expect(int fd, const char *text)
{
	char buffer[16] = "";

	assert_int_equal(async_recv(fd, buffer, sizeof(buffer), 0), strlen(text));
	assert_string_equal(buffer, text);
}

/* Whether it took waiting for the moment at which all descriptors are looked at again. */
static void expect_no_new_look(void)
{
	assert_int_equal(fault_disarm(), 0);
}

static void run(async_fn *fn)
{
	struct async_options options = test_options();
	size_t before = open_descriptors();

	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(run_with(fn, NULL, &options), 0);
	assert_int_equal(open_descriptors(), before);
}

static intptr_t answer(void *arg)
{
	int ends[2];

	(void)arg;
	connect_ends(ends);
	pass(ends, "first");
	fault_count("recv");
	for (int i = 0; i < ROUNDS; i++)
		pass(ends, "more");
	assert_true(fault_disarm() <= ROUNDS);
	close_ends(ends);
	return 0;
}

static void one_receive_for_each_message(void **state)
{
	(void)state;
	run(answer);
}

static intptr_t see_the_end(void *arg)
{
	int ends[2];

	(void)arg;
	for (int late = 0; late < 2; late++) {
		connect_ends(ends);
		pass(ends, "first");
		fault_count("epoll_ctl");
		put(ends[1], "last", 0);
		if (late)
			expect(ends[0], "last");
		assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
		if (!late)
			expect(ends[0], "last");
		expect(ends[0], "");
		expect(ends[0], "");
		expect_no_new_look();
		close_ends(ends);
	}
	return 0;
}

static void the_end_is_noticed(void **state)
{
	(void)state;
	run(see_the_end);
}

/* A read ends before the urgent byte, though there is more behind it. */
static intptr_t pass_urgent(void *arg)
{
	int ends[2];

	(void)arg;
	connect_ends(ends);
	pass(ends, "first");
	fault_count("epoll_ctl");
	put(ends[1], "ab", 0);
	put(ends[1], "!", MSG_OOB);
	put(ends[1], "cd", 0);
	expect(ends[0], "ab");
	expect(ends[0], "cd");
	expect_no_new_look();
	close_ends(ends);
	return 0;
}

static void urgent_data_hides_nothing(void **state)
{
	(void)state;
	run(pass_urgent);
}

/* What is read in other ways leaves nothing behind unnoticed, and peeking takes nothing. */
static intptr_t read_otherwise(void *arg)
{
	char buffer[4] = "";
	int ends[2];

	(void)arg;
	connect_ends(ends);
	pass(ends, "first");
	put(ends[1], "abcdef", 0);
	assert_int_equal(async_recv(ends[0], buffer, 1, MSG_PEEK), 1);
	fault_count("epoll_ctl");
	assert_int_equal(async_recv(ends[0], buffer, 2, 0), 2);
	assert_int_equal(async_read(ends[0], buffer, 3), 3);
	assert_string_equal(buffer, "cde");
	expect(ends[0], "f");
	put(ends[1], "gh", 0);
	assert_int_equal(async_recv(ends[0], buffer, 2, MSG_DONTWAIT), 2);
	assert_int_equal(async_recv(ends[0], buffer, 2, MSG_DONTWAIT), -EAGAIN);
	put(ends[1], "ij", 0);
	expect(ends[0], "ij");
	expect_no_new_look();
	close_ends(ends);
	return 0;
}

static void other_reads_leave_nothing(void **state)
{
	(void)state;
	run(read_otherwise);
}

/* The number of a connection that was read dry and closed behind the library's back is that of another. */
static intptr_t reuse_number(void *arg)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int ends[2], listener = async_socket(AF_INET, SOCK_STREAM, 0);

	(void)arg;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	connect_ends(ends);
	pass(ends, "first");
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, size), 0);
	put(client, "hello", 0);
	close(ends[0]);
	fault_count("epoll_ctl");
	int accepted = async_accept(listener, NULL, NULL);
	assert_int_equal(accepted, ends[0]);
	expect(accepted, "hello");
	expect_no_new_look();
	close_ends(ends);
	close(client);
	assert_int_equal(async_close(listener), 0);
	return 0;
}

static void numbers_are_used_again(void **state)
{
	(void)state;
	run(reuse_number);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(one_receive_for_each_message),
		TEST(the_end_is_noticed),
		TEST(urgent_data_hides_nothing),
		TEST(other_reads_leave_nothing),
		TEST(numbers_are_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
