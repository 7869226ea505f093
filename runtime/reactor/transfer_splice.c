/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Of splice(2) only the end that is a pipe can be told not to wait; sendfile(2) cannot be told at all. A socket
 * that is set to wait is set not to for as long as the call takes, as for accept(2); a terminal or a device is asked
 * first whether it is ready, and gets no more than it then has room for. io_uring would give a splice to a thread at
 * once, and so has nothing better.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/sendfile.h>

#include "base/fault.h"
#include "reactor/transfer.h"

static int64_t splice_now(const void *arg)
{
	const struct call *c = arg;
	unsigned flags = (unsigned)c->flags | SPLICE_F_NONBLOCK;

	if (c->code == CALL_SENDFILE)
		return RETRY_EINTR(SYS("sendfile", sendfile(c->to_fd, c->fd, c->from, c->size)));
	return RETRY_EINTR(SYS("splice", splice(c->fd, c->from, c->to_fd, c->to, c->size, flags)));
}

/* What neither a flag nor O_NONBLOCK of its own keeps from waiting. */
static bool is_asked_first(uint8_t kind)
{
	return kind == FD_TERMINAL || kind == FD_OTHER;
}

static int64_t ready(const struct call *c)
{
	int64_t n = is_asked_first(c->kind) ? transfer_poll(c->fd, POLLIN) : 0;

	if (n >= 0 && is_asked_first(c->to_kind))
		n = transfer_poll(c->to_fd, POLLOUT);
	return n;
}

int64_t transfer_splice(const struct call *call)
{
	struct call c = *call;
	struct pipe_guard guard;
	int64_t n = ready(&c);

	if (is_asked_first(c.to_kind) && c.size > TERMINAL_ROOM)
		c.size = TERMINAL_ROOM;
	pipe_guard_begin(&guard);
	if (n >= 0 && c.kind == FD_SOCKET)
		n = transfer_without_waiting(c.fd, splice_now, &c);
	else if (n >= 0 && c.to_kind == FD_SOCKET)
		n = transfer_without_waiting(c.to_fd, splice_now, &c);
	else if (n >= 0)
		n = splice_now(&c);
	pipe_guard_end(&guard, n == -EPIPE);
	return n == -EAGAIN ? CALL_WOULD_WAIT : n;
}
