/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Opening a FIFO waits for its other end, for ever perhaps. A thread that does so cannot be called back, so
 * none does: the FIFO is opened with O_NONBLOCK, and the task waits. A reader has its end at once, and is told of data
 * and of a writer that has been and gone; that a writer is there and silent, and that a reader has come, the kernel
 * does not tell, so it is looked for after pauses that grow.
 */
#include "io/fifo.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <async/io.h>
#include <async/task.h>
#include <async/timeout.h>

#include "base/fault.h"
#include "base/own_fd.h"
#include "io/fd.h"
#include "io/pause.h"
#include "reactor/transfer.h"

bool fifo_open_waits(int flags)
{
	int mode = flags & O_ACCMODE;

	return (mode == O_RDONLY || mode == O_WRONLY) && !(flags & (O_NONBLOCK | O_PATH | O_DIRECTORY));
}

/* 1, 0 or -errno. The kernel answers it to who wants to copy the data: there is none, but there might be. */
static int has_writer(int fd)
{
	int scratch[2];
	int error = own_pipe(scratch);

	if (error)
		return error;
	int64_t count = SYS("tee", tee(fd, scratch[1], 1, SPLICE_F_NONBLOCK));
	close(scratch[0]);
	close(scratch[1]);
	if (count == -EAGAIN)
		return 1;
	return (int)count;
}

/* Waits until the FIFO has, or had, a writer. */
static int await_writer(int fd)
{
	for (async_time pause = PAUSE_MIN;; pause = next_pause(pause)) {
		struct async_timeout limit = ASYNC_TIMEOUT_INIT;
		int found = has_writer(fd);

		if (found)
			return found < 0 ? found : 0;
		int events = async_timeout_begin(&limit, pause);
		events = (int)async_timeout_end(&limit, events ? events : async_poll(fd, POLLIN));
		if (events != -ETIMEDOUT)
			return events < 0 ? events : 0;
	}
}

/* The reader's end as the caller gets it, or the error instead of it. */
static int finish_reader(int fd)
{
	int error = await_writer(fd);

	if (!error)
		return fd;
	(void)!async_close(fd);
	return error;
}

static int make_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	(void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	return fd;
}

/* Opens it as if it were asked not to wait, until that succeeds. */
static int open_fifo(const struct call *call)
{
	struct call c = *call;
	int fd;

	c.flags |= O_NONBLOCK;
	c.no_fifo = false;
	for (async_time pause = PAUSE_MIN;; pause = next_pause(pause)) {
		fd = (int)fd_perform_call(c.path[0] == '/' ? -1 : c.fd, &c);
		if (fd != -ENXIO)
			break;
		int error = async_sleep(pause);
		if (error)
			return error;
	}
	if (fd >= 0 && (c.flags & O_ACCMODE) == O_RDONLY)
		fd = finish_reader(fd);
	return fd < 0 ? fd : make_blocking(fd);
}

/* Without a wait for the disk: it was looked up just now. */
static bool is_fifo_at(const struct call *call)
{
	struct stat status;
	int flags = call->flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0;

	return SYS("fstatat", fstatat(call->fd, call->path, &status, flags)) == 0 && S_ISFIFO(status.st_mode);
}

static bool is_fifo(int fd)
{
	struct stat status;

	return SYS("fstat", fstat(fd, &status)) == 0 && S_ISFIFO(status.st_mode);
}

int fifo_open(const struct call *call, int result)
{
	bool reads = (call->flags & O_ACCMODE) == O_RDONLY;

	if (result == CALL_WOULD_WAIT || (!reads && result == -ENXIO && is_fifo_at(call)))
		return open_fifo(call);
	/* The ring opens without waiting, and has taken the flag away again. */
	if (reads && result >= 0 && is_fifo(result))
		return finish_reader(result);
	return result;
}
