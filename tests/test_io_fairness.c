/* SPDX-License-Identifier: MIT */
/* Who reads without ever waiting gives way all the same. */
#include "io_peers.h"

#include <fcntl.h>

static intptr_t count_turns(void *arg)
{
	for (;;) {
		int error = async_sleep(0);

		if (error < 0)
			return error;
		++*(int *)arg;
	}
}

static intptr_t read_without_waiting(void *arg)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), turns = 0;
	async_task *other = async_create_task(count_turns, &turns);
	char byte;

	(void)arg;
	for (int i = 0; i < 640; i++)
		assert_int_equal(async_read(fd, &byte, 1), 1);
	/* At least every 64 operations the other one had its turn. */
	assert_true(turns >= 9);
	async_cancel(other, NULL);
	assert_int_equal(async_await(other), -ECANCELED);
	close_now(fd);
	return 0;
}

static void readers_give_way(void **state)
{
	(void)state;
	assert_int_equal(run(read_without_waiting), 0);
}

struct greedy {
	int fd;
	size_t read;
};

static intptr_t read_greedily(void *arg)
{
	struct greedy *greedy = arg;
	char byte;

	for (;;) {
		ssize_t count = async_read(greedy->fd, &byte, 1);

		if (count <= 0)
			return count;
		greedy->read += (size_t)count;
	}
}

static intptr_t cancel_greedy_reader(void *arg)
{
	struct channel channel = open_channel(PIPE);
	struct greedy greedy = {channel.in, 0};

	(void)arg;
	fill(channel.out);
	size_t before = available(channel.in);
	async_task *reader = async_create_task(read_greedily, &greedy);
	while (greedy.read == 0)
		give_way(1);
	assert_true(greedy.read < before);
	async_cancel(reader, NULL);
	assert_int_equal(async_await(reader), -ECANCELED);
	/* The read during which it gave way has counted. */
	assert_int_equal(greedy.read + available(channel.in), before);
	close_channel(&channel);
	return 0;
}

static void readers_that_gave_way_can_be_cancelled(void **state)
{
	(void)state;
	assert_int_equal(run(cancel_greedy_reader), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(readers_give_way),
		TEST(readers_that_gave_way_can_be_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
