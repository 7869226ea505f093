/* SPDX-License-Identifier: MIT */
/* Reading, writing, polling and closing descriptors of every kind, from tasks. */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define LATER ((async_time)3600 * ASYNC_S) /* virtual */

/* Two descriptors: what is written to `out` comes from `in`. */
struct channel {
	const char *name;
	int in, out;
};

static int open_terminal(int ends[2], bool raw)
{
	char name[64];
	struct termios settings;

	ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ends[0] < 0 || grantpt(ends[0]) < 0 || unlockpt(ends[0]) < 0 || ptsname_r(ends[0], name, sizeof(name)))
		return -1;
	ends[1] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ends[1] < 0 || tcgetattr(ends[1], &settings) < 0)
		return -1;
	if (raw)
		cfmakeraw(&settings);
	settings.c_lflag &= ~(tcflag_t)ECHO;
	return tcsetattr(ends[1], TCSANOW, &settings);
}

enum { PIPE, SOCKET, TERMINAL, TERMINAL_MASTER, CHANNELS };

static struct channel open_channel(int kind)
{
	static const char *const names[] = {"pipe", "socket", "terminal", "terminal's master"};
	int ends[2] = {-1, -1};

	if (kind == PIPE)
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	else if (kind == SOCKET)
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	else
		assert_int_equal(open_terminal(ends, true), 0);
	bool swap = kind == TERMINAL;
	return (struct channel){names[kind], ends[swap], ends[!swap]};
}

static void close_now(int fd)
{
	assert_int_equal(async_close(fd), 0);
}

static void close_channel(struct channel *channel)
{
	close_now(channel->in);
	close_now(channel->out);
}

/* Puts bytes there as another process would. */
static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static size_t available(int fd)
{
	int count = -1;

	assert_int_equal(ioctl(fd, FIONREAD, &count), 0);
	return (size_t)count;
}

static void fill(int fd)
{
	static const char block[4096];
	int flags = fcntl(fd, F_GETFL);

	assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fcntl(fd, F_SETFL, flags), 0);
}

/* Gives a task that was just created the time to get where it waits, in the kernel too. */
static void settle(void)
{
	give_way(5);
}

struct body {
	async_fn *fn;
};

/* The loop opens its own descriptors first, so that they do not take numbers that a test has closed. */
static intptr_t run_with_reactor(void *arg)
{
	struct body *body = arg;
	struct channel channel = open_channel(PIPE);

	assert_int_equal(async_poll(channel.out, POLLOUT), POLLOUT);
	close_channel(&channel);
	return body->fn(NULL);
}

static intptr_t run(async_fn *fn)
{
	return run_virtual(run_with_reactor, &(struct body){fn});
}

/* One task reads or writes once. */
struct transfer {
	int fd;
	char *buffer;
	size_t size;
};

static intptr_t read_once(void *arg)
{
	struct transfer *t = arg;

	return async_read(t->fd, t->buffer, t->size);
}

static intptr_t write_once(void *arg)
{
	struct transfer *t = arg;

	return async_write(t->fd, t->buffer, t->size);
}

static intptr_t poll_in(void *arg)
{
	return async_poll(*(int *)arg, POLLIN);
}

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

struct stream {
	int fd;
	size_t total;
};

static char byte_at(size_t position)
{
	return (char)(position * 7 + position / 251);
}

static intptr_t write_stream(void *arg)
{
	struct stream *stream = arg;
	char block[5000];

	for (size_t done = 0; done < stream->total;) {
		size_t size = stream->total - done < sizeof(block) ? stream->total - done : sizeof(block);

		for (size_t i = 0; i < size; i++)
			block[i] = byte_at(done + i);
		ssize_t count = async_write(stream->fd, block, size);
		if (count <= 0)
			return count;
		done += (size_t)count;
	}
	return (intptr_t)stream->total;
}

static intptr_t read_stream_from(struct stream *stream, size_t done)
{
	char block[3000];

	while (done < stream->total) {
		ssize_t count = async_read(stream->fd, block, sizeof(block));

		if (count <= 0)
			return count;
		for (ssize_t i = 0; i < count; i++)
			if (block[i] != byte_at(done++))
				return -EBADMSG;
	}
	return (intptr_t)done;
}

static intptr_t read_stream(void *arg)
{
	return read_stream_from(arg, 0);
}

static void pass(int kind, size_t total)
{
	struct channel channel = open_channel(kind);
	struct stream from = {channel.out, total}, to = {channel.in, total};
	async_task *tasks[] = {async_create_task(write_stream, &from), async_create_task(read_stream, &to)};
	intptr_t results[2];

	assert_int_equal(async_await(async_gather(tasks, 2, ASYNC_GATHER_COLLECT, results)), 2);
	assert_int_equal(results[0], total);
	assert_int_equal(results[1], total);
	close_channel(&channel);
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

static intptr_t pass_through_terminals(void *arg)
{
	(void)arg;
	pass(TERMINAL, 100000);
	pass(TERMINAL_MASTER, 100000);
	return 0;
}

static void much_passes_through_terminals(void **state)
{
	(void)state;
	alarm(20);
	assert_int_equal(run(pass_through_terminals), 0);
	alarm(0);
}

/* A terminal has no flag for a single call, and a write to a full one must not hold up the loop all the same. */
static intptr_t write_endlessly(void *arg)
{
	static char large[1 << 20];
	ssize_t count;

	do
		count = async_write(*(int *)arg, large, sizeof(large));
	while (count > 0);
	return count;
}

static intptr_t fill_terminals(void *arg)
{
	(void)arg;
	for (int kind = TERMINAL; kind <= TERMINAL_MASTER; kind++) {
		struct channel channel = open_channel(kind);
		async_task *writer = async_create_task(write_endlessly, &channel.out);

		give_way(100);
		assert_false(async_done(writer));
		async_cancel(writer, NULL);
		assert_int_equal(async_await(writer), -ECANCELED);
		close_channel(&channel);
	}
	return 0;
}

static void full_terminals_hold_up_their_writer_only(void **state)
{
	(void)state;
	alarm(20);
	assert_int_equal(run(fill_terminals), 0);
	alarm(0);
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

static intptr_t type_lines(void *arg)
{
	int ends[2];
	char buffer[16] = "";

	(void)arg;
	assert_int_equal(open_terminal(ends, false), 0);
	struct transfer reading = {ends[1], buffer, sizeof(buffer)};
	async_task *reader = async_create_task(read_once, &reading);
	/* A line is there when it has ended. */
	put(ends[0], "ab");
	settle();
	assert_false(async_done(reader));
	put(ends[0], "c\n");
	assert_int_equal(async_await(reader), 4);
	assert_string_equal(buffer, "abc\n");
	put(ends[0], "\4");
	assert_int_equal(async_read(ends[1], buffer, sizeof(buffer)), 0);
	close_now(ends[0]);
	close_now(ends[1]);
	return 0;
}

static void terminal_gives_lines(void **state)
{
	(void)state;
	assert_int_equal(run(type_lines), 0);
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

/* Cancellation */

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

/* Closing */

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

/* Errors */

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

/* Fairness */

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
		TEST(terminal_gives_lines),
		TEST(files_and_devices),
		TEST(readers_are_served_in_order),
		TEST(cancelled_readers_lose_nothing),
		TEST(cancellation_comes_after_success),
		TEST(cancelled_tasks_touch_nothing),
		TEST(reads_time_out),
		TEST(cancelled_writers_write_nothing),
		TEST(close_ends_what_waits),
		TEST(close_ends_writers),
		TEST(numbers_are_used_again),
		TEST(system_calls_are_counted),
		TEST(wrong_use_is_an_error),
		TEST(outside_a_task_is_refused),
		TEST(no_reader_is_an_error_and_no_signal),
		TEST(events_are_told),
		TEST(flags_are_left_alone),
		TEST(readers_give_way),
		TEST(readers_that_gave_way_can_be_cancelled),
		TEST(sleeping_loop_is_woken_by_bytes),
		/* Last, as a loop that is held up ends the program. */
		TEST(much_passes_through_terminals),
		TEST(full_terminals_hold_up_their_writer_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
