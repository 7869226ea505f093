/* SPDX-License-Identifier: MIT */
/*
 * Readers and writers: functions that a loop calls while a descriptor is ready, for libraries that read and write
 * their sockets themselves.
 *
 *     async_loop_add_reader(loop, fd, on_readable, connection);
 *     ...
 *     async_loop_remove_reader(loop, fd);
 *     close(fd);
 *
 * As with poll(2) the state counts, not its change: whoever does not read is called again in the next iteration. An
 * error or the end of a connection makes both ready; a regular file always is. There is one of each for a descriptor.
 */
#ifndef ASYNC_READER_H
#define ASYNC_READER_H

#include <async/base.h>

ASYNC_BEGIN_DECLS

/*
 * Has `fn(arg)` called in each iteration that finds `fd` readable, or writable. Adding again replaces. A descriptor
 * that is closed without removing them loses both; the loop's error handler is told unless async_close closed it.
 * Returns: 0; -EBADF (not open), -ENOMEM, -EINVAL (NULL), -ESHUTDOWN (closed), -EPERM.
 */
ASYNC_EXPORT int async_loop_add_reader(async_loop *loop, int fd, async_callback *fn, void *arg);
ASYNC_EXPORT int async_loop_add_writer(async_loop *loop, int fd, async_callback *fn, void *arg);

/* Ends that; a call that is due already is not made. Returns: 1; 0 (there was none), -EINVAL, -ESHUTDOWN, -EPERM. */
ASYNC_EXPORT int async_loop_remove_reader(async_loop *loop, int fd);
ASYNC_EXPORT int async_loop_remove_writer(async_loop *loop, int fd);

ASYNC_END_DECLS

#endif
