/* SPDX-License-Identifier: MIT */
/*
 * Connecting by name.
 *
 *     async_stream *stream;
 *     int error = async_open_connection("localhost", "7000", NULL, &stream);
 *     if (error)
 *             return error;
 *     error = async_stream_printf(stream, "hello\n");
 *     ...
 *     error = async_stream_close(stream);
 *
 * A name can have many addresses, some of which do not answer: they are tried as RFC 8305 says ("happy eyeballs").
 * IPv6 and IPv4 take turns, beginning with the resolver's first; while an address is silent the next one is tried
 * beside it, when it fails at once; the first that answers is taken, the others are given up. The kernel gives up an
 * address after minutes: use async_timeout_begin for a limit.
 */
#ifndef ASYNC_CONNECTION_H
#define ASYNC_CONNECTION_H

#include <sys/socket.h>

#include <async/base.h>
#include <async/stream.h>

/* Zero means the default in every field. */
struct async_connection_options {
	size_t size;              /* sizeof(struct async_connection_options) */
	int family;               /* AF_UNSPEC, AF_INET, AF_INET6 */
	async_time attempt_delay; /* until the next address is tried beside; 10 ms to 2 s, default 250 ms */
	const char *local_host;   /* the address to connect from; default any */
	const char *local_service;
	const struct async_stream_options *stream;
};

#define ASYNC_CONNECTION_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_connection_options)

ASYNC_BEGIN_DECLS

/*
 * Connects to a host (NULL: this one) and a port, a number or a name as of services(5); `options` NULL for the
 * defaults.
 * Owns: the caller closes or aborts the stream. The socket has TCP_NODELAY.
 * Suspends: to resolve a name, and until the connection is made. Cancel: at once; everything is closed.
 * Returns: 0 with the stream in `*ret_stream`; if no address answers, what was said last (-ECONNREFUSED, -ETIMEDOUT,
 * -EHOSTUNREACH, …), and only if nothing else was said -ENETUNREACH, -EAFNOSUPPORT or -EADDRNOTAVAIL (this machine
 * cannot reach or has no such addresses); -ECANCELED, -ENOMEM, -EMFILE, -ENFILE, -EINVAL (NULL, an option outside its
 * limits), -EPERM (outside a task), and what async_resolve and async_stream_open return.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_open_connection(const char *host, const char *service,
							const struct async_connection_options *options,
							async_stream **ret_stream);

/*
 * The same to a Unix socket; a path that begins with '@' is an abstract name. Only `stream` of the options counts.
 * Suspends: until there is room in the backlog. Cancel: at once. Owns: as above.
 * Returns: 0; -ENOENT, -ECONNREFUSED, -EACCES, -ENAMETOOLONG, -ECANCELED, -EINVAL, -EPERM, and as above.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_open_unix_connection(const char *path,
							     const struct async_connection_options *options,
							     async_stream **ret_stream);

/* As async_open_connection, and without a stream. Owns: the caller closes the socket. Returns: the descriptor; errors
 * as above. */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_create_connection(const char *host, const char *service,
							   const struct async_connection_options *options);

ASYNC_END_DECLS

#endif
