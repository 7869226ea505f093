/* SPDX-License-Identifier: MIT */
/*
 * What the tests of reading, writing, polling and closing have in common: descriptors of each kind, and tasks that use
 * them. Static is what has a name that others use, too.
 */
#ifndef TESTS_IO_PEERS_H
#define TESTS_IO_PEERS_H

#include "descriptors.h"

#include <fcntl.h>

/* Two descriptors: what is written to `out` comes from `in`. */
struct channel {
	const char *name;
	int in, out;
};

/* Kinds of channels: a terminal is read there, or its master is. */
enum { PIPE, SOCKET, TERMINAL, TERMINAL_MASTER, CHANNELS };

/* A new one: asserts that there is. */
struct channel open_channel(int kind);
/* Both ends, as a task. */
void close_channel(struct channel *channel);
/* The master and the terminal, which does not echo: 0, or -1 and errno. */
int open_terminal(int ends[2], bool raw);

/* Writes until the kernel takes no more. */
static inline void fill(int fd)
{
	static const char block[4096];
	int flags = fcntl(fd, F_GETFL);

	assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fcntl(fd, F_SETFL, flags), 0);
}

/* What run_with_reactor runs. */
struct body {
	async_fn *fn;
};

/* The loop opens its own descriptors first, so that they do not take numbers that a test has closed. */
intptr_t run_with_reactor(void *body);

/* On a virtual clock. */
static inline intptr_t run(async_fn *fn)
{
	return run_virtual(run_with_reactor, &(struct body){fn});
}

/* One task reads or writes once. */
struct transfer {
	int fd;
	char *buffer;
	size_t size;
};

/* Reads into the buffer, writes from it. */
intptr_t read_once(void *transfer);
intptr_t write_once(void *transfer);
/* Waits until the descriptor in the int can be read. */
intptr_t poll_in(void *fd);

/* A long row of bytes that tell where they belong. */
struct stream {
	int fd;
	size_t total;
};

/* The one at a position. */
char byte_at(size_t position);
/* Reads what follows the first `done` bytes: the total, 0 at an early end, -EBADMSG if they are others. */
intptr_t read_stream_from(struct stream *stream, size_t done);
/* So many bytes from one task to another. */
void pass(int kind, size_t total);

#endif
