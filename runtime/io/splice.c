/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Bytes move in one system call that waits for neither end, so there is never a part of them under way.
 * Before it a file's pages are brought into memory, each by a read of one byte, which waits for the disk as any read
 * does; after it, if nothing could move, the task waits for the end that is not ready. Only what is written into a file
 * may wait for a disk in the call itself, so a worker makes it.
 */
#include <async/file.h>
#include <async/io.h>
#include <async/splice.h>
#include <async/task.h>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own_fd.h"
#include "io/fd.h"
#include "io/pause.h"
#include "reactor/call.h"
#include "reactor/transfer.h"

/* Of a file, at a time: what the kernel reads ahead. */
#define CHUNK ((size_t)128 << 10)
/* No machine's pages are smaller. */
#define PAGE 4096

static int identify(int fd, uint8_t *ret_kind)
{
	struct fd_entry e;

	fd_entry_init(&e, fd);
	int error = fd < 0 ? -EBADF : fd_entry_identify(&e);

	*ret_kind = e.kind;
	return error;
}

/* Has the pages of the file in memory. Returns < 0 if that failed. */
static ssize_t fetch(const struct call *call)
{
	off_t begin = call->from ? *call->from : lseek(call->fd, 0, SEEK_CUR);
	off_t end = begin + (off_t)call->size;
	ssize_t count = 1;

	if (begin < 0)
		return call->from ? -EINVAL : -errno;
	for (off_t at = begin; at < end && count > 0; at = (at / PAGE + 1) * PAGE) {
		char byte;

		count = SYS("preadv2", preadv2(call->fd, &(struct iovec){&byte, 1}, 1, at, RWF_NOWAIT));
		if (count == -EAGAIN || count == -EOPNOTSUPP || count == -EINTR)
			count = async_pread(call->fd, &byte, 1, at);
	}
	/* With O_DIRECT no byte can be read alone: then the call itself waits for the disk. */
	return count == -EINVAL ? 0 : count;
}

/* What is in a socket's error queue is no reason to go on, but shows as an error until somebody has read it. */
static int wait_for_end(int fd, short event, async_time *pause)
{
	int events = async_poll(fd, event);

	if (events < 0 || events & (event | POLLHUP)) {
		*pause = PAUSE_MIN;
		return events;
	}
	events = async_sleep(*pause);
	*pause = next_pause(*pause);
	return events;
}

/* Waits for one of the ends; if both seem ready, things have changed meanwhile. */
static int wait_for_ends(const struct call *call, async_time *pause)
{
	int64_t events = transfer_poll(call->fd, POLLIN);

	if (events == -EAGAIN || (events > 0 && !(events & (POLLIN | POLLHUP))))
		return wait_for_end(call->fd, POLLIN, pause);
	return wait_for_end(call->to_fd, POLLOUT, pause);
}

/* The worker gets a number of its own for what it reads: the other may be closed before it comes to it. */
static int64_t perform_in_worker(struct call call)
{
	int own = own_copy(call.fd);

	if (own < 0)
		return own;
	call.fd = own;
	int64_t count = fd_perform_call(call.to_fd, &call);

	close(own);
	return count;
}

static int64_t perform(struct call call)
{
	if (call.to_kind == FD_FILE)
		return perform_in_worker(call);
	return fd_perform_call(call.to_fd, &call);
}

static ssize_t move(struct call call, bool waits)
{
	async_time pause = PAUSE_MIN;
	ssize_t count;

	if (call.kind == FD_FILE && call.size > CHUNK)
		call.size = CHUNK;
	do {
		count = call.kind == FD_FILE ? fetch(&call) : 0;
		if (count >= 0)
			count = perform(call);
		if (count != CALL_WOULD_WAIT)
			return count;
		count = waits ? wait_for_ends(&call, &pause) : -EAGAIN;
	} while (count >= 0);
	return count;
}

static ssize_t prepare_and_move(struct call call, bool waits)
{
	int error = identify(call.fd, &call.kind);

	if (error == 0)
		error = identify(call.to_fd, &call.to_kind);
	/* Only the kernel's splice can do that without waiting for room. */
	if (call.code == CALL_SENDFILE && call.to_kind == FD_PIPE)
		call.code = CALL_SPLICE;
	return error < 0 ? error : move(call, waits);
}

ssize_t async_splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t size, unsigned flags)
{
	return prepare_and_move(
		(struct call){
			.code = CALL_SPLICE,
			.fd = in,
			.from = in_offset,
			.to_fd = out,
			.to = out_offset,
			.size = size,
			.flags = (int)flags,
		},
		!(flags & SPLICE_F_NONBLOCK));
}

ssize_t async_sendfile(int out, int in, off_t *offset, size_t size)
{
	return prepare_and_move(
		(struct call){.code = CALL_SENDFILE, .fd = in, .from = offset, .to_fd = out, .size = size}, true);
}
