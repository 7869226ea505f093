/* SPDX-License-Identifier: MIT */
#include "io_peers.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

int open_terminal(int ends[2], bool raw)
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

struct channel open_channel(int kind)
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

void close_channel(struct channel *channel)
{
	close_now(channel->in);
	close_now(channel->out);
}

intptr_t run_with_reactor(void *arg)
{
	struct body *body = arg;
	struct channel channel = open_channel(PIPE);

	assert_int_equal(async_poll(channel.out, POLLOUT), POLLOUT);
	close_channel(&channel);
	return body->fn(NULL);
}

intptr_t read_once(void *arg)
{
	struct transfer *t = arg;

	return async_read(t->fd, t->buffer, t->size);
}

intptr_t write_once(void *arg)
{
	struct transfer *t = arg;

	return async_write(t->fd, t->buffer, t->size);
}

intptr_t poll_in(void *arg)
{
	return async_poll(*(int *)arg, POLLIN);
}

char byte_at(size_t position)
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

intptr_t read_stream_from(struct stream *stream, size_t done)
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

void pass(int kind, size_t total)
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
