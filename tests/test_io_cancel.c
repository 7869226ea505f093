/* SPDX-License-Identifier: MIT */
/* Cancelling who reads, writes or polls: no byte is lost, and none is written afterwards. */
#include "io_peers.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define LATER ((async_time)3600 * ASYNC_S) /* virtual */

static intptr_t read_until_cancelled(void *arg)
{
	struct stream *stream = arg;
	char block[7];

	for (;;) {
		ssize_t count = async_read(stream->fd, block, sizeof(block));

		if (count < 0)
			return count;
		for (ssize_t i = 0; i < count; i++)
			if (block[i] != byte_at(stream->total++))
				return -EBADMSG;
	}
}

static void catch_up(struct stream *stream, size_t total)
{
	struct stream rest = {stream->fd, total};

	assert_int_equal(read_stream_from(&rest, stream->total), total);
	stream->total = total;
}

/* Readers come and are cancelled in every situation; together they have read every byte once, in order. */
static intptr_t cancel_readers(void *arg)
{
	(void)arg;
	for (int kind = 0; kind < CHANNELS; kind++) {
		struct channel channel = open_channel(kind);
		struct stream stream = {channel.in, 0};
		size_t sent = 0;

		for (unsigned round = 0; round < test_many(2000); round++) {
			async_task *reader = async_create_task(read_until_cancelled, &stream);
			char block[20];
			size_t size = round * 31 % 20 + 1;

			give_way((int)(round % 4));
			for (size_t i = 0; i < size; i++)
				block[i] = byte_at(sent++);
			assert_int_equal(write(channel.out, block, size), size);
			give_way((int)(round / 4 % 3));
			async_cancel(reader, NULL);
			assert_int_equal(async_await(reader), -ECANCELED);
			/* In a terminal some bytes may still be on their way. */
			if (kind < TERMINAL)
				assert_int_equal(stream.total + available(channel.in), sent);
			/* Many are cancelled before they read; what they left must not fill the channel. */
			if (sent - stream.total > 1000)
				catch_up(&stream, sent);
		}
		catch_up(&stream, sent);
		close_channel(&channel);
	}
	return 0;
}

static void cancelled_readers_lose_nothing(void **state)
{
	(void)state;
	assert_int_equal(run(cancel_readers), 0);
}

/* A read that has its bytes gives them, and the cancellation comes next. */
static intptr_t read_then_sleep(void *arg)
{
	char byte;
	ssize_t count = async_read(*(int *)arg, &byte, 1);

	note("read %zd", count);
	note("sleep %d", async_sleep(LATER));
	return 0;
}

static intptr_t cancel_after_success(void *arg)
{
	struct channel channel = open_channel(PIPE);
	char success[40], cancelled[40], byte;

	(void)arg;
	snprintf(success, sizeof(success), "read 1 sleep %d", -ECANCELED);
	snprintf(cancelled, sizeof(cancelled), "read %d sleep 0", -ECANCELED);
	for (int turns = 0; turns < 20; turns++) {
		async_task *task = async_create_task(read_then_sleep, &channel.in);

		settle();
		put(channel.out, "x");
		give_way(turns);
		async_cancel(task, NULL);
		assert_int_equal(async_await(task), 0);
		/* One of the two calls is told, and the byte is where that says. */
		if (available(channel.in) == 0) {
			assert_noted(success);
		} else {
			assert_noted(cancelled);
			assert_int_equal(async_read(channel.in, &byte, 1), 1);
		}
	}
	close_channel(&channel);
	return 0;
}

static void cancellation_comes_after_success(void **state)
{
	(void)state;
	assert_int_equal(run(cancel_after_success), 0);
}

/* A task that was cancelled before a call touches nothing. */
static intptr_t cancel_before(void *arg)
{
	struct channel channel = open_channel(PIPE), other = open_channel(PIPE);
	async_task *self = async_current_task();
	char buffer[8] = "";

	(void)arg;
	put(channel.out, "data");
	async_cancel(self, NULL);
	assert_int_equal(async_read(channel.in, buffer, sizeof(buffer)), -ECANCELED);
	assert_int_equal(available(channel.in), 4);
	assert_int_equal(async_read(channel.in, buffer, sizeof(buffer)), 4);
	assert_string_equal(buffer, "data");

	async_cancel(self, NULL);
	assert_int_equal(async_write(channel.out, "more", 4), -ECANCELED);
	assert_int_equal(available(channel.in), 0);
	async_cancel(self, NULL);
	assert_int_equal(async_poll(channel.out, POLLOUT), -ECANCELED);
	assert_int_equal(async_poll(channel.out, POLLOUT), POLLOUT);

	/* Closing is no matter of choice, and does not swallow the cancellation. */
	async_cancel(self, NULL);
	close_channel(&channel);
	assert_int_equal(fcntl(channel.in, F_GETFD), -1);
	assert_int_equal(fcntl(channel.out, F_GETFD), -1);
	assert_int_equal(async_sleep(0), -ECANCELED);
	assert_int_equal(async_sleep(0), 0);

	/* The same with somebody waiting there. */
	struct transfer reading = {other.in, buffer, sizeof(buffer)};
	async_task *reader = async_create_task(read_once, &reading);
	settle();
	async_cancel(self, NULL);
	close_channel(&other);
	assert_int_equal(async_sleep(0), -ECANCELED);
	assert_int_equal(async_await(reader), -EBADF);
	return 0;
}

static void cancelled_tasks_touch_nothing(void **state)
{
	(void)state;
	assert_int_equal(run(cancel_before), 0);
}

static intptr_t time_out(void *arg)
{
	(void)arg;
	for (int kind = 0; kind < CHANNELS; kind++) {
		struct channel channel = open_channel(kind);
		char buffer[8] = "";
		struct transfer reading = {channel.in, buffer, sizeof(buffer)};

		assert_int_equal(async_wait_for(async_create_task(read_once, &reading), LATER), -ETIMEDOUT);
		put(channel.out, "late");
		assert_int_equal(async_wait_for(async_create_task(read_once, &reading), ASYNC_FOREVER), 4);
		assert_string_equal(buffer, "late");
		close_channel(&channel);
	}
	return 0;
}

static void reads_time_out(void **state)
{
	(void)state;
	assert_int_equal(run(time_out), 0);
}

static intptr_t cancel_writer(void *arg)
{
	(void)arg;
	for (int kind = PIPE; kind <= SOCKET; kind++) {
		struct channel channel = open_channel(kind);
		struct transfer writing = {channel.out, (char[]){"more"}, 4};
		async_task *writer;

		fill(channel.out);
		size_t before = available(channel.in);
		writer = async_create_task(write_once, &writing);
		settle();
		assert_false(async_done(writer));
		async_cancel(writer, NULL);
		assert_int_equal(async_await(writer), -ECANCELED);
		assert_int_equal(available(channel.in), before);
		close_channel(&channel);
	}
	return 0;
}

static void cancelled_writers_write_nothing(void **state)
{
	(void)state;
	assert_int_equal(run(cancel_writer), 0);
}

static intptr_t read_and_end(void *arg)
{
	char block[16];

	return async_read(*(int *)arg, block, sizeof(block));
}

static intptr_t read_and_cancel_oneself(void *arg)
{
	char block[16];
	ssize_t count = async_read(*(int *)arg, block, sizeof(block));

	/* Not pending when the read ended: the last step is that of any other task. */
	async_cancel(async_current_task(), NULL);
	return count;
}

/* What a call has kept although a cancellation was pending, the body may return: it is in the result, or has not been
 * taken from the pipe. */
static intptr_t kept_at_the_end(void *arg)
{
	int fds[2];

	(void)arg;
	for (int i = 0; i < 20; i++) {
		char left[16];

		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		async_task *task = async_create_task(read_and_end, &fds[0]);
		give_way(1);
		if (i % 2)
			give_way(3);
		assert_int_equal(write(fds[1], "hello", 5), 5);
		async_cancel(task, NULL);
		async_ref(task);
		intptr_t result = async_await(task);
		assert_int_equal(async_cancelling(task), 1);
		if (result != 5) {
			assert_int_equal(result, -ECANCELED);
			assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
			assert_int_equal(read(fds[0], left, sizeof(left)), 5);
		}
		async_release(task);
		assert_int_equal(write(fds[1], "hello", 5), 5);
		assert_int_equal(async_await(async_create_task(read_and_cancel_oneself, &fds[0])), -ECANCELED);
		assert_int_equal(async_close(fds[0]), 0);
		assert_int_equal(async_close(fds[1]), 0);
	}
	return 0;
}

static void kept_results_stand_at_the_end(void **state)
{
	(void)state;
	assert_int_equal(run(kept_at_the_end), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(cancelled_readers_lose_nothing),
		TEST(cancellation_comes_after_success),
		TEST(cancelled_tasks_touch_nothing),
		TEST(reads_time_out),
		TEST(cancelled_writers_write_nothing),
		TEST(kept_results_stand_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
