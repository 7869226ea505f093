/* SPDX-License-Identifier: MIT */
/* Reading, writing and polling descriptors of every kind, from tasks. */
#include "io_peers.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes from here to there */

static intptr_t say_hello(void *arg)
{
	(void)arg;
	for (int kind = 0; kind < CHANNELS; kind++) {
		struct channel channel = open_channel(kind);
		char buffer[16] = "";
		struct transfer reading = {channel.in, buffer, sizeof(buffer)};
		async_task *reader = async_create_task(read_once, &reading);

		settle();
		assert_false(async_done(reader));
		assert_int_equal(async_write(channel.out, "hello", 5), 5);
		assert_int_equal(async_await(reader), 5);
		assert_string_equal(buffer, "hello");
		/* What is there already needs no waiting. */
		put(channel.out, "again");
		settle();
		assert_int_equal(async_read(channel.in, buffer, 2), 2);
		assert_int_equal(async_read(channel.in, buffer + 2, 14), 3);
		assert_string_equal(buffer, "again");
		close_channel(&channel);
	}
	return 0;
}

static void bytes_arrive(void **state)
{
	(void)state;
	assert_int_equal(run(say_hello), 0);
}

static intptr_t pass_much(void *arg)
{
	(void)arg;
	pass(PIPE, test_many(2000000));
	pass(SOCKET, test_many(2000000));
	return 0;
}

static void much_arrives_in_order(void **state)
{
	(void)state;
	assert_int_equal(run(pass_much), 0);
}

static intptr_t see_the_end(void *arg)
{
	char buffer[16];

	(void)arg;
	for (int kind = PIPE; kind <= SOCKET; kind++) {
		struct channel channel = open_channel(kind);
		struct transfer reading = {channel.in, buffer, sizeof(buffer)};
		async_task *reader = async_create_task(read_once, &reading);

		settle();
		close_now(channel.out);
		assert_int_equal(async_await(reader), 0);
		assert_int_equal(async_read(channel.in, buffer, sizeof(buffer)), 0);
		close_now(channel.in);
	}
	/* The master of a terminal that nobody has open any more. */
	struct channel channel = open_channel(TERMINAL_MASTER);
	struct transfer reading = {channel.in, buffer, sizeof(buffer)};
	async_task *reader = async_create_task(read_once, &reading);
	settle();
	close_now(channel.out);
	assert_int_equal(async_await(reader), -EIO);
	close_now(channel.in);
	return 0;
}

static void the_end_is_zero(void **state)
{
	(void)state;
	assert_int_equal(run(see_the_end), 0);
}

/* Files have a position, and are always ready. */
static intptr_t use_files(void *arg)
{
	char buffer[32] = "";
	FILE *file = tmpfile();

	(void)arg;
	assert_non_null(file);
	int fd = dup(fileno(file));
	assert_int_equal(async_read(fd, buffer, sizeof(buffer)), 0);
	assert_int_equal(async_write(fd, "one ", 4), 4);
	assert_int_equal(async_write(fd, "two", 3), 3);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 7);
	assert_int_equal(async_read(fd, buffer, sizeof(buffer)), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(async_read(fd, buffer, 5), 5);
	assert_int_equal(async_read(fd, buffer + 5, 27), 2);
	assert_string_equal(buffer, "one two");
	assert_int_equal(async_poll(fd, POLLIN | POLLOUT), POLLIN | POLLOUT);
	close_now(fd);
	fclose(file);

	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(async_write(fd, "gone", 4), 4);
	assert_int_equal(async_read(fd, buffer, sizeof(buffer)), 0);
	close_now(fd);
	fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	assert_int_equal(async_read(fd, buffer, sizeof(buffer)), sizeof(buffer));
	for (size_t i = 0; i < sizeof(buffer); i++)
		assert_int_equal(buffer[i], 0);
	close_now(fd);
	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_int_equal(async_write(fd, "x", 1), -ENOSPC);
	close_now(fd);
	return 0;
}

static void files_and_devices(void **state)
{
	(void)state;
	assert_int_equal(run(use_files), 0);
}

static intptr_t serve_in_order(void *arg)
{
	struct channel channel = open_channel(PIPE);
	char bytes[3];
	struct transfer readings[3];
	async_task *readers[3];

	(void)arg;
	for (int i = 0; i < 3; i++) {
		readings[i] = (struct transfer){channel.in, &bytes[i], 1};
		readers[i] = async_create_task(read_once, &readings[i]);
	}
	settle();
	put(channel.out, "abc");
	for (int i = 0; i < 3; i++)
		assert_int_equal(async_await(readers[i]), 1);
	assert_memory_equal(bytes, "abc", 3);
	close_channel(&channel);
	return 0;
}

static void readers_are_served_in_order(void **state)
{
	(void)state;
	assert_int_equal(run(serve_in_order), 0);
}

static uint64_t calls_so_far(void)
{
	struct async_loop_stats stats = {.size = sizeof(stats)};

	assert_int_equal(async_loop_get_stats(async_get_running_loop(), &stats), 0);
	return stats.system_calls;
}

static intptr_t count_calls(void *arg)
{
	struct channel channel = open_channel(PIPE);
	char buffer[8];

	(void)arg;
	assert_int_equal(async_write(channel.out, "x", 1), 1);
	uint64_t before = calls_so_far();
	assert_int_equal(calls_so_far(), before);
	assert_int_equal(async_write(channel.out, "x", 1), 1);
	assert_true(calls_so_far() > before);
	before = calls_so_far();
	assert_int_equal(async_read(channel.in, buffer, sizeof(buffer)), 2);
	assert_true(calls_so_far() > before);
	close_channel(&channel);
	return 0;
}

static void system_calls_are_counted(void **state)
{
	(void)state;
	assert_int_equal(run(count_calls), 0);
}

/* Readiness */

static intptr_t poll_events(void *arg)
{
	struct channel channel = open_channel(SOCKET);
	char byte;
	async_task *waiting = async_create_task(poll_in, &channel.in);

	(void)arg;
	settle();
	assert_false(async_done(waiting));
	put(channel.out, "x");
	assert_int_equal(async_await(waiting), POLLIN);
	/* It reads nothing. */
	assert_int_equal(async_poll(channel.in, POLLIN | POLLOUT), POLLIN | POLLOUT);
	assert_int_equal(async_read(channel.in, &byte, 1), 1);
	assert_int_equal(async_poll(channel.in, POLLIN | POLLOUT), POLLOUT);
	assert_int_equal(shutdown(channel.out, SHUT_WR), 0);
	assert_int_equal(async_poll(channel.in, POLLRDHUP), POLLRDHUP);
	close_channel(&channel);

	channel = open_channel(PIPE);
	waiting = async_create_task(poll_in, &channel.in);
	settle();
	close_now(channel.out);
	assert_int_equal(async_await(waiting), POLLHUP);
	close_now(channel.in);

	channel = open_channel(PIPE);
	close_now(channel.in);
	assert_int_equal(async_poll(channel.out, POLLOUT) & POLLERR, POLLERR);
	close_now(channel.out);
	return 0;
}

static void events_are_told(void **state)
{
	(void)state;
	assert_int_equal(run(poll_events), 0);
}

/* The flag belongs to everybody who shares the description. */
static intptr_t keep_flags(void *arg)
{
	(void)arg;
	for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
		for (int kind = 0; kind < CHANNELS; kind++) {
			struct channel channel = open_channel(kind);
			char byte;
			struct transfer reading = {channel.in, &byte, 1};

			int in = fcntl(channel.in, F_GETFL) | (nonblocking ? O_NONBLOCK : 0);
			int out = fcntl(channel.out, F_GETFL);

			assert_int_equal(fcntl(channel.in, F_SETFL, in), 0);
			async_task *reader = async_create_task(read_once, &reading);
			settle();
			assert_int_equal(fcntl(channel.in, F_GETFL), in);
			assert_false(async_done(reader));
			assert_int_equal(async_write(channel.out, "x", 1), 1);
			assert_int_equal(async_await(reader), 1);
			assert_int_equal(fcntl(channel.in, F_GETFL), in);
			assert_int_equal(fcntl(channel.out, F_GETFL), out);
			close_channel(&channel);
		}
	}
	return 0;
}

static void flags_are_left_alone(void **state)
{
	(void)state;
	assert_int_equal(run(keep_flags), 0);
}

/* The world outside */

struct outside_world {
	async_loop *loop;
	int fd;
};

static void *write_when_asleep(void *arg)
{
	struct outside_world *world = arg;

	await_asleep(world->loop);
	put(world->fd, "!");
	return NULL;
}

static intptr_t wait_for_thread(void *arg)
{
	struct channel *channel = arg;
	char byte;

	assert_int_equal(async_read(channel->in, &byte, 1), 1);
	return byte;
}

static void sleeping_loop_is_woken_by_bytes(void **state)
{
	(void)state;
	for (int kind = 0; kind < CHANNELS; kind++) {
		struct channel channel = open_channel(kind);
		async_loop *loop = loop_real();
		struct outside_world world = {loop, channel.out};
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, write_when_asleep, &world), 0);
		async_task *task = async_loop_create_task(loop, wait_for_thread, &channel, NULL);
		assert_int_equal(async_loop_run_until_complete(loop, task), '!');
		pthread_join(thread, NULL);
		loop_end(loop);
		close(channel.in);
		close(channel.out);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(bytes_arrive),
		TEST(much_arrives_in_order),
		TEST(the_end_is_zero),
		TEST(files_and_devices),
		TEST(readers_are_served_in_order),
		TEST(system_calls_are_counted),
		TEST(events_are_told),
		TEST(flags_are_left_alone),
		TEST(sleeping_loop_is_woken_by_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
