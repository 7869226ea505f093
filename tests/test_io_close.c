/* SPDX-License-Identifier: MIT */
/* Closing descriptors under those who wait there, and their numbers used again. */
#include "io_peers.h"

#include <fcntl.h>

static intptr_t close_under_others(void *arg)
{
	(void)arg;
	for (int kind = 0; kind < CHANNELS; kind++) {
		struct channel channel = open_channel(kind);
		char bytes[2];
		struct transfer readings[2] = {{channel.in, &bytes[0], 1}, {channel.in, &bytes[1], 1}};
		async_task *tasks[] = {async_create_task(read_once, &readings[0]),
				       async_create_task(read_once, &readings[1]),
				       async_create_task(poll_in, &channel.in)};

		settle();
		for (size_t i = 0; i < countof(tasks); i++)
			assert_false(async_done(tasks[i]));
		close_now(channel.in);
		assert_int_equal(fcntl(channel.in, F_GETFD), -1);
		for (size_t i = 0; i < countof(tasks); i++)
			assert_int_equal(async_await(tasks[i]), -EBADF);
		assert_int_equal(async_close(channel.in), -EBADF);
		close_now(channel.out);
	}
	return 0;
}

static void close_ends_what_waits(void **state)
{
	(void)state;
	assert_int_equal(run(close_under_others), 0);
}

static intptr_t close_under_writer(void *arg)
{
	(void)arg;
	for (int kind = PIPE; kind <= SOCKET; kind++) {
		struct channel channel = open_channel(kind);
		struct transfer writing = {channel.out, (char[]){"more"}, 4};

		fill(channel.out);
		async_task *writer = async_create_task(write_once, &writing);
		settle();
		close_now(channel.out);
		assert_int_equal(async_await(writer), -EBADF);
		close_now(channel.in);
	}
	return 0;
}

static void close_ends_writers(void **state)
{
	(void)state;
	assert_int_equal(run(close_under_writer), 0);
}

/* A number that is used again has nothing to do with what it was. */
static intptr_t reuse_number(void *arg)
{
	(void)arg;
	for (int round = 0; round < 50; round++) {
		struct channel channel = open_channel(round % CHANNELS);
		char byte = 0;
		struct transfer reading = {channel.in, &byte, 1};
		async_task *reader = async_create_task(read_once, &reading);

		if (round % 3)
			settle();
		if (round % 2)
			put(channel.out, "x");
		close_channel(&channel);
		intptr_t result = async_await(reader);
		if (round % 2)
			assert_true(result == 1 || result == -EBADF);
		else
			assert_int_equal(result, -EBADF);
	}
	return 0;
}

static void numbers_are_used_again(void **state)
{
	(void)state;
	assert_int_equal(run(reuse_number), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(close_ends_what_waits),
		TEST(close_ends_writers),
		TEST(numbers_are_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
