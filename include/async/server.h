/* SPDX-License-Identifier: MIT */
/*
 * Servers: a task per connection, on TCP and Unix sockets.
 *
 *     static intptr_t echo(async_stream *stream, void *arg)
 *     {
 *             char *line;
 *             ssize_t size;
 *
 *             while ((size = async_stream_readline(stream, &line)) > 0) {
 *                     int error = async_stream_write(stream, line, (size_t)size);
 *                     if (error == 0)
 *                             error = async_stream_drain(stream);
 *                     if (error < 0)
 *                             return error;
 *             }
 *             return size;
 *     }
 *     ...
 *     async_server *server;
 *     int error = async_start_server(NULL, "7000", echo, NULL, NULL, &server);
 *     if (error == 0)
 *             error = async_server_serve_forever(server);
 *
 * A server that runs out of descriptors or memory tells the error handler, stops accepting for a second and tries
 * again; who wants to connect meanwhile waits in the backlog. When it closes, what waits there is reset by the kernel.
 */
#ifndef ASYNC_SERVER_H
#define ASYNC_SERVER_H

#include <sys/socket.h>

#include <async/base.h>
#include <async/options.h>
#include <async/stream.h>

typedef struct async_server async_server;

/*
 * Serves one connection, as a task of its own that is named after the peer: "127.0.0.1:51234", "[::1]:51234", a path,
 * or "pid 1234" for a Unix socket without a name.
 * Owns: the stream is the server's and must not be closed or aborted by the function. The result says how it ends:
 * with one that says that the connection is broken or given up (-ECANCELED, -ECONNRESET, -EPIPE, -ETIMEDOUT) it is
 * aborted; with any other it is closed, what was written is sent first. Another negative result is also reported to
 * the error handler.
 * If there is input that the function has not read, the kernel would reset the connection and the peer would lose what
 * it has not got: so the connection lingers. The peer is told that this was all, and what it still sends is dropped,
 * until it ends too or a limit is reached. It counts among those that are served as long, and a cancellation ends it.
 * Thread: with the option `loops`, functions of several connections run at the same time, in different threads.
 */
typedef intptr_t async_connection_fn(async_stream *stream, void *arg);

/* Most loops of one server. */
#define ASYNC_SERVER_LOOPS_MAX 1024

/* Zero means the default in every field. */
struct async_server_options {
	size_t size;            /* sizeof(struct async_server_options) */
	int backlog;            /* of listen(2); default SOMAXCONN */
	size_t max_connections; /* served at once, over all listeners and loops; others wait; default no limit */
	bool reuse_port;        /* SO_REUSEPORT: several servers share the port */
	/* This loop and loops - 1 more, each in a thread of its own, share the port; default 1. The function, its
	 * argument and the loop's error handler must be thread-safe then. */
	unsigned loops;
	int family;             /* AF_UNSPEC, AF_INET, AF_INET6 */
	bool unlink_existing;   /* Unix: a socket that nobody listens on is removed first */
	unsigned mode;          /* Unix: permissions of the socket, as of chmod(2); default as the umask says */
	size_t stack_size;      /* of the connections' tasks; default the loop's */
	const struct async_stream_options *stream; /* of the connections; copied */
	const struct async_options *loop_options;  /* of the further loops; default those of this one */
	/* When a function has returned and input is unread, the connection lingers (see async_connection_fn): at most
	 * so long after everything was sent, default 30 s, negative: not at all; */
	async_time linger_time;
	async_time linger_timeout; /* so long while nothing comes; default 5 s */
	size_t linger_size;        /* and until so many bytes were dropped; default 16 MiB */
	/* When max_connections are served and another one waits: of those that have stood still for so long, the one
	 * that has done so longest is cancelled. It stands still while its task waits, and no byte comes or goes
	 * through its stream. Default 0: never. */
	async_time evict_after;
};

#define ASYNC_SERVER_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_server_options)

/* What a server does. The caller sets `size` to sizeof(struct async_server_stats) before the call. */
struct async_server_stats {
	size_t size;
	size_t connections; /* served now, over all loops */
	uint64_t accepted;  /* ever */
	size_t paused;      /* listeners that wait for descriptors or memory */
	uint64_t evicted;   /* connections that were cancelled to make room, ever */
};

ASYNC_BEGIN_DECLS

/*
 * Listens on every address of `host` (NULL: any, IPv4 and IPv6, with a socket each) and a port: a number or a name as
 * of services(5); "0" is one that is free, the same for all addresses. The sockets have SO_REUSEADDR, IPV6_V6ONLY,
 * TCP_NODELAY. An address that this machine does not have is passed over if there are others.
 * Owns: the caller ends the server with one of serve_forever, close and abort; a loop that closes aborts those that
 * are left.
 * Suspends: to resolve a name. Cancel: at once.
 * Returns: 0 with the server in `*ret_server`; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES (a port below 1024), -EINVAL
 * (NULL, an option outside its limits), -EPERM (outside a task), -ECANCELED, -ENOMEM, -EMFILE, -EAGAIN (no thread
 * could be started), what async_loop_new returns for `loop_options`, and what async_resolve returns.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_start_server(const char *host, const char *service, async_connection_fn *fn,
						     void *arg, const struct async_server_options *options,
						     async_server **ret_server);

/*
 * The same on a Unix socket; a path that begins with '@' is an abstract name. When the server closes, a path that is
 * still the server's is removed.
 * Suspends: never. Returns: as above; -EADDRINUSE (the path exists; with `unlink_existing`: it is no socket, or
 * somebody listens there), -ENAMETOOLONG, -ENOENT, and what bind(2) and chmod(2) say.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_start_unix_server(const char *path, async_connection_fn *fn, void *arg,
							  const struct async_server_options *options,
							  async_server **ret_server);

/*
 * The same on sockets that are bound already, as those of a service manager; those that do not listen yet are made to.
 * Several loops share each of them.
 * Owns: the descriptors, which are set to O_NONBLOCK, are the server's unless this fails.
 * Suspends: never. Returns: as above; -EBADF, -ENOTSOCK, -EINVAL (none, a NULL, no stream socket).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_start_server_on(const int *fds, size_t count, async_connection_fn *fn,
							void *arg, const struct async_server_options *options,
							async_server **ret_server);

/*
 * Waits until another task has closed the server, or a listener fails; then it is closed.
 * Owns: the server is gone on every return but -EPERM and -EINVAL, once all tasks that wait for its end have returned.
 * Suspends: always. Cancel: aborts the server, and returns when its connections have ended.
 * Returns: 0; -ECANCELED; with what a listener failed (-EBADF, …); -EDEADLK (called for one of its connections, by
 * that task), -EPERM (outside a task, or on another loop than the server's), -EINVAL (NULL).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_server_serve_forever(async_server *server);

/*
 * Stops accepting at once, and waits until every connection has ended by itself.
 * Suspends: always. Cancel: aborts the server as async_server_abort does, and returns when its connections have ended:
 * a limit of time (async_timeout_begin) is how long they may take.
 * Owns, Returns: as above.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_server_close(async_server *server);

/*
 * Stops accepting at once, cancels the tasks of the connections and waits until they have ended. Works beside an
 * async_server_close that still waits, too.
 * Suspends: always. Cancel: cancels them once more, and returns when they have ended. Owns, Returns: as above.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_server_abort(async_server *server);

/*
 * The address of a listener, from 0, `*size` as of getsockname(2).
 * Returns: 0; -ENOENT (there are fewer), -EBADF (the server closes), -EINVAL (NULL), -EPERM (another thread's).
 */
ASYNC_EXPORT int async_server_address(const async_server *server, size_t index, struct sockaddr *ret_address,
				      socklen_t *size);

/* Fills `*stats`. Returns: 0; -EINVAL (NULL, or a size that is no version of the structure), -EPERM (another thread's
 * server). */
ASYNC_EXPORT int async_server_get_stats(const async_server *server, struct async_server_stats *stats);

ASYNC_END_DECLS

#endif
