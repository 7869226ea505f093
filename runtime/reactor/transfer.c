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

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif

/* The kernel's TTYB_ALIGN_MASK + 1. */
#define TERMINAL_ROOM 256

struct pipe_guard {
	sigset_t old;
	bool active, was_pending;
};

static sigset_t sigpipe_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	return set;
}

static void guard_begin(struct pipe_guard *guard)
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

static void guard_end(struct pipe_guard *guard, bool raised)
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

static int64_t write_guarded(int fd, const struct iovec *iov, int flags)
{
	struct pipe_guard guard;

	guard_begin(&guard);
	int64_t n = RETRY_EINTR(SYS("pwritev2", pwritev2(fd, iov, 1, -1, flags)));

	guard_end(&guard, n == -EPIPE);
	return n;
}

static int64_t write_now(int fd, const struct iovec *iov)
{
	static atomic_bool no_nosignal; /* the kernel is older */

	if (!atomic_load_explicit(&no_nosignal, memory_order_relaxed)) {
		int64_t n = RETRY_EINTR(SYS("pwritev2", pwritev2(fd, iov, 1, -1, RWF_NOWAIT | RWF_NOSIGNAL)));

		if (n != -EOPNOTSUPP)
			return n;
	}
	int64_t n = write_guarded(fd, iov, RWF_NOWAIT);

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
	int twin = (int)SYS("open", open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));

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
	bool reads = op->code == OP_READ;
	size_t size = op->size;
	int fd = e->kind == FD_TERMINAL ? terminal_twin(e) : -1;

	if (e->kind == FD_FILE)
		return -EAGAIN;
	if (fd < 0) {
		int64_t ready = transfer_poll(e->fd, reads ? POLLIN : POLLOUT);

		if (ready < 0)
			return ready;
		/* A pipe that is ready has room for that much. */
		if (!reads && e->kind == FD_PIPE && size > PIPE_BUF)
			size = PIPE_BUF;
		/* So has a terminal's master, whose buffer grows by no less. */
		if (!reads && e->kind == FD_TERMINAL && size > TERMINAL_ROOM)
			size = TERMINAL_ROOM;
		fd = e->fd;
	}
	if (reads)
		return SYS("read", read(fd, op->buffer, size));
	return write_guarded(fd, &(struct iovec){.iov_base = op->buffer, .iov_len = size}, 0);
}

static int64_t try_file(struct fd_entry *e, const struct op *op)
{
	struct iovec iov = {.iov_base = op->buffer, .iov_len = op->size};
	int64_t n;

	if (e->kind == FD_TERMINAL)
		return try_without_flags(e, op);
	if (op->code == OP_READ)
		n = RETRY_EINTR(SYS("preadv2", preadv2(e->fd, &iov, 1, -1, RWF_NOWAIT)));
	else
		n = write_now(e->fd, &iov);
	return n == -EOPNOTSUPP ? try_without_flags(e, op) : n;
}

static int64_t try_socket(struct fd_entry *e, const struct op *op)
{
	if (op->code == OP_READ)
		return RETRY_EINTR(SYS("recv", recv(e->fd, op->buffer, op->size, MSG_DONTWAIT)));
	return RETRY_EINTR(SYS("send", send(e->fd, op->buffer, op->size, MSG_DONTWAIT | MSG_NOSIGNAL)));
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
	struct iovec iov = {.iov_base = op->buffer, .iov_len = op->size};

	if (op->code == OP_READ)
		return RETRY_EINTR(SYS("read", read(op->fd, op->buffer, op->size)));
	return write_guarded(op->fd, &iov, 0);
}
