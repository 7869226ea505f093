/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing descriptors of every kind: sockets, pipes, terminals, files, /dev/null.
 *
 * The calls are those of POSIX; a task that would have blocked waits instead. They never set O_NONBLOCK on a
 * descriptor, because that flag belongs to everybody who shares it. A buffer belongs to the kernel until the
 * call returns. A descriptor on which the library has waited is closed with async_close.
 */
#ifndef ASYNC_IO_H
#define ASYNC_IO_H

#include <sys/types.h>
#include <sys/uio.h>

#include <async/base.h>

ASYNC_BEGIN_DECLS

/*
 * read(2) and write(2) at the current position.
 * Suspends: if it would block. Cancel: what has succeeded is returned, and the cancellation comes from the next
 * call that suspends; bytes are never lost.
 * Returns: the count, 0 at the end; -ECANCELED, -EPERM (outside a task), -EBADF (not open, or closed by
 * async_close meanwhile), -EPIPE (no reader; raises no signal), and what the kernel says.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_read(int fd, void *buffer, size_t size);
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_write(int fd, const void *buffer, size_t size);

/* The same with up to IOV_MAX buffers, one after the other; -EINVAL with more. The array belongs to the kernel, too. */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_readv(int fd, const struct iovec *parts, int count);
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_writev(int fd, const struct iovec *parts, int count);

/*
 * Waits until one of `events` (POLLIN, POLLOUT, POLLPRI, POLLRDHUP) holds, POLLERR or POLLHUP. A regular file
 * is always ready.
 * Returns: the events that hold; -ECANCELED, -EBADF, -EINVAL (no events), -ENOMEM, -EPERM.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_poll(int fd, short events);

/*
 * close(2). Whatever waits on the descriptor ends with -EBADF first.
 * Suspends: until the kernel has let go of what was pending. Cancel: the descriptor is closed all the same.
 * Returns: 0; -EBADF, -EIO, -EPERM (outside a task). The descriptor is gone on every return but -EBADF, -EPERM.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_close(int fd);

ASYNC_END_DECLS

#endif
