/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Messages say MSG_DONTWAIT for themselves. Accepting and connecting cannot: a socket that is set to wait
 * is set not to for as long as the call takes. A connection that could not be made at once goes on by itself; its
 * outcome is there when the socket becomes writable.
 */
#include <fcntl.h>
#include <poll.h>

#include "base/fault.h"
#include "reactor/transfer.h"

static int64_t accept_now(const void *arg)
{
	const struct op *op = arg;

	return RETRY_EINTR(SYS("accept4", accept4(op->fd, op->buffer, op->length, op->flags)));
}

static int64_t connect_now(const void *arg)
{
	const struct op *op = arg;

	return SYS("connect", connect(op->fd, op->buffer, (socklen_t)op->size));
}

int64_t transfer_without_waiting(int fd, int64_t (*call)(const void *arg), const void *arg)
{
	int flags = (int)SYS("fcntl", fcntl(fd, F_GETFL));
	int err = flags < 0 ? flags : 0;

	if (err == 0 && !(flags & O_NONBLOCK))
		err = (int)SYS("fcntl", fcntl(fd, F_SETFL, flags | O_NONBLOCK));
	if (err < 0)
		return err;
	int64_t result = call(arg);

	if (!(flags & O_NONBLOCK))
		(void)fcntl(fd, F_SETFL, flags);
	return result;
}

static int64_t connect_outcome(const struct op *op)
{
	int64_t ready = transfer_poll(op->fd, POLLOUT);
	int error = 0;
	socklen_t size = sizeof(error);

	if (ready < 0)
		return ready;
	int64_t err = SYS("getsockopt", getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &error, &size));
	return err < 0 ? err : -error;
}

static int64_t try_connect(struct op *op)
{
	if (op->connecting)
		return connect_outcome(op);
	int64_t result = transfer_without_waiting(op->fd, connect_now, op);

	if (result == -EAGAIN)
		return OP_NO_EVENT;
	/* One that was interrupted goes on, too. */
	if (result != -EINPROGRESS && result != -EINTR)
		return result;
	op->connecting = true;
	return -EAGAIN;
}

static bool is_for_unix_peer(const struct op *op)
{
	const struct msghdr *message = op->buffer;
	const struct sockaddr *address = message->msg_name;

	return address && message->msg_namelen >= sizeof(address->sa_family) && address->sa_family == AF_UNIX;
}

static int64_t send_message(const struct op *op, int flags)
{
	int64_t n = RETRY_EINTR(SYS("sendmsg", sendmsg(op->fd, op->buffer, flags | MSG_NOSIGNAL)));

	/* Our socket has room: it is the receiver's queue that is full, and that shows only to who is connected to it.
	 * Each try in vain makes ours seem to have got room, too: an event that tells nothing. */
	return n == -EAGAIN && is_for_unix_peer(op) && transfer_poll(op->fd, POLLOUT) >= 0 ? OP_NO_EVENT : n;
}

int64_t transfer_socket(struct op *op)
{
	int flags = op->flags | MSG_DONTWAIT;

	switch (op->code) {
	case OP_RECV:
		return RETRY_EINTR(SYS("recv", recv(op->fd, op->buffer, op->size, flags)));
	case OP_SEND:
		return RETRY_EINTR(SYS("send", send(op->fd, op->buffer, op->size, flags | MSG_NOSIGNAL)));
	case OP_RECVMSG:
		return RETRY_EINTR(SYS("recvmsg", recvmsg(op->fd, op->buffer, flags)));
	case OP_SENDMSG:
		return send_message(op, flags);
	case OP_ACCEPT:
		return transfer_without_waiting(op->fd, accept_now, op);
	default:
		return try_connect(op);
	}
}
