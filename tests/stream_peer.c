/* SPDX-License-Identifier: MIT */
#include "stream_peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/stream.h"

void peer_sockets(enum peer_kind kind, int fds[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	if (kind == PEER_UNIX) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		return;
	}
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (void *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (void *)&address, &size), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], (void *)&address, size), 0);
	fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fds[1] >= 0);
	close(listener);
	/* Or the kernel would take megabytes. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &(int){65536}, sizeof(int)), 0);
}

static void open_on(struct peer *peer, int ours, int theirs, const struct async_stream_options *options)
{
	assert_int_equal(fcntl(theirs, F_SETFL, fcntl(theirs, F_GETFL) | O_NONBLOCK), 0);
	assert_int_equal(async_stream_open(ours, options, &peer->stream), 0);
	assert_int_equal(async_stream_fd(peer->stream), ours);
	peer->fd = theirs;
}

void peer_open(struct peer *peer, enum peer_kind kind, const struct async_stream_options *options)
{
	int fds[2];

	if (kind == PEER_PIPE)
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	else
		peer_sockets(kind, fds);
	open_on(peer, fds[0], fds[1], options);
}

void peer_open_writing(struct peer *peer, const struct async_stream_options *options)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	open_on(peer, fds[1], fds[0], options);
}

void peer_send(struct peer *peer, const void *data, size_t size)
{
	if (size > 0)
		assert_int_equal(write(peer->fd, data, size), size);
}

void peer_say(struct peer *peer, const char *text)
{
	peer_send(peer, text, strlen(text));
}

ssize_t peer_receive(struct peer *peer, void *buffer, size_t size)
{
	ssize_t count = read(peer->fd, buffer, size);

	return count < 0 ? -errno : count;
}

void peer_expect(struct peer *peer, const char *text)
{
	char got[256];
	size_t had = 0, size = strlen(text);

	assert_true(size < sizeof(got));
	while (had < size) {
		ssize_t count = peer_receive(peer, got + had, size - had);

		if (count == -EAGAIN) {
			give_way(1);
			continue;
		}
		assert_true(count > 0);
		had += (size_t)count;
	}
	got[had] = '\0';
	assert_string_equal(got, text);
}

size_t peer_fill(int fd)
{
	static const char zeros[4096];
	size_t size = 0;
	ssize_t count;

	while ((count = send(fd, zeros, sizeof(zeros), MSG_DONTWAIT)) > 0)
		size += (size_t)count;
	while ((count = send(fd, zeros, 1, MSG_DONTWAIT)) > 0)
		size += (size_t)count;
	return size;
}

void peer_reset(struct peer *peer)
{
	struct linger reset = {.l_onoff = 1};

	assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	peer_close(peer);
}

void peer_close(struct peer *peer)
{
	close(peer->fd);
	peer->fd = -1;
}

void peer_end(struct peer *peer)
{
	assert_int_equal(async_stream_close(peer->stream), 0);
	if (peer->fd >= 0)
		peer_close(peer);
}

void stream_run(async_fn *fn)
{
	size_t before = open_descriptors();

	assert_int_equal(run_virtual(fn, NULL), 0);
	assert_int_equal(open_descriptors(), before);
}

bool holds_nothing(const async_stream *stream)
{
	return !stream->input.data && !stream->sending.data && !stream->pending.data;
}

void assert_line(async_stream *stream, const char *expected)
{
	char *line = NULL;
	ssize_t size = async_stream_readline(stream, &line);

	assert_int_equal(size, strlen(expected));
	if (size > 0)
		assert_memory_equal(line, expected, size);
}

intptr_t note_lines(void *arg)
{
	struct peer *peer = arg;
	char *line;
	ssize_t size;

	while ((size = async_stream_readline(peer->stream, &line)) > 0)
		note("%.*s", (int)size - 1, line);
	note("%d", (int)size);
	return size;
}

void write_text(async_stream *stream, const char *text)
{
	assert_int_equal(async_stream_write(stream, text, strlen(text)), 0);
}

char *pattern(size_t size)
{
	char *data = malloc(size);

	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i ^ (i >> 8) ^ (i >> 16));
	return data;
}

intptr_t drain_and_note(void *stream)
{
	int error = async_stream_drain(stream);

	note("%d", error);
	return error;
}
