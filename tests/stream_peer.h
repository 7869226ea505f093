/* SPDX-License-Identifier: MIT */
/* A stream and the other end of its descriptor, which the tests use without the library; what is done with streams. */
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

/* Options with one or two things in them. */
#define LIMITED(n) (&(struct async_stream_options){.size = sizeof(struct async_stream_options), .limit = (n)})
#define WATER(high, low) \
	(&(struct async_stream_options){ \
		.size = sizeof(struct async_stream_options), .high_water = (high), .low_water = (low)})

/* It has no buffer at this time. */
bool holds_nothing(const async_stream *stream);
/* What a read gave, compared with a text. */
void assert_line(async_stream *stream, const char *expected);
/* A reader as a task: the lines that it gets are noted, separated by blanks. */
intptr_t note_lines(void *peer);
/* Writes, which must not fail. */
void write_text(async_stream *stream, const char *text);
/* Bytes that tell where they belong; to be freed. */
char *pattern(size_t size);
/* Drains as a task, and notes how that ended. */
intptr_t drain_and_note(void *stream);

#endif
