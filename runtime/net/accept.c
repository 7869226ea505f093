/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. A listener's task waits until somebody wants to connect and then accepts what there is. It takes the place
 * in `max_connections` before it accepts and never holds one while it waits, so that a listener that nobody uses keeps
 * none from the others. What one connection needs is got step by step, and what was got is kept while it pauses for
 * the rest: a connection that the kernel has given us is not lost because there is no memory for it.
 *
 * Of the listeners that share a socket one is woken for a connection. It is one that waits: who has no place, or
 * pauses, does not, and looks by itself when that is over.
 *
 * A connection's task is started eagerly: so it is known at once whether there was a stack for it.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <async/io.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/own_fd.h"
#include "context/exceptions.h"
#include "io/fd.h"
#include "net/address.h"
#include "net/server.h"

/* How many connections a listener accepts before others get their turn. */
#define ACCEPT_BURST 64
/* How long it pauses when descriptors or memory are short, as asyncio does. */
#define ACCEPT_PAUSE (1 * ASYNC_S)

/* Errors of accept(2), most of which concern a connection that has gone again. */

static bool is_shortage(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM || error == -ENOSPC;
}

static bool is_of_listener(int error)
{
	return error == -EBADF || error == -EINVAL || error == -ENOTSOCK || error == -EFAULT;
}

/* Connections */

static struct connection *connection_new(struct server_part *part)
{
	struct connection *connection = mem_zalloc(sizeof(*connection));

	if (!connection)
		return NULL;
	connection->part = part;
	connection->fd = -1;
	list_init(&connection->link);
	return connection;
}

static void give_place_back(struct connection *connection)
{
	if (connection->has_place)
		server_give_place(connection->part->server);
	connection->has_place = false;
}

/* One that nobody serves, or has served. */
static void connection_free(struct connection *connection)
{
	if (connection->stream)
		async_stream_abort(connection->stream);
	else if (connection->fd >= 0)
		close(connection->fd);
	list_remove(&connection->link);
	give_place_back(connection);
	mem_free(connection);
}

/* The connection is broken, or was given up: there is nobody to send anything to, and nothing to report. */
static bool is_broken(intptr_t result)
{
	return result == -ECANCELED || result == -ECONNRESET || result == -EPIPE || result == -ETIMEDOUT;
}

struct start {
	struct connection *connection;
	bool begun;
};

static intptr_t serve(void *arg)
{
	struct start *start = arg;
	struct connection *connection = start->connection;
	struct server_part *part = connection->part;
	async_server *server = part->server;

	start->begun = true;
	connection->task = async_current_task();
	list_append(&part->connections, &connection->link);
	intptr_t result = FENCED_VALUE(server->fn(connection->stream, server->arg));
	connection->lingers = true;
	if (!is_broken(result) && stream_linger(connection->stream, &server->linger) == -ECANCELED && result >= 0)
		result = -ECANCELED;
	if (is_broken(result)) {
		async_stream_abort(connection->stream);
		result = result == -ECANCELED ? result : 0;
	} else {
		(void)!async_stream_close(connection->stream);
	}
	connection->stream = NULL;
	connection->fd = -1;
	connection_free(connection);
	part_settle(part);
	return result < 0 ? result : 0;
}

static int begin_serving(struct listener *listener)
{
	struct connection *connection = listener->next;
	const async_server *server = listener->part->server;
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	struct start start = {connection, false};
	int error = 0;

	options.name = connection->name;
	options.stack_size = server->options.stack_size;
	options.eager = true;
	listener->next = NULL;
	async_task *task = async_create_task_with(serve, &start, &options);
	if (!start.begun) {
		listener->next = connection;
		error = async_done(task) ? (int)async_result(task) : -ENOMEM;
		async_cancel(task, NULL);
	}
	async_release(task);
	return error;
}

bool server_serves_here(const async_server *server)
{
	list_for_each(node, &server->parts[0].connections)
		if (list_entry(node, struct connection, link)->task == async_current_task())
			return true;
	return false;
}

/* Accepting */

static int take_place(struct listener *listener)
{
	struct connection *connection = listener->next;
	int error = 0;

	while (!error && !connection->has_place) {
		connection->has_place = server_take_place(listener->part->server);
		if (!connection->has_place)
			error = await_room(listener);
	}
	return error;
}

static void name_after_peer(struct connection *connection, const struct sockaddr_storage *address, socklen_t size)
{
	struct ucred credentials = {0};
	socklen_t length = sizeof(credentials);

	address_print(address, size, connection->name, sizeof(connection->name));
	if (connection->name[0])
		return;
	getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
	snprintf(connection->name, sizeof(connection->name), "pid %d", (int)credentials.pid);
}

static int accept_next(struct listener *listener)
{
	struct connection *connection = listener->next;
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	int error = take_place(listener);

	if (error)
		return error;
	int fd = own_accept(listener->fd, (struct sockaddr *)&address, &size);
	if (fd < 0) {
		give_place_back(connection);
		return fd;
	}
	connection->fd = fd;
	name_after_peer(connection, &address, size);
	return 0;
}

static int open_stream(struct listener *listener)
{
	struct connection *connection = listener->next;
	int error = async_stream_open(connection->fd, &listener->part->server->stream_options, &connection->stream);

	if (!error || is_shortage(error))
		return error;
	loop_report(listener->part->loop, "cannot serve a connection", async_current_task(), error);
	listener->next = NULL;
	connection_free(connection);
	return -ECONNABORTED;
}

/* Goes on where shortage has interrupted it. */
static int serve_next(struct listener *listener)
{
	struct server_part *part = listener->part;
	int error = 0;

	if (!listener->next)
		listener->next = connection_new(part);
	if (!listener->next)
		return -ENOMEM;
	if (listener->next->fd < 0)
		error = accept_next(listener);
	if (!error && !listener->next->stream)
		error = open_stream(listener);
	if (!error)
		error = begin_serving(listener);
	if (error)
		return error;
	part->short_of = false;
	atomic_fetch_add_explicit(&part->server->accepted, 1, memory_order_relaxed);
	return 0;
}

static int serve_some(struct listener *listener)
{
	for (int i = 0; i < ACCEPT_BURST; i++) {
		int error = serve_next(listener);

		if (error)
			return error;
	}
	return async_sleep(0);
}

static int await_connection(const struct listener *listener)
{
	if (listener->next && listener->next->fd >= 0)
		return 0;
	short awaited = POLLIN | POLLRDHUP;
	int events = listener->part->server->shares_listeners ? fd_poll_exclusively(listener->fd, awaited)
							      : async_poll(listener->fd, awaited);
	if (events < 0)
		return events;
	/* Somebody who shares it has shut it down: it stays readable, and accept(2) of a Unix socket says EAGAIN. */
	return events & (POLLRDHUP | POLLHUP) ? -EINVAL : 0;
}

static int pause_accepting(struct server_part *part, int shortage)
{
	atomic_size_t *paused = &part->server->paused;

	if (!part->short_of)
		loop_report(part->loop, "is short of descriptors or memory, and accepts again in a second",
			    async_current_task(), shortage);
	part->short_of = true;
	atomic_fetch_add_explicit(paused, 1, memory_order_relaxed);
	int error = async_sleep(ACCEPT_PAUSE);
	atomic_fetch_sub_explicit(paused, 1, memory_order_relaxed);
	/* There may be no memory for the timer either. */
	return is_shortage(error) ? async_sleep(0) : error;
}

static void listener_failed(struct server_part *part, int error)
{
	int none = 0;

	loop_report(part->loop, "failed, and the server closes", async_current_task(), error);
	atomic_compare_exchange_strong(&part->server->error, &none, error);
	server_raise(part->server, SERVER_CLOSING);
}

/* The end of a listener's task; of one that never ran, too. */
static void listener_ended(void *arg)
{
	struct listener *listener = arg;
	struct server_part *part = listener->part;

	if (listener->next)
		connection_free(listener->next);
	listener->next = NULL;
	listener->task = NULL;
	if (part == part->server->parts)
		unix_path_remove(&part->server->path);
	if (listener->fd >= 0)
		close(listener->fd);
	listener->fd = -1;
	part->accepting--;
	part_settle(part);
}

static intptr_t accept_connections(void *arg)
{
	struct listener *listener = arg;
	struct server_part *part = listener->part;
	int error = 0;

	while (!error && server_state(part->server) == SERVER_OPEN) {
		error = await_connection(listener);
		/* The server may have been closed, the cancellation comes only with the next wait. */
		if (!error && server_state(part->server) == SERVER_OPEN) {
			error = serve_some(listener);
			if (error != -ECANCELED && !is_shortage(error) && !is_of_listener(error))
				error = 0;
		}
		if (is_shortage(error))
			error = pause_accepting(part, error);
	}
	if (error && error != -ECANCELED)
		listener_failed(part, error);
	/* The number of one that somebody else has closed may be somebody else's by now. */
	if (error != -EBADF)
		(void)!async_close(listener->fd);
	listener->fd = -1;
	listener_ended(listener);
	return error == -ECANCELED ? error : 0;
}

/* Parts */

int part_begin(struct server_part *part)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.destroy = listener_ended;
	for (size_t i = 0; i < part->server->listener_count; i++) {
		struct listener *listener = &part->listeners[i];
		char name[ASYNC_TASK_NAME_MAX] = "accept ";
		struct sockaddr_storage address;
		socklen_t size = sizeof(address);

		if (getsockname(listener->fd, (struct sockaddr *)&address, &size) == 0)
			address_print(&address, size, name + 7, sizeof(name) - 7);
		options.name = name;
		/* Ended before it begins, if it cannot be created. */
		part->accepting++;
		async_task *task = async_loop_create_task(part->loop, accept_connections, listener, &options);
		if (async_done(task))
			return (int)async_result(task);
		listener->task = task;
		async_release(task);
	}
	return 0;
}

void part_look(struct server_part *part)
{
	async_server *server = part->server;
	unsigned aborts = atomic_load(&server->aborts);

	if (server_state(server) != SERVER_OPEN)
		for (size_t i = 0; i < server->listener_count; i++)
			if (part->listeners[i].task)
				async_cancel(part->listeners[i].task, "the server closes");
	if (part->aborts != aborts) {
		part->aborts = aborts;
		list_for_each(node, &part->connections)
			async_cancel(list_entry(node, struct connection, link)->task, "the server is aborted");
	}
	part_make_room(part);
	async_event_set(&part->room);
	async_event_clear(&part->room);
	part_settle(part);
}

void part_discard(struct server_part *part)
{
	for (size_t i = 0; part->listeners && i < part->server->listener_count; i++) {
		struct listener *listener = &part->listeners[i];

		if (listener->fd >= 0)
			close(listener->fd);
		/* The loop has closed the streams. */
		if (listener->next && listener->next->fd >= 0 && !listener->next->stream)
			close(listener->next->fd);
		mem_free(listener->next);
	}
	list_for_each_safe(node, &part->connections)
		mem_free(list_entry(node, struct connection, link));
	mem_free(part->listeners);
}
