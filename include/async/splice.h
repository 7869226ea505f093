/* SPDX-License-Identifier: MIT */
/*
 * Moving bytes from one descriptor to another without bringing them into the program: from a file to a socket, or
 * from one socket to another through a pipe.
 *
 *     off_t at = 0;
 *     ssize_t count;
 *     while ((count = async_sendfile(client, file, &at, size - at)) > 0)
 *             ;
 *
 * What has to be read from a disk is read by a worker, or by io_uring, before it is moved; the loop does not wait for
 * it. What a cancellation meets has moved nothing, or returns what it has moved and leaves the cancellation to the next
 * call that suspends: bytes are never lost, and none are left between the two ends.
 */
#ifndef ASYNC_SPLICE_H
#define ASYNC_SPLICE_H

#include <sys/types.h>

#include <async/base.h>

ASYNC_BEGIN_DECLS

/*
 * splice(2): one of the two is a pipe. `in_offset` and `out_offset` are read and advanced; NULL is the current
 * position. `flags` are SPLICE_F_MOVE, SPLICE_F_MORE and SPLICE_F_NONBLOCK (-EAGAIN where it would have waited for a
 * pipe or a socket). A socket that is set to wait is set not to for as long as the call takes.
 * Suspends: until there is something to move and room for it.
 * Returns: the count, which may be smaller than `size`, 0 at the end; -ECANCELED, -EINVAL (no pipe, or what splice(2)
 * does not move), -EPIPE (no reader; raises no signal), -ESPIPE (an offset where there is no position), -EBADF (not
 * open, or async_close has closed the end it waits for; the other must stay open), -EPERM (outside a task), -EMFILE,
 * -ENOMEM, and what splice(2) says.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_splice(int in, off_t *in_offset, int out, off_t *out_offset,
						   size_t size, unsigned flags);

/*
 * sendfile(2): `in` is a file, `out` a socket, a pipe, a file or a device. `offset` is read and advanced; NULL is the
 * current position.
 * Suspends: until there is room, and while a disk is read.
 * Returns: the count, which may be smaller than `size`, 0 at the end; otherwise as async_splice.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_sendfile(int out, int in, off_t *offset, size_t size);

ASYNC_END_DECLS

#endif
