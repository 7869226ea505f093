/* SPDX-License-Identifier: MIT */
/*
 * Streams: buffered reading and writing of sockets, pipes, terminals, files, standard input and output.
 *
 *     char *line;
 *     ssize_t size = async_stream_readline(stream, &line);
 *     int error = size < 0 ? (int)size : async_stream_write(stream, line, (size_t)size);
 *     if (error == 0)
 *             error = async_stream_drain(stream);
 *
 * Reading: one task at a time; a second one gets -EBUSY. What has been received is never lost: a read that is
 * cancelled, or that fails, leaves it for the next one. A stream on which nothing comes or goes holds no buffer.
 * Writing: async_stream_write never waits; it takes a copy. The kernel gets that when the loop turns to it next, or
 * when a task waits for input of the stream: an answer that is written in several parts is one system call (what is
 * large may go at once). Whoever writes more than the peer reads waits in async_stream_drain: above `high_water` bytes
 * until no more than `low_water` are left.
 * A failure is told by every later call in its direction: of reading after what had been received before, of writing at
 * once. No signal is raised, and no descriptor is set to O_NONBLOCK.
 */
#ifndef ASYNC_STREAM_H
#define ASYNC_STREAM_H

#include <sys/types.h>
#include <sys/uio.h>

#include <async/base.h>

typedef struct async_stream async_stream;

/* Zero means the default in every field. */
struct async_stream_options {
	size_t size;       /* sizeof(struct async_stream_options) */
	size_t limit;      /* of a line; about twice as much is read ahead at most; 1 to 1 GiB, default 64 KiB */
	size_t high_water; /* with more unsent bytes a drain waits; default 64 KiB */
	size_t low_water;  /* until no more than so many are left; at most high_water, default a quarter of it */
	bool keep_fd;      /* closing the stream leaves the descriptor open: for standard input and output */
};

#define ASYNC_STREAM_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_stream_options)

ASYNC_BEGIN_DECLS

/*
 * A stream over a descriptor, in the directions in which it is open; `options` NULL for the defaults. Several streams
 * may be over one descriptor, if they keep it or it has a number for each.
 * Owns: the stream takes the descriptor, unless this fails. The caller closes or aborts the stream, in the loop that
 * opened it. A loop that closes takes along those that are left, unsent bytes too; no call may use them after that.
 * Returns: 0 with the stream in `*ret_stream`; -EBADF (not open), -EINVAL (NULL, an option outside its limits),
 * -ENOMEM, -EPERM (outside a loop), -EMFILE or -ENFILE (the loop's reactor could not be opened).
 */
ASYNC_EXPORT int async_stream_open(int fd, const struct async_stream_options *options, async_stream **ret_stream);

/*
 * Reads what there is, at most `size` bytes; waits if there is nothing.
 * Suspends: unless something was read ahead. Cancel: loses nothing.
 * Returns: the count; 0 at the end (or if `size` is 0); -ECANCELED, -EBUSY (another task reads), -EINVAL (NULL),
 * -EPERM (outside a task, or another loop's), -EBADF (not open for reading, or closed or aborted meanwhile), -ENOMEM,
 * and what the kernel says (-ECONNRESET, …).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_stream_read(async_stream *stream, void *buffer, size_t size);

/*
 * Reads exactly `size` bytes, which may be more than `limit`.
 * Returns: `size`, or fewer if the end came before: that is what was left; errors as above. With -ENOMEM reading may
 * have ended for good: there was no memory to keep what had been received, and every later read says so.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_stream_readexactly(async_stream *stream, void *buffer, size_t size);

/*
 * Reads up to and including a separator of 1 byte to 1 GiB; async_stream_readline up to a newline.
 * Owns: `*ret_data` points into the stream's buffer, may be changed there, and holds until the next call that reads or
 * closes. It is not terminated by a NUL.
 * Returns: the count, separator included; at the end what is left, without one, and then 0; -EMSGSIZE (more than
 * `limit` bytes before the separator: they stay, async_stream_read has them); other errors as of
 * async_stream_readexactly.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_stream_readuntil(async_stream *stream, const void *separator, size_t size,
							     char **ret_data);
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_stream_readline(async_stream *stream, char **ret_line);

/* True if the end has come and everything before it was read. */
ASYNC_EXPORT bool async_stream_at_eof(const async_stream *stream);

/*
 * Writes a copy of the bytes, in the order of these calls, without waiting; of several parts all or none.
 * Thread: the loop's; callbacks may call it, too.
 * Returns: 0; -ENOMEM (nothing of it was written), -ESHUTDOWN (after async_stream_write_eof or async_stream_close),
 * -EBADF (not open for writing), -EINVAL (NULL, more than SSIZE_MAX bytes), -EPERM (another loop's), and why an
 * earlier write failed (-EPIPE, -ECONNRESET, …).
 */
ASYNC_EXPORT int async_stream_write(async_stream *stream, const void *data, size_t size);
ASYNC_EXPORT int async_stream_writev(async_stream *stream, const struct iovec *parts, int count);
ASYNC_EXPORT int async_stream_printf(async_stream *stream, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Waits, if more than `high_water` bytes are unsent, until no more than `low_water` are. Any number of tasks may.
 * Suspends: only then. Cancel: what was written stays written.
 * Returns: 0; -ECANCELED, why writing failed, -EBADF (closed or aborted meanwhile), -EPERM (outside a task, or another
 * loop's), -EINVAL (NULL).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_stream_drain(async_stream *stream);

/*
 * Ends writing: when all is sent, the peer sees the end; reading goes on. A pipe's or file's descriptor is closed for
 * that unless the stream also reads it or keeps it.
 * Returns: 0; -EBADF (not open for writing), why writing failed, -ESHUTDOWN (after async_stream_close), -EINVAL,
 * -EPERM. Twice is nothing to do.
 */
ASYNC_EXPORT int async_stream_write_eof(async_stream *stream);

/*
 * Sends what was written, closes the descriptor and frees the stream. Tasks that wait on it get -EBADF. A socket with
 * unread input is reset by the kernel then, and the peer may lose the end of what was sent: read until the end before,
 * after async_stream_write_eof, as servers do for their connections.
 * Suspends: until all is sent or cannot be. Cancel: what is left is dropped, as async_stream_abort does.
 * Returns: 0; why not all could be sent; -ECANCELED; -EBADF (aborted meanwhile); -EBUSY (another task closes it),
 * -EPERM, -EINVAL. The stream is gone on every return but the last three.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_stream_close(async_stream *stream);

/*
 * Drops what is unsent, closes the descriptor and frees the stream; a TCP peer gets a reset. Tasks that wait on it,
 * one in async_stream_close included, get -EBADF. NULL is nothing to do. Does not wait: where the kernel still holds a
 * buffer, that and the descriptor go when the kernel lets go, in the next turn of the loop.
 * Thread: the loop's, in tasks and outside of them; from elsewhere nothing happens.
 */
ASYNC_EXPORT void async_stream_abort(async_stream *stream);

/* The descriptor, which stays the stream's; -EBADF once async_stream_write_eof has closed it, -EINVAL of NULL. */
ASYNC_EXPORT int async_stream_fd(const async_stream *stream);
/* Bytes that were read ahead, and bytes that are unsent. */
ASYNC_EXPORT size_t async_stream_buffered(const async_stream *stream);
ASYNC_EXPORT size_t async_stream_unsent(const async_stream *stream);

ASYNC_END_DECLS

#endif
