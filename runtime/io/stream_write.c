/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Writing is an operation of the stream's own, not a task: what it is about (`sending`) belongs to the kernel
 * and does not move; what is written meanwhile gathers in `pending` and takes its place when it is through.
 *
 * A write is not submitted at once but when the loop turns to the kernel, or when a task waits for input of the stream,
 * whichever is first: an answer that is put together from several writes is one system call on either reactor.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/fault.h"
#include "io/stream.h"
#include "sync/waiters.h"

/* Copying as much takes longer than a system call. */
#define OFFER_MIN ((size_t)32 << 10)

void stream_wake_drainers(async_stream *stream, int result)
{
	struct list *node;

	while ((node = list_pop(&stream->drainers)))
		if (waiter_waits(node))
			task_wake(waiter_task(node), result);
}

void stream_drop_output(async_stream *stream)
{
	if (!stream->writing)
		bytes_clear(&stream->sending);
	bytes_clear(&stream->pending);
	list_remove(&stream->dirty);
}

static void fail(async_stream *stream, int error)
{
	stream->write_error = error;
	stream_drop_output(stream);
	stream_wake_drainers(stream, error);
}

/* The operation has its result. */
static void account(async_stream *stream, int64_t result)
{
	stream->writing = false;
	if (result <= 0) {
		fail(stream, result < 0 ? (int)result : -EIO);
		return;
	}
	stream->moved += (uint64_t)result;
	stream->sending.start += (size_t)result;
	stream->sending.size -= (size_t)result;
	if (stream->sending.size == 0)
		bytes_clear(&stream->sending);
	if (async_stream_unsent(stream) <= stream->low_water)
		stream_wake_drainers(stream, 0);
}

static void end_output(async_stream *stream)
{
	int error = 0;

	stream->output = OUTPUT_ENDED;
	if (stream->is_socket)
		error = (int)SYS("shutdown", shutdown(stream->fd, SHUT_WR));
	else if (!stream->readable && !stream->keep_fd)
		error = stream_close_fd(stream);
	/* Nobody is there to be told. */
	if (error == -ENOTCONN)
		error = 0;
	if (!stream->write_error)
		stream->write_error = error;
	if (stream->lingers && stream->reading)
		fd_withdraw(stream->reading);
}

static void on_sent(struct op *op)
{
	async_stream *stream = container_of(op, async_stream, op);

	fd_completed(stream->streams->loop, op);
	if (stream->state == STREAM_ABORTED) {
		stream->writing = false;
		bytes_clear(&stream->sending);
		stream_settle(stream);
		return;
	}
	account(stream, op->result);
	stream_flush(stream);
}

static void prepare(async_stream *stream, void *data, size_t size)
{
	op_init(&stream->op, stream->is_socket ? OP_SEND : OP_WRITE, stream->fd, data, size);
	stream->op.complete = on_sent;
}

/* True if it completed at once. */
static bool submit(async_stream *stream)
{
	prepare(stream, bytes_begin(&stream->sending), stream->sending.size);
	stream->writing = true;
	return reactor_submit(stream->streams->loop->reactor, &stream->op);
}

void stream_flush(async_stream *stream)
{
	list_remove(&stream->dirty);
	while (!stream->writing) {
		if (stream->sending.size == 0) {
			stream->sending = stream->pending;
			stream->pending = (struct bytes){0};
		}
		if (stream->sending.size == 0)
			break;
		if (submit(stream))
			account(stream, stream->op.result);
	}
	if (stream->writing)
		return;
	if (stream->output == OUTPUT_ENDING)
		end_output(stream);
	stream_settle(stream);
}

static int check_output(const async_stream *stream)
{
	int error = stream_check(stream);

	if (error)
		return error;
	return stream->output == OUTPUT_NONE ? -EBADF : stream->write_error;
}

static int check_write(const async_stream *stream)
{
	int error = check_output(stream);

	if (error)
		return error;
	return stream->state != STREAM_OPEN || stream->output != OUTPUT_OPEN ? -ESHUTDOWN : 0;
}

/* Something was appended. */
static void mark_dirty(async_stream *stream)
{
	struct async_loop *loop = stream->streams->loop;

	if (!list_empty(&stream->dirty))
		return;
	list_append(&stream->streams->dirty, &stream->dirty);
	/* A loop that is embedded shows that it wants service before it can wait. */
	if (loop->poll_fd >= 0)
		loop_notify(loop);
}

/*
 * What is large the kernel is offered first: it need not be copied twice then. Once in a slice, so that whoever writes
 * on and on comes to wait in a drain. Returns the count, or why writing failed.
 */
static ssize_t offer(async_stream *stream, const void *data, size_t size)
{
	struct async_loop *loop = stream->streams->loop;

	if (size < OFFER_MIN || async_stream_unsent(stream) > 0 || stream->offered_slice == loop->switches)
		return 0;
	stream->offered_slice = loop->switches;
	/* It only reads the data, and does not wait. */
	prepare(stream, (void *)(uintptr_t)data, size);
	stream->op.flags = MSG_DONTWAIT;
	reactor_submit(loop->reactor, &stream->op);
	ssize_t count = stream->op.result == -EAGAIN ? 0 : (ssize_t)stream->op.result;
	if (count < 0)
		fail(stream, (int)count);
	return count;
}

int async_stream_write(async_stream *stream, const void *data, size_t size)
{
	int error = check_write(stream);

	if (!error && (size > SSIZE_MAX || (size && !data)))
		error = -EINVAL;
	/* First, because all is written or nothing. */
	if (!error)
		error = bytes_reserve(&stream->pending, size);
	if (error)
		return error;
	ssize_t count = offer(stream, data, size);
	if (count < 0)
		return (int)count;
	error = bytes_append(&stream->pending, (const char *)data + count, size - (size_t)count);
	if (stream->pending.size == 0)
		bytes_clear(&stream->pending);
	mark_dirty(stream);
	return error;
}

int async_stream_writev(async_stream *stream, const struct iovec *parts, int count)
{
	int error = check_write(stream);
	size_t size = 0;

	if (error)
		return error;
	if (count < 0 || (count && !parts))
		return -EINVAL;
	for (int i = 0; i < count; i++) {
		if (parts[i].iov_len > SSIZE_MAX - size || (parts[i].iov_len && !parts[i].iov_base))
			return -EINVAL;
		size += parts[i].iov_len;
	}
	error = bytes_reserve(&stream->pending, size);
	/* There is room for all of them. */
	for (int i = 0; i < count && !error; i++)
		error = bytes_append(&stream->pending, parts[i].iov_base, parts[i].iov_len);
	if (!error)
		mark_dirty(stream);
	return error;
}

static int append_formatted(struct bytes *pending, const char *format, va_list args)
{
	va_list again;

	va_copy(again, args);
	int size = vsnprintf(NULL, 0, format, args);
	int error = size < 0 ? -errno : bytes_reserve(pending, (size_t)size + 1);

	if (!error) {
		/* The NUL is not of it. */
		vsnprintf(bytes_begin(pending) + pending->size, (size_t)size + 1, format, again);
		pending->size += (size_t)size;
	}
	va_end(again);
	return error;
}

int async_stream_printf(async_stream *stream, const char *format, ...)
{
	int error = check_write(stream);
	va_list args;

	if (error || !format)
		return error ? error : -EINVAL;
	va_start(args, format);
	error = append_formatted(&stream->pending, format, args);
	va_end(args);
	if (!error)
		mark_dirty(stream);
	return error;
}

static const struct wait_class wait_drain = {.name = "a drain", .withdraw = waiter_withdraw};

int async_stream_drain(async_stream *stream)
{
	struct task *task = task_current();
	int error = stream_check(stream);

	if (error)
		return error;
	if (!task || task->future.loop != stream->streams->loop)
		return -EPERM;
	if (stream->state != STREAM_OPEN)
		return -EBADF;
	if (stream->write_error || async_stream_unsent(stream) <= stream->high_water)
		return stream->write_error;
	list_append(&stream->drainers, &task->watcher.link);
	intptr_t result = task_park(task, &wait_drain, stream);
	list_remove(&task->watcher.link);
	return (int)result;
}

int async_stream_write_eof(async_stream *stream)
{
	int error = check_output(stream);

	if (error)
		return error;
	if (stream->state != STREAM_OPEN)
		return -ESHUTDOWN;
	if (stream->output != OUTPUT_OPEN)
		return 0;
	stream->output = OUTPUT_ENDING;
	/* What is written goes along with the end. */
	stream_flush(stream);
	return stream->write_error;
}

size_t async_stream_unsent(const async_stream *stream)
{
	return stream ? stream->sending.size + stream->pending.size : 0;
}
