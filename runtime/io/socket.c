/* SPDX-License-Identifier: MIT */
#include <async/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "base/fault.h"
#include "io/fd.h"
#include "io/socket.h"

int async_socket(int domain, int type, int protocol)
{
	return (int)SYS("socket", socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

int async_unix_address(const char *path, struct sockaddr_un *ret_address)
{
	if (!path || !ret_address)
		return -EINVAL;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(path), size = offsetof(struct sockaddr_un, sun_path);

	if (path[0] == '@') {
		/* An abstract name begins with a zero, and ends where the size says. */
		if (length > sizeof(address.sun_path))
			return -ENAMETOOLONG;
		memcpy(address.sun_path + 1, path + 1, length - 1);
		size += length;
	} else if (length > 0) {
		if (length >= sizeof(address.sun_path))
			return -ENAMETOOLONG;
		memcpy(address.sun_path, path, length);
		size += length + 1;
	}
	*ret_address = address;
	return (int)size;
}

/* An operation only reads the buffer of what sends. */
static void *unconst(const void *buffer)
{
	return (void *)(uintptr_t)buffer;
}

int async_accept(int fd, struct sockaddr *address, socklen_t *size)
{
	struct fd_wait waiting;

	op_init(&waiting.op, OP_ACCEPT, fd, address, address && size ? *size : 0);
	waiting.op.flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
	waiting.op.length = address ? size : NULL;
	return (int)fd_perform(&waiting);
}

static in_port_t port_of(const struct sockaddr *address)
{
	switch (address->sa_family) {
	case AF_INET:
		return ((const struct sockaddr_in *)address)->sin_port;
	case AF_INET6:
		return ((const struct sockaddr_in6 *)address)->sin6_port;
	default:
		return 0;
	}
}

bool socket_is_its_own_peer(int fd, const struct sockaddr *target)
{
	struct sockaddr_storage own = {0}, peer = {0};
	socklen_t own_size = sizeof(own), peer_size = sizeof(peer), type_size = sizeof(int);
	in_port_t port = port_of(target);
	int type = 0;

	/* Nearly always the ports tell already. */
	if (port == 0 || SYS("getsockname", getsockname(fd, (struct sockaddr *)&own, &own_size)) < 0 ||
	    port_of((struct sockaddr *)&own) != port)
		return false;
	if (SYS("getsockopt", getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size)) < 0 || type != SOCK_STREAM ||
	    SYS("getpeername", getpeername(fd, (struct sockaddr *)&peer, &peer_size)) < 0)
		return false;
	return own_size == peer_size && memcmp(&own, &peer, own_size) == 0;
}

int async_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	struct fd_wait waiting;

	op_init(&waiting.op, OP_CONNECT, fd, unconst(address), size);
	int error = (int)fd_perform(&waiting);
	if (error == 0 && address && socket_is_its_own_peer(fd, address)) {
		/* It may be used again, and does not keep the port from whom it is for. */
		static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

		(void)SYS("connect", connect(fd, &nobody, sizeof(nobody)));
		error = -ECONNREFUSED;
	}
	return error;
}

static ssize_t transfer(enum op_code code, int fd, void *buffer, size_t size, int flags)
{
	struct fd_wait waiting;

	if (flags & MSG_WAITALL)
		return -EINVAL;
	op_init(&waiting.op, code, fd, buffer, size);
	waiting.op.flags = flags;
	return fd_perform(&waiting);
}

ssize_t async_recv(int fd, void *buffer, size_t size, int flags)
{
	return transfer(OP_RECV, fd, buffer, size, flags);
}

ssize_t async_send(int fd, const void *buffer, size_t size, int flags)
{
	return transfer(OP_SEND, fd, unconst(buffer), size, flags);
}

ssize_t async_recvmsg(int fd, struct msghdr *message, int flags)
{
	if (!message)
		return -EINVAL;
	return transfer(OP_RECVMSG, fd, message, message->msg_name ? message->msg_namelen : 0, flags);
}

ssize_t async_sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (!message)
		return -EINVAL;
	return transfer(OP_SENDMSG, fd, unconst(message), 0, flags);
}

ssize_t async_recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *address, socklen_t *address_size)
{
	struct iovec part = {.iov_base = buffer, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (address && !address_size)
		return -EINVAL;
	if (address) {
		message.msg_name = address;
		message.msg_namelen = *address_size;
	}
	ssize_t count = async_recvmsg(fd, &message, flags);

	if (count >= 0 && address)
		*address_size = message.msg_namelen;
	return count;
}

ssize_t async_sendto(int fd, const void *buffer, size_t size, int flags, const struct sockaddr *address,
		     socklen_t address_size)
{
	struct iovec part = {.iov_base = unconst(buffer), .iov_len = size};
	struct msghdr message = {
		.msg_name = unconst(address), .msg_namelen = address_size, .msg_iov = &part, .msg_iovlen = 1};

	return async_sendmsg(fd, &message, flags);
}
