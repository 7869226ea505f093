/* SPDX-License-Identifier: MIT */
/*
 * Sockets: TCP, UDP and Unix, IPv4 and IPv6; the calls are those of the kernel, and where one would have blocked the
 * task waits. bind, listen, shutdown, getsockopt and setsockopt never wait: use them as they are. No call raises
 * SIGPIPE.
 *
 *     int fd = async_socket(AF_INET, SOCK_STREAM, 0);
 *     int error = async_connect(fd, (struct sockaddr *)&address, sizeof(address));
 *     ssize_t count = error < 0 ? error : async_send(fd, "hello", 5, 0);
 *
 * A cancellation is a matter of what came first: what has succeeded is returned, the bytes or the new descriptor, and
 * the cancellation comes from the next call that suspends. With MSG_DONTWAIT a call returns -EAGAIN where it would
 * have waited. MSG_WAITALL is -EINVAL: a cancellation could not say how much had come.
 */
#ifndef ASYNC_SOCKET_H
#define ASYNC_SOCKET_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <async/base.h>

ASYNC_BEGIN_DECLS

/*
 * socket(2) with SOCK_NONBLOCK and SOCK_CLOEXEC. Sockets made elsewhere serve as well, but a blocking one may be set to
 * O_NONBLOCK for as long as a call of accept(2) or connect(2) takes, which others who share it can see.
 * Thread: any. Returns: the descriptor; what socket(2) says.
 */
ASYNC_EXPORT int async_socket(int domain, int type, int protocol);

/*
 * Fills in the address of a Unix socket. A path that begins with '@' is an abstract name; "" is the unnamed address,
 * which bind(2) turns into an abstract one.
 * Thread: any. Returns: the size of the address; -ENAMETOOLONG, -EINVAL (NULL).
 */
ASYNC_EXPORT int async_unix_address(const char *path, struct sockaddr_un *ret_address);

/*
 * Takes the next connection of a listening socket; the new socket is non-blocking and close-on-exec. `address` and
 * `size` as of accept(2), both may be NULL.
 * Suspends: until somebody connects. Cancel: the connection stays in the backlog, or its descriptor is returned.
 * Returns: the descriptor; -ECANCELED, -EBADF (not open, or closed by async_close meanwhile), -EMFILE, -ENFILE,
 * -ECONNABORTED, -EINVAL (it does not listen, or was shut down), -EPERM (outside a task), and what accept(2) says.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_accept(int fd, struct sockaddr *address, socklen_t *size);

/*
 * Connects, or gives a datagram socket its peer. Waits for room in the backlog of a Unix socket, too: of that the
 * kernel tells nothing, so it is tried again after 0.5 ms, then after twice as long each time, at most 32 ms.
 * On a local port where nobody listens TCP can connect a socket to itself: that is undone, and is -ECONNREFUSED.
 * Suspends: until the connection is made or refused. Cancel: the attempt may go on in the kernel; close the socket.
 * Returns: 0; -ECANCELED, -ECONNREFUSED, -ETIMEDOUT (the kernel's, after minutes), -EPERM (outside a task), and what
 * connect(2) says.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_connect(int fd, const struct sockaddr *address, socklen_t size);

/*
 * recv(2) and send(2). A send may send a part.
 * Suspends: if it would block. Cancel: bytes are never lost.
 * Returns: the count, 0 at the end; -ECANCELED, -ECONNRESET, -EPIPE (no signal), -EINVAL (MSG_WAITALL), -EPERM, -EBADF,
 * -ENOTSOCK, and what the kernel says.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_recv(int fd, void *buffer, size_t size, int flags);
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_send(int fd, const void *buffer, size_t size, int flags);

/*
 * The same for datagrams: where one came from, `address` and `address_size` as of recvfrom(2), and where it goes.
 * Whether a Unix socket that is full has room again, the kernel tells only to who is connected to it; others try again
 * after pauses as async_connect makes them.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_recvfrom(int fd, void *buffer, size_t size, int flags,
						     struct sockaddr *address, socklen_t *address_size);
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_sendto(int fd, const void *buffer, size_t size, int flags,
						   const struct sockaddr *address, socklen_t address_size);

/* The same with several buffers, and with what goes beside the bytes: descriptors (SCM_RIGHTS), credentials. The
 * message and all it points to belong to the kernel until the call returns. What waits with MSG_ERRQUEUE or MSG_OOB
 * keeps no other receive from going on. */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_recvmsg(int fd, struct msghdr *message, int flags);
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_sendmsg(int fd, const struct msghdr *message, int flags);

ASYNC_END_DECLS

#endif
