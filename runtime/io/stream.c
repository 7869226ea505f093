/* SPDX-License-Identifier: MIT */
#include "io/stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <async/io.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/versioned.h"
#include "sync/waiters.h"

#define LIMIT_DEFAULT (64 << 10)
#define LIMIT_MAX (1 << 30)
#define HIGH_WATER_DEFAULT (64 << 10)

/* The streams of a loop */

static void flush_dirty(struct async_loop *loop, struct loop_hook *hook)
{
	struct streams *streams = container_of(hook, struct streams, hook);
	struct list *node;

	(void)loop;
	while ((node = list_pop(&streams->dirty)))
		stream_flush(list_entry(node, async_stream, dirty));
}

static void release(async_stream *stream)
{
	list_remove(&stream->link);
	list_remove(&stream->dirty);
	bytes_clear(&stream->input);
	bytes_clear(&stream->sending);
	bytes_clear(&stream->pending);
	mem_free(stream);
}

static void close_all(struct async_loop *loop, struct loop_hook *hook)
{
	struct streams *streams = container_of(hook, struct streams, hook);

	(void)loop;
	list_for_each_safe(node, &streams->all) {
		async_stream *stream = list_entry(node, async_stream, link);

		if (stream->fd >= 0 && !stream->keep_fd)
			close(stream->fd);
		release(stream);
	}
	list_remove(&hook->link);
	mem_free(streams);
}

/* Made when a loop first needs it; NULL without memory. */
static struct streams *streams_of(struct async_loop *loop)
{
	struct loop_hook *hook = loop_find_hook(loop, close_all);

	if (hook)
		return container_of(hook, struct streams, hook);
	struct streams *streams = mem_zalloc(sizeof(*streams));
	if (!streams)
		return NULL;
	streams->hook = (struct loop_hook){.turn = flush_dirty, .end = close_all};
	streams->loop = loop;
	list_init(&streams->all);
	list_init(&streams->dirty);
	loop_add_hook(loop, &streams->hook);
	return streams;
}

int stream_check(const async_stream *stream)
{
	return stream ? loop_check(stream->streams->loop) : -EINVAL;
}

/* Opening */

static int read_options(const struct async_stream_options *given, struct async_stream_options *options)
{
	int error = given ? versioned_copy(options, sizeof(*options), given) : 0;

	if (error)
		return error;
	if (options->limit == 0)
		options->limit = LIMIT_DEFAULT;
	if (options->high_water == 0)
		options->high_water = HIGH_WATER_DEFAULT;
	if (options->low_water == 0)
		options->low_water = options->high_water / 4;
	return options->limit > LIMIT_MAX || options->low_water > options->high_water ? -EINVAL : 0;
}

static int look_at(async_stream *stream)
{
	struct stat status;
	int flags = (int)SYS("fcntl", fcntl(stream->fd, F_GETFL));

	if (flags < 0)
		return flags;
	stream->readable = (flags & O_ACCMODE) != O_WRONLY;
	stream->output = (flags & O_ACCMODE) != O_RDONLY ? OUTPUT_OPEN : OUTPUT_NONE;
	int error = (int)SYS("fstat", fstat(stream->fd, &status));
	stream->is_socket = error == 0 && S_ISSOCK(status.st_mode);
	return error;
}

int async_stream_open(int fd, const struct async_stream_options *given, async_stream **ret_stream)
{
	struct async_stream_options options = {0};
	struct async_loop *loop = loop_running;
	struct reactor *reactor;
	int error = ret_stream ? read_options(given, &options) : -EINVAL;

	if (!error && !loop)
		error = -EPERM;
	if (!error)
		error = loop_reactor(loop, &reactor);
	if (error)
		return error;
	struct streams *streams = streams_of(loop);
	async_stream *stream = streams ? mem_zalloc(sizeof(*stream)) : NULL;
	if (!stream)
		return -ENOMEM;
	stream->streams = streams;
	stream->fd = fd;
	stream->keep_fd = options.keep_fd;
	stream->limit = options.limit;
	stream->high_water = options.high_water;
	stream->low_water = options.low_water;
	error = look_at(stream);
	if (error) {
		mem_free(stream);
		return error;
	}
	list_init(&stream->dirty);
	list_init(&stream->drainers);
	list_append(&streams->all, &stream->link);
	*ret_stream = stream;
	return 0;
}

int async_stream_fd(const async_stream *stream)
{
	if (!stream)
		return -EINVAL;
	return stream->fd < 0 ? -EBADF : stream->fd;
}

/* Closing */

int stream_close_fd(async_stream *stream)
{
	int fd = stream->fd;

	stream->fd = -1;
	if (fd < 0 || stream->keep_fd)
		return 0;
	reactor_forget(stream->streams->loop->reactor, fd);
	/* Linux closes the descriptor even if it was interrupted. */
	int error = (int)SYS("close", close(fd));
	return error == -EINTR ? 0 : error;
}

void stream_settle(async_stream *stream)
{
	struct stream_closer *closer = stream->closer;

	if (stream->writing || stream->reading)
		return;
	if (stream->state == STREAM_ABORTED) {
		stream_close_fd(stream);
		release(stream);
	} else if (closer && closer->task->state == TASK_PARKED && async_stream_unsent(stream) == 0) {
		task_wake(closer->task, 0);
	}
}

/* Those who wait are told that it is over. */
static void turn_away(async_stream *stream, enum stream_state state)
{
	stream->state = (uint8_t)state;
	stream_wake_drainers(stream, -EBADF);
	if (stream->reading)
		fd_withdraw(stream->reading);
}

/* What has been sent stands, so that a cancellation which comes after that is too late. */
static const struct wait_class wait_sent = {
	.name = "the last of a stream to be sent", .keeps_result = true, .withdraw = waiter_withdraw};

/* Returns 0 when nothing refers to the stream any more, or why it is gone. */
static int wait_until_sent(async_stream *stream, struct task *task)
{
	struct stream_closer closer = {.task = task};

	if (!stream->writing && !stream->reading)
		return 0;
	stream->closer = &closer;
	int result = (int)task_park(task, &wait_sent, stream);
	if (closer.aborted)
		return result ? result : -EBADF;
	stream->closer = NULL;
	if (result < 0)
		async_stream_abort(stream);
	return result;
}

int async_stream_close(async_stream *stream)
{
	struct task *task = task_current();
	int error = stream_check(stream);

	if (error)
		return error;
	if (!task || task->future.loop != stream->streams->loop)
		return -EPERM;
	if (stream->state != STREAM_OPEN)
		return -EBUSY;
	turn_away(stream, STREAM_CLOSING);
	stream_flush(stream);
	error = wait_until_sent(stream, task);
	if (error)
		return error;
	int fd = stream->keep_fd ? -1 : stream->fd;
	error = stream->write_error;
	release(stream);
	int closed = fd >= 0 ? async_close(fd) : 0;
	return error ? error : closed;
}

void async_stream_abort(async_stream *stream)
{
	static const struct linger reset = {.l_onoff = 1};

	/* Of a loop that closes the stream goes at its end, if a task's `destroy` still has it. */
	if (stream_check(stream) < 0)
		return;
	struct async_loop *loop = stream->streams->loop;
	struct stream_closer *closer = stream->closer;
	if (closer) {
		closer->aborted = true;
		if (closer->task->state == TASK_PARKED)
			task_wake(closer->task, -EBADF);
	}
	turn_away(stream, STREAM_ABORTED);
	/* Sockets that have no use for it ignore it. */
	if (stream->is_socket && !stream->keep_fd)
		(void)SYS("setsockopt", setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)));
	if (reactor_cancel(loop->reactor, &stream->op))
		stream->writing = false;
	stream_drop_output(stream);
	stream_settle(stream);
	loop_rouse(loop);
}
