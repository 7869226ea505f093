/* SPDX-License-Identifier: MIT */
/* Wrong use of descriptors, and writing where nobody reads. */
#include "io_peers.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

static intptr_t use_wrongly(void *arg)
{
	struct channel channel = open_channel(PIPE);
	char buffer[8];
	int closed = dup(channel.in), directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)arg;
	close(closed);
	int wrong[] = {-1, -100, closed, 1 << 20};
	for (size_t i = 0; i < countof(wrong); i++) {
		assert_int_equal(async_read(wrong[i], buffer, sizeof(buffer)), -EBADF);
		assert_int_equal(async_write(wrong[i], "x", 1), -EBADF);
		assert_int_equal(async_poll(wrong[i], POLLIN), -EBADF);
		assert_int_equal(async_close(wrong[i]), -EBADF);
	}
	assert_int_equal(async_read(channel.out, buffer, sizeof(buffer)), -EBADF);
	assert_int_equal(async_write(channel.in, "x", 1), -EBADF);
	assert_int_equal(async_poll(channel.in, 0), -EINVAL);
	assert_int_equal(async_read(directory, buffer, sizeof(buffer)), -EISDIR);
	close_now(directory);
	close_channel(&channel);
	return 0;
}

static void wrong_use_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(run(use_wrongly), 0);
}

static void outside(void *arg)
{
	struct channel *channel = arg;
	char byte;

	assert_int_equal(async_read(channel->in, &byte, 1), -EPERM);
	assert_int_equal(async_write(channel->out, "x", 1), -EPERM);
	assert_int_equal(async_poll(channel->out, POLLOUT), -EPERM);
	assert_int_equal(async_close(channel->in), -EPERM);
	assert_true(fcntl(channel->in, F_GETFD) >= 0);
	assert_int_equal(available(channel->in), 0);
	note("refused");
}

static intptr_t call_outside(void *arg)
{
	assert_int_equal(async_loop_call_soon(async_get_running_loop(), outside, arg, NULL), 0);
	return async_sleep(ASYNC_MS);
}

static void outside_a_task_is_refused(void **state)
{
	struct channel channel = open_channel(PIPE);

	(void)state;
	outside(&channel);
	assert_int_equal(run_virtual(call_outside, &channel), 0);
	assert_noted("refused refused");
	close(channel.in);
	close(channel.out);
}

static volatile int sigpipes;

static void on_sigpipe(int number)
{
	(void)number;
	sigpipes++;
}

static intptr_t write_to_nobody(void *arg)
{
	(void)arg;
	for (int kind = PIPE; kind <= SOCKET; kind++) {
		struct channel channel = open_channel(kind);

		close_now(channel.in);
		assert_int_equal(async_write(channel.out, "x", 1), -EPIPE);
		close_now(channel.out);

		/* And for one that waits for room. */
		channel = open_channel(kind);
		struct transfer writing = {channel.out, (char[]){"more"}, 4};
		fill(channel.out);
		async_task *writer = async_create_task(write_once, &writing);
		settle();
		close_now(channel.in);
		/* A socket whose peer left with bytes unread has been reset. */
		intptr_t result = async_await(writer);
		assert_true(result == -EPIPE || (kind == SOCKET && result == -ECONNRESET));
		close_now(channel.out);
	}
	return 0;
}

static void no_reader_is_an_error_and_no_signal(void **state)
{
	struct sigaction action = {.sa_handler = on_sigpipe}, old;
	sigset_t pending;

	(void)state;
	sigpipes = 0;
	assert_int_equal(sigaction(SIGPIPE, &action, &old), 0);
	assert_int_equal(run(write_to_nobody), 0);
	assert_int_equal(sigpipes, 0);
	sigpending(&pending);
	assert_false(sigismember(&pending, SIGPIPE));
	sigaction(SIGPIPE, &old, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(wrong_use_is_an_error),
		TEST(outside_a_task_is_refused),
		TEST(no_reader_is_an_error_and_no_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
