/* SPDX-License-Identifier: MIT */
/* A stream and the other end of its descriptor, which the tests use without the library. */
#ifndef TESTS_STREAM_PEER_H
#define TESTS_STREAM_PEER_H

#include "harness.h"

enum peer_kind {
	PEER_UNIX,
	PEER_TCP,
	PEER_PIPE, /* one direction, see below */
	PEER_KINDS,
};

struct peer {
	async_stream *stream;
	int fd; /* never waits; -1 once closed */
};

/* PEER_PIPE: a stream that reads. */
void peer_open(struct peer *peer, enum peer_kind kind, const struct async_stream_options *options);
/* A stream that writes a pipe. */
void peer_open_writing(struct peer *peer, const struct async_stream_options *options);
/* Two connected sockets, set to wait. */
void peer_sockets(enum peer_kind kind, int fds[2]);

/* Everything goes into the kernel at once. */
void peer_send(struct peer *peer, const void *data, size_t size);
void peer_say(struct peer *peer, const char *text);
/* What there is now: the count, 0 at the end, -EAGAIN, … */
ssize_t peer_receive(struct peer *peer, void *buffer, size_t size);
/* Compares what comes next, giving way until it does. */
void peer_expect(struct peer *peer, const char *text);
/* Sends until the kernel takes no more. Returns the count. */
size_t peer_fill(int fd);
/* TCP: with a reset. */
void peer_reset(struct peer *peer);
void peer_close(struct peer *peer);
/* Closes both ends. */
void peer_end(struct peer *peer);

/* Runs `fn(NULL)` as a task on the virtual clock: it gives 0, and no descriptor is left. */
void stream_run(async_fn *fn);

#endif
