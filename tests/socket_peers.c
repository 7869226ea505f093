/* SPDX-License-Identifier: MIT */
#include "socket_peers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

struct sockaddr *sa(struct address *address)
{
	return (struct sockaddr *)&address->storage;
}

bool has_family(enum family family)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = family == INET6 ? socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
	bool bound = family != INET6 || (fd >= 0 && bind(fd, (void *)&address, sizeof(address)) == 0);

	if (fd >= 0)
		close(fd);
	return bound;
}

static int domain_of(enum family family)
{
	return family == INET ? AF_INET : family == INET6 ? AF_INET6 : AF_UNIX;
}

int make(enum family family, int type, bool blocking)
{
	int domain = domain_of(family);
	int fd = blocking ? socket(domain, type | SOCK_CLOEXEC, 0) : async_socket(domain, type, 0);

	assert_true(fd >= 0);
	assert_int_equal(!(fcntl(fd, F_GETFL) & O_NONBLOCK), blocking);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	return fd;
}

static char unix_path[64];

struct address local_address(enum family family)
{
	static int serial;
	struct address address = {.size = sizeof(struct sockaddr_in)};
	struct sockaddr_in *in = (void *)&address.storage;
	struct sockaddr_in6 *in6 = (void *)&address.storage;

	switch (family) {
	case INET:
		in->sin_family = AF_INET;
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		break;
	case INET6:
		in6->sin6_family = AF_INET6;
		in6->sin6_addr = in6addr_loopback;
		address.size = sizeof(*in6);
		break;
	default:
		snprintf(unix_path, sizeof(unix_path), "%stest_socket.%d.%d", family == UNIX_PATH ? "/tmp/" : "@",
			 (int)getpid(), serial++);
		address.size = (socklen_t)async_unix_address(unix_path, (void *)&address.storage);
		assert_true((int)address.size > 0);
	}
	return address;
}

int make_bound(enum family family, int type, bool blocking, struct address *address)
{
	int fd = make(family, type, blocking);

	*address = local_address(family);
	assert_int_equal(bind(fd, sa(address), address->size), 0);
	if (family == UNIX_PATH)
		return fd;
	address->size = sizeof(address->storage);
	assert_int_equal(getsockname(fd, sa(address), &address->size), 0);
	return fd;
}

int make_listener(enum family family, bool blocking, int backlog, struct address *address)
{
	int fd = make_bound(family, SOCK_STREAM, blocking, address);

	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

void close_bound(enum family family, int fd, struct address *address)
{
	close_now(fd);
	if (family == UNIX_PATH)
		assert_int_equal(unlink(((struct sockaddr_un *)&address->storage)->sun_path), 0);
}

intptr_t accept_once(void *arg)
{
	struct call *call = arg;

	call->address.size = sizeof(call->address.storage);
	call->result = async_accept(call->fd, sa(&call->address), &call->address.size);
	return call->result;
}

intptr_t recv_once(void *arg)
{
	struct call *call = arg;

	call->result = async_recv(call->fd, call->buffer, call->size, 0);
	return call->result;
}

void make_pair(enum family family, int fds[2])
{
	struct address address;
	struct call accepting = {.fd = make_listener(family, false, 5, &address)};
	async_task *task = async_create_task(accept_once, &accepting);

	fds[0] = make(family, SOCK_STREAM, false);
	assert_int_equal(async_connect(fds[0], sa(&address), address.size), 0);
	fds[1] = (int)async_await(task);
	assert_true(fds[1] >= 0);
	close_bound(family, accepting.fd, &address);
}
