/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. O_NONBLOCK belongs to the open file description, which a descriptor may share with other processes,
 * so each call must ask for itself: MSG_DONTWAIT on sockets, RWF_NOWAIT elsewhere. Where a file has neither, a
 * terminal is opened a second time with the flag (the description is then ours alone), and anything else is
 * polled first and read or written if it is ready.
 *
 * SIGPIPE is avoided by MSG_NOSIGNAL on sockets and by RWF_NOSIGNAL (Linux 6.18) elsewhere; on older kernels it
 * is blocked around the write and taken back.
 */
#include "reactor/transfer.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own_fd.h"

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif

static sigset_t sigpipe_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	return set;
}

void pipe_guard_begin(struct pipe_guard *guard)
{
	sigset_t set = sigpipe_set(), pending;
	struct sigaction action;

	sigaction(SIGPIPE, NULL, &action);
	guard->active = action.sa_handler != SIG_IGN;
	if (!guard->active)
		return;
	sigpending(&pending);
	guard->was_pending = sigismember(&pending, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, &guard->old);
}

void pipe_guard_end(struct pipe_guard *guard, bool raised)
{
	static const struct timespec at_once;
	sigset_t set = sigpipe_set();

	if (!guard->active)
		return;
	/* One that was pending before is not ours to take. */
	if (raised && !guard->was_pending)
		while (sigtimedwait(&set, NULL, &at_once) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &guard->old, NULL);
}

int64_t transfer_poll(int fd, short events)
{
	struct pollfd pfd = {.fd = fd, .events = events};
	int64_t n = RETRY_EINTR(SYS("poll", poll(&pfd, 1, 0)));

	if (n <= 0)
		return n == 0 ? -EAGAIN : n;
	return pfd.revents & POLLNVAL ? -EBADF : pfd.revents;
}

/* What a read or a write transfers, in parts; `one` is for a single one. */
static struct msghdr parts_of(const struct op *op, struct iovec *one)
{
	if (op->code == OP_READV || op->code == OP_WRITEV)
		return *(const struct msghdr *)op->buffer;
	*one = (struct iovec){.iov_base = op->buffer, .iov_len = op->size};
	return (struct msghdr){.msg_iov = one, .msg_iovlen = 1};
}

/* Leaves `limit` bytes, or the first of them: what does not fit as a whole need not be written as a whole. */
static void limit_parts(struct msghdr *parts, struct iovec *one, size_t limit)
{
	size_t left = limit;

	for (size_t i = 0; i < parts->msg_iovlen; i++) {
		const struct iovec *part = &parts->msg_iov[i];

		if (part->iov_len <= left) {
			left -= part->iov_len;
			continue;
		}
		if (left < limit) {
			parts->msg_iovlen = i;
		} else {
			*one = (struct iovec){.iov_base = part->iov_base, .iov_len = limit};
			*parts = (struct msghdr){.msg_iov = one, .msg_iovlen = 1};
		}
		return;
	}
}

static int64_t write_guarded(int fd, const struct msghdr *parts, int flags)
{
	struct pipe_guard guard;

	pipe_guard_begin(&guard);
	int64_t n = RETRY_EINTR(
		SYS("pwritev2", pwritev2(fd, parts->msg_iov, (int)parts->msg_iovlen, -1, flags)));

	pipe_guard_end(&guard, n == -EPIPE);
	return n;
}

static int64_t write_now(int fd, const struct msghdr *parts)
{
	static atomic_bool no_nosignal; /* the kernel is older */

	if (!atomic_load_explicit(&no_nosignal, memory_order_relaxed)) {
		int64_t n = RETRY_EINTR(SYS("pwritev2", pwritev2(fd, parts->msg_iov, (int)parts->msg_iovlen, -1,
								 RWF_NOWAIT | RWF_NOSIGNAL)));

		if (n != -EOPNOTSUPP)
			return n;
	}
	int64_t n = write_guarded(fd, parts, RWF_NOWAIT);

	/* Else it is RWF_NOWAIT that this file lacks. */
	if (n != -EOPNOTSUPP)
		atomic_store_explicit(&no_nosignal, true, memory_order_relaxed);
	return n;
}

static bool same_terminal(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && S_ISCHR(sa.st_mode) && sa.st_rdev == sb.st_rdev &&
	       sa.st_ino == sb.st_ino && sa.st_dev == sb.st_dev;
}

/*
 * A second, non-blocking description of the same terminal, made once; < 0 if it cannot be had. It is compared
 * at each use, as the number may meanwhile stand for something else. A pseudo-terminal's master has none:
 * opening it makes a new pair.
 */
static int terminal_twin(struct fd_entry *e)
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	unsigned int number;

	if (e->twin >= 0) {
		if (same_terminal(e->fd, e->twin))
			return e->twin;
		close(e->twin);
		e->twin = -1;
	}
	int flags = fcntl(e->fd, F_GETFL);

	if (flags < 0 || ioctl(e->fd, TIOCGPTN, &number) == 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", e->fd);
	int twin = own_open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY, 0);

	if (twin >= 0 && !same_terminal(e->fd, twin)) {
		close(twin);
		return -1;
	}
	e->twin = twin;
	return twin;
}

/* Where each call cannot say that it must not wait. */
static int64_t try_without_flags(struct fd_entry *e, const struct op *op)
{
	bool reads = op_is_read(op);
	struct iovec one;
	struct msghdr parts = parts_of(op, &one);
	int fd = e->kind == FD_TERMINAL ? terminal_twin(e) : -1;

	if (e->kind == FD_FILE)
		return -EAGAIN;
	if (fd < 0) {
		int64_t ready = transfer_poll(e->fd, reads ? POLLIN : POLLOUT);

		if (ready < 0)
			return ready;
		/* A pipe that is ready has room for that much. */
		if (!reads && e->kind == FD_PIPE)
			limit_parts(&parts, &one, PIPE_BUF);
		/* So has a terminal's master, whose buffer grows by no less. */
		if (!reads && e->kind == FD_TERMINAL)
			limit_parts(&parts, &one, TERMINAL_ROOM);
		fd = e->fd;
	}
	if (reads)
		return SYS("readv", readv(fd, parts.msg_iov, (int)parts.msg_iovlen));
	return write_guarded(fd, &parts, 0);
}

static int64_t try_file(struct fd_entry *e, const struct op *op)
{
	struct iovec one;
	struct msghdr parts = parts_of(op, &one);
	int64_t n;

	if (e->direct)
		return -EAGAIN;
	if (e->kind == FD_TERMINAL)
		return try_without_flags(e, op);
	if (op_is_read(op))
		n = RETRY_EINTR(SYS("preadv2", preadv2(e->fd, parts.msg_iov, (int)parts.msg_iovlen, -1, RWF_NOWAIT)));
	else
		n = write_now(e->fd, &parts);
	return n == -EOPNOTSUPP ? try_without_flags(e, op) : n;
}

/* read(2) of nothing does not wait; a receive would. */
static bool reads_nothing(const struct op *op)
{
	struct iovec one;
	struct msghdr parts = parts_of(op, &one);
	size_t size = 0;

	for (size_t i = 0; i < parts.msg_iovlen; i++)
		size |= parts.msg_iov[i].iov_len;
	return op_is_read(op) && size == 0;
}

static int64_t try_socket(struct fd_entry *e, const struct op *op)
{
	if (reads_nothing(op))
		return 0;
	switch (op->code) {
	case OP_READ:
		return RETRY_EINTR(SYS("recv", recv(e->fd, op->buffer, op->size, MSG_DONTWAIT)));
	case OP_WRITE:
		return RETRY_EINTR(SYS("send", send(e->fd, op->buffer, op->size, MSG_DONTWAIT | MSG_NOSIGNAL)));
	case OP_READV:
		return RETRY_EINTR(SYS("recvmsg", recvmsg(e->fd, op->buffer, MSG_DONTWAIT)));
	default:
		return RETRY_EINTR(SYS("sendmsg", sendmsg(e->fd, op->buffer, MSG_DONTWAIT | MSG_NOSIGNAL)));
	}
}

int64_t transfer_try(struct fd_entry *e, struct op *op)
{
	if (op->code == OP_POLL)
		return transfer_poll(e->fd, op->events);
	if (op->code >= OP_RECV)
		return transfer_socket(op);
	if (e->kind == FD_SOCKET) {
		int64_t n = try_socket(e, op);

		if (n != -ENOTSOCK)
			return n;
		n = fd_entry_identify(e);
		if (n < 0)
			return n;
	}
	return try_file(e, op);
}

int64_t transfer_wait(const struct op *op)
{
	struct iovec one;
	struct msghdr parts = parts_of(op, &one);

	if (op_is_read(op))
		return RETRY_EINTR(SYS("readv", readv(op->fd, parts.msg_iov, (int)parts.msg_iovlen)));
	return write_guarded(op->fd, &parts, 0);
}
