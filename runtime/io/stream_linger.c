/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. A socket that is closed while there is input that nobody has read is reset by the kernel, and what the peer
 * has not got by then is lost to it. So whoever has answered says that this was all, reads on, and drops what comes
 * until the peer ends too: the peer may wait with reading until it has sent everything.
 *
 * Where nothing is unread and the peer has room for what it was sent, there is nothing to wait for, and nothing
 * changes: what comes later resets a connection of which the peer has everything.
 */
#include "io/stream_linger.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <async/loop.h>
#include <async/timeout.h>

#include "base/clock.h"
#include "base/fault.h"
#include "core/schedule.h"
#include "io/stream.h"

/* What is dropped in one system call. */
#define ROOM ((size_t)16 << 10)

struct lingering {
	async_stream *stream;
	const struct linger_limits *limits;
	size_t dropped;
};

/* Drops what comes, once. Returns the count, 0 at the end, -EBADF if what was written has been sent meanwhile, … */
static ssize_t drop(struct lingering *linger, int flags)
{
	async_stream *stream = linger->stream;
	struct fd_wait wait = {.task = task_current()};

	/* The stream's buffer, which goes with it whatever becomes of this task. */
	op_init(&wait.op, OP_RECV, stream->fd, bytes_begin(&stream->input), ROOM);
	wait.op.flags = flags;
	stream->reading = &wait;
	ssize_t count = fd_perform_in(&wait);
	stream->reading = NULL;
	if (count > 0)
		linger->dropped += (size_t)count;
	if (count == 0)
		stream->eof = true;
	return count;
}

static bool is_within_size(const struct lingering *linger)
{
	return linger->dropped <= linger->limits->size;
}

static bool is_sending(const async_stream *stream)
{
	return stream->output == OUTPUT_ENDING && !stream->write_error;
}

/* While the rest is being sent; takes as long as that. */
static ssize_t drop_while_sending(struct lingering *linger)
{
	ssize_t count = 1;

	linger->stream->lingers = true;
	while (is_sending(linger->stream) && is_within_size(linger) && (count > 0 || count == -EBADF))
		count = drop(linger, 0);
	linger->stream->lingers = false;
	return count == -EBADF ? 1 : count;
}

static ssize_t drop_within(struct lingering *linger, async_time when)
{
	struct async_timeout limit = ASYNC_TIMEOUT_INIT;
	int error = async_timeout_begin_at(&limit, when);

	return error ? error : async_timeout_end(&limit, drop(linger, 0));
}

/* Bytes that the kernel keeps until the peer has room: a reset would take them. */
static bool is_short_of_room(const async_stream *stream)
{
	int count = 0;

	/* A Unix socket does not know it, as what was sent is with the peer. */
	return SYS("ioctl", ioctl(stream->fd, SIOCOUTQNSD, &count)) == 0 && count > 0;
}

/* When all has been given to the kernel. */
static ssize_t drop_until_the_end(struct lingering *linger)
{
	const struct linger_limits *limits = linger->limits;
	async_time now = async_loop_time(NULL), end = clock_add(now, limits->time);
	ssize_t count = 1;

	while (count > 0 && is_within_size(linger) && now < end) {
		async_time when = clock_add(now, limits->timeout);

		count = drop_within(linger, when < end ? when : end);
		now = async_loop_time(NULL);
		if (count == -ETIMEDOUT && is_short_of_room(linger->stream))
			count = 1;
	}
	return count;
}

static ssize_t run(struct lingering *linger)
{
	async_stream *stream = linger->stream;

	linger->dropped = stream->input.size;
	bytes_clear(&stream->input);
	if (bytes_reserve(&stream->input, ROOM) < 0)
		return 0;
	stream_flush(stream);
	/* Most often all is sent, and nothing is there. */
	if (async_stream_unsent(stream) == 0 && linger->dropped == 0) {
		ssize_t count = drop(linger, MSG_DONTWAIT);

		if (count <= 0 && !(count == -EAGAIN && is_short_of_room(stream)))
			return count;
	}
	async_stream_write_eof(stream);
	ssize_t count = drop_while_sending(linger);
	if (count > 0 && linger->dropped == 0 && !is_short_of_room(stream))
		count = drop(linger, MSG_DONTWAIT);
	return count > 0 && !stream->write_error ? drop_until_the_end(linger) : count;
}

int stream_linger(async_stream *stream, const struct linger_limits *limits)
{
	struct lingering linger = {stream, limits, 0};

	if (limits->time <= 0 || !stream->is_socket || stream->state != STREAM_OPEN || stream->eof ||
	    stream->read_error || stream->write_error || stream->reading)
		return 0;
	ssize_t result = run(&linger);
	bytes_clear(&stream->input);
	return result == -ECANCELED ? -ECANCELED : 0;
}
