/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Whoever waits holds no buffer: what comes first is received into the caller's memory, or into a little on the
 * task's stack, and only what has come is kept. From then on there is a buffer to go on with, until it is empty.
 *
 * So bytes may have come that there is no memory to keep. A stream with a hole in it is of no use: reading ends there.
 */
#include <limits.h>
#include <string.h>

#include "core/schedule.h"
#include "io/stream.h"

/* The first read. The page of the stack on which it is, is there anyway. */
#define FIRST_READ 1024
#define SEPARATOR_MAX ((size_t)1 << 30)

/* What says nothing of the descriptor: the next read may succeed. */
static bool is_passing(ssize_t error)
{
	return error == -ECANCELED || error == -ENOMEM || error == -ENOBUFS || error == -EAGAIN || error == -EBUSY ||
	       error == -EINTR;
}

/* Receives once. Returns the count, 0 at the end, or an error. */
static ssize_t receive(async_stream *stream, void *buffer, size_t size)
{
	struct fd_wait *wait = stream->reading;

	if (stream->eof || stream->read_error)
		return stream->read_error;
	/* The peer may wait for that before it says more. */
	if (!list_empty(&stream->dirty))
		stream_flush(stream);
	op_init(&wait->op, stream->is_socket ? OP_RECV : OP_READ, stream->fd, buffer, size);
	ssize_t count = fd_perform_in(wait);

	if (stream->state != STREAM_OPEN)
		return count == -ECANCELED ? count : -EBADF;
	if (count > 0)
		stream->moved += (uint64_t)count;
	else if (count == 0)
		stream->eof = true;
	else if (!is_passing(count))
		stream->read_error = (int)count;
	return count;
}

/* Keeps bytes that have been received. Returns 0, or the error with which reading ends. */
static int keep(async_stream *stream, const void *data, size_t size)
{
	int error = bytes_append(&stream->input, data, size);

	if (error)
		stream->read_error = error;
	return error;
}

static void adapt(async_stream *stream, size_t had, size_t asked)
{
	if (had < asked)
		stream->read_size = FIRST_READ;
	else
		stream->read_size = asked * 2 < stream->limit ? asked * 2 : stream->limit;
}

static ssize_t receive_first(async_stream *stream)
{
	char first[FIRST_READ];
	ssize_t count = receive(stream, first, sizeof(first));

	if (count <= 0)
		return count;
	adapt(stream, (size_t)count, sizeof(first));
	int error = keep(stream, first, (size_t)count);
	return error ? error : count;
}

/* Receives more behind what is there. */
static ssize_t receive_more(async_stream *stream)
{
	struct bytes *input = &stream->input;

	if (input->size == 0) {
		bytes_clear(input);
		return receive_first(stream);
	}
	int error = bytes_reserve(input, input->size > stream->read_size ? input->size : stream->read_size);
	if (error)
		return error;
	size_t space = bytes_free_space(input);
	ssize_t count = receive(stream, bytes_begin(input) + input->size, space);
	if (count > 0) {
		input->size += (size_t)count;
		adapt(stream, (size_t)count, space);
	}
	return count;
}

/* The calling task becomes the one that reads. 0 or -errno. */
static int begin(async_stream *stream, struct fd_wait *wait)
{
	int error = stream_check(stream);

	if (error)
		return error;
	wait->task = task_current();
	if (!wait->task || wait->task->future.loop != stream->streams->loop)
		return -EPERM;
	if (!stream->readable || stream->state != STREAM_OPEN)
		return -EBADF;
	if (stream->reading)
		return -EBUSY;
	wait->op.state = OP_IDLE;
	stream->reading = wait;
	return 0;
}

/* May free the stream, if it was closed meanwhile. */
static ssize_t end(async_stream *stream, ssize_t result)
{
	stream->reading = NULL;
	if (stream->state != STREAM_OPEN)
		stream_settle(stream);
	return result;
}

ssize_t async_stream_read(async_stream *stream, void *buffer, size_t size)
{
	struct fd_wait wait;
	int error = begin(stream, &wait);

	if (error)
		return error;
	if (size == 0 || !buffer)
		return end(stream, size == 0 ? 0 : -EINVAL);
	size_t count = bytes_take(&stream->input, buffer, size);
	if (count > 0)
		return end(stream, (ssize_t)count);
	bytes_clear(&stream->input);
	return end(stream, receive(stream, buffer, size));
}

static ssize_t read_exactly(async_stream *stream, char *buffer, size_t size)
{
	size_t had = bytes_take(&stream->input, buffer, size);

	if (had < size)
		bytes_clear(&stream->input);
	while (had < size) {
		ssize_t count = receive(stream, buffer + had, size - had);

		if (count == 0)
			break;
		if (count < 0) {
			int error = had ? keep(stream, buffer, had) : 0;

			return error ? error : count;
		}
		had += (size_t)count;
	}
	return (ssize_t)had;
}

ssize_t async_stream_readexactly(async_stream *stream, void *buffer, size_t size)
{
	struct fd_wait wait;
	int error = begin(stream, &wait);

	if (error)
		return error;
	if (size > SSIZE_MAX || (size && !buffer))
		return end(stream, -EINVAL);
	return end(stream, read_exactly(stream, buffer, size));
}

/* The bytes stay where they are until the next read. */
static ssize_t hand_out(struct bytes *input, size_t size, char **ret_data)
{
	if (size > 0)
		*ret_data = bytes_begin(input);
	input->start += size;
	input->size -= size;
	return (ssize_t)size;
}

/* As asyncio counts, what is before the separator must not be longer than the limit. */
static ssize_t read_until(async_stream *stream, const void *separator, size_t size, char **ret_data)
{
	struct bytes *input = &stream->input;
	size_t searched = 0;

	for (;;) {
		if (input->size >= size) {
			const char *from = bytes_begin(input);
			const char *found = memmem(from + searched, input->size - searched, separator, size);

			if (found && (size_t)(found - from) > stream->limit)
				return -EMSGSIZE;
			if (found)
				return hand_out(input, (size_t)(found - from) + size, ret_data);
			/* The last bytes may be the beginning of one. */
			searched = input->size - size + 1;
			if (searched > stream->limit)
				return -EMSGSIZE;
		}
		ssize_t count = receive_more(stream);
		if (count == 0)
			return hand_out(input, input->size, ret_data);
		if (count < 0)
			return count;
	}
}

ssize_t async_stream_readuntil(async_stream *stream, const void *separator, size_t size, char **ret_data)
{
	struct fd_wait wait;
	int error = begin(stream, &wait);

	if (error)
		return error;
	if (!separator || size == 0 || size > SEPARATOR_MAX || !ret_data)
		return end(stream, -EINVAL);
	return end(stream, read_until(stream, separator, size, ret_data));
}

ssize_t async_stream_readline(async_stream *stream, char **ret_line)
{
	return async_stream_readuntil(stream, "\n", 1, ret_line);
}

bool async_stream_at_eof(const async_stream *stream)
{
	return stream && stream->eof && stream->input.size == 0;
}

size_t async_stream_buffered(const async_stream *stream)
{
	return stream ? stream->input.size : 0;
}
