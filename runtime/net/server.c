/* SPDX-License-Identifier: MIT */
#include "net/server.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/versioned.h"
#include "core/handle.h"
#include "core/task.h"
#include "core/schedule.h"

#define LINGER_TIME (30 * ASYNC_S)
#define LINGER_TIMEOUT (5 * ASYNC_S)
#define LINGER_SIZE ((size_t)16 << 20)

/* What parts share */

void server_tell(async_server *server)
{
	for (size_t i = 0; i < server->part_count; i++)
		if (server->parts[i].news)
			async_handle_post(server->parts[i].news);
}

void server_raise(async_server *server, enum server_state state)
{
	int now = server_state(server);

	if (state == SERVER_ABORTING)
		atomic_fetch_add(&server->aborts, 1);
	while (now < (int)state && !atomic_compare_exchange_weak(&server->state, &now, (int)state))
		;
	server_tell(server);
}

bool server_take_place(async_server *server)
{
	size_t max = server->options.max_connections, now = atomic_load(&server->connections);

	/* The count never exceeds the limit, not even for a moment: who gives a place back relies on that. */
	while (max == 0 || now < max)
		if (atomic_compare_exchange_weak(&server->connections, &now, now + 1))
			return true;
	return false;
}

void server_give_place(async_server *server)
{
	if (atomic_fetch_sub(&server->connections, 1) == server->options.max_connections)
		server_tell(server);
}

/* The end */

static void server_free(async_server *server)
{
	for (size_t i = 1; i < server->part_count; i++)
		loop_part_join(&server->parts[i]);
	for (size_t i = 0; i < server->part_count; i++) {
		/* It may be posted. */
		async_handle_cancel(server->parts[i].news);
		async_handle_release(server->parts[i].news);
		if (i > 0)
			loop_part_free(&server->parts[i]);
		part_discard(&server->parts[i]);
	}
	unix_path_remove(&server->path);
	list_remove(&server->hook.link);
	mem_free(server);
}

static bool part_has_ended(const struct server_part *part)
{
	return part->accepting == 0 && list_empty(&part->connections);
}

static bool server_has_ended(const async_server *server)
{
	for (size_t i = 1; i < server->part_count; i++)
		if (!atomic_load(&server->parts[i].over))
			return false;
	return part_has_ended(server->parts);
}

void part_settle(struct server_part *part)
{
	async_server *server = part->server;

	if (server_state(server) == SERVER_OPEN || !part_has_ended(part))
		return;
	async_event_set(&part->ended);
	if (part != server->parts || !server_has_ended(server))
		return;
	async_event_set(&server->ended);
	if (server->failed_to_start)
		server_free(server);
}

static void on_news(void *arg)
{
	part_look(arg);
}

/* The further loops end before this one, which they post to. */
static void on_close(struct async_loop *loop, struct loop_hook *hook)
{
	async_server *server = container_of(hook, async_server, hook);

	/* In a child process neither the threads nor the path are ours. */
	if (loop_forked(loop)) {
		unix_path_forget(&server->path);
		for (size_t i = 1; i < server->part_count; i++)
			server->parts[i].has_thread = false;
		return;
	}
	server_raise(server, SERVER_ABORTING);
	for (size_t i = 1; i < server->part_count; i++)
		loop_part_join(&server->parts[i]);
}

static void on_end(struct async_loop *loop, struct loop_hook *hook)
{
	(void)loop;
	server_free(container_of(hook, async_server, hook));
}

/* Waits for the end of the server, whoever asks for it. The last who has waited frees it. */
static int await_end(async_server *server)
{
	int result = 0;

	server->waiting++;
	while (!async_event_is_set(&server->ended)) {
		if (async_event_wait(&server->ended) != -ECANCELED)
			continue;
		result = -ECANCELED;
		/* Connections are told once: they may be at their clean-up. */
		if (server_state(server) != SERVER_ABORTING) {
			server_raise(server, SERVER_ABORTING);
			part_look(server->parts);
		}
	}
	if (!result)
		result = atomic_load(&server->error);
	if (--server->waiting == 0)
		server_free(server);
	return result;
}

static int check(const async_server *server)
{
	if (!server)
		return -EINVAL;
	return server->parts[0].loop == loop_running ? 0 : -EPERM;
}

static int end(async_server *server, enum server_state state)
{
	int error = check(server);

	if (error)
		return error;
	if (!task_current())
		return -EPERM;
	if (server_serves_here(server))
		return -EDEADLK;
	if (state != SERVER_OPEN) {
		server_raise(server, state);
		part_look(server->parts);
	}
	return await_end(server);
}

int async_server_serve_forever(async_server *server)
{
	return end(server, SERVER_OPEN);
}

int async_server_close(async_server *server)
{
	return end(server, SERVER_CLOSING);
}

int async_server_abort(async_server *server)
{
	return end(server, SERVER_ABORTING);
}

/* The beginning */

static int part_init(struct server_part *part, async_server *server, async_loop *loop, const int *fds)
{
	part->server = server;
	part->loop = loop;
	atomic_init(&part->over, true);
	list_init(&part->connections);
	part->listeners = mem_zalloc(server->listener_count * sizeof(*part->listeners));
	if (!part->listeners)
		return -ENOMEM;
	for (size_t i = 0; i < server->listener_count; i++) {
		part->listeners[i].part = part;
		part->listeners[i].fd = fds[i];
	}
	return 0;
}

static int read_options(const struct async_server_options *given, struct async_server_options *options,
			struct async_stream_options *stream)
{
	int error = given ? versioned_copy(options, sizeof(*options), given) : 0;

	if (!error && options->stream)
		error = versioned_copy(stream, sizeof(*stream), options->stream);
	if (error)
		return error;
	if (options->backlog == 0)
		options->backlog = SOMAXCONN;
	if (options->loops == 0)
		options->loops = 1;
	if (options->linger_time == 0)
		options->linger_time = LINGER_TIME;
	if (options->linger_timeout == 0)
		options->linger_timeout = LINGER_TIMEOUT;
	if (options->linger_size == 0)
		options->linger_size = LINGER_SIZE;
	bool stack_ok = options->stack_size == 0 || stack_class_for(options->stack_size) >= 0;
	bool valid = options->backlog > 0 && options->loops <= ASYNC_SERVER_LOOPS_MAX && options->mode <= 07777 &&
		     options->linger_timeout > 0 && options->evict_after >= 0;
	return valid && stack_ok && !stream->keep_fd ? 0 : -EINVAL;
}

/* What no stream can have is told now, not at each connection. */
static int try_stream_options(int fd, const struct async_stream_options *given)
{
	struct async_stream_options options = *given;
	async_stream *stream;

	options.keep_fd = true;
	int error = async_stream_open(fd, &options, &stream);
	if (!error)
		async_stream_abort(stream);
	return error;
}

/* Takes the sockets, also if it fails: then they are closed, at the latest when what has begun has ended. */
static int server_start(async_server *server, const struct async_options *loop_options)
{
	int error = try_stream_options(server->parts[0].listeners[0].fd, &server->stream_options);

	for (size_t i = 1; i < server->part_count && !error; i++)
		error = loop_part_make(&server->parts[i], loop_options ? loop_options : &loop_running->options);
	for (size_t i = 0; i < server->part_count && !error; i++)
		error = handle_prepare(server->parts[i].loop, on_news, &server->parts[i], server->part_count > 1,
				       &server->parts[i].news);
	for (size_t i = 1; i < server->part_count && !error; i++)
		error = loop_part_start(&server->parts[i]);
	if (!error)
		error = part_begin(&server->parts[0]);
	if (!error)
		return 0;
	server->failed_to_start = true;
	server_raise(server, SERVER_ABORTING);
	part_look(server->parts);
	return error;
}

struct request {
	async_connection_fn *fn;
	void *arg;
	struct async_server_options options;
	struct async_stream_options stream;
};

static int read_request(struct request *request, async_connection_fn *fn, void *arg,
			const struct async_server_options *given, async_server **ret_server)
{
	*request = (struct request){fn, arg, ASYNC_SERVER_OPTIONS_INIT, ASYNC_STREAM_OPTIONS_INIT};
	if (!fn || !ret_server)
		return -EINVAL;
	if (!task_current())
		return -EPERM;
	return read_options(given, &request->options, &request->stream);
}

/* Takes the sockets, and the path if there is one, on every return. */
static int serve_on(const struct request *request, struct sockets *sockets, const struct unix_path *path,
		    async_server **ret_server)
{
	async_server *server = mem_zalloc(sizeof(*server) + sockets->loops * sizeof(server->parts[0]));
	int error = server ? 0 : -ENOMEM;

	if (server) {
		server->hook = (struct loop_hook){.close = on_close, .end = on_end};
		server->fn = request->fn;
		server->arg = request->arg;
		server->options = request->options;
		server->stream_options = request->stream;
		server->linger = (struct linger_limits){
			.time = request->options.linger_time,
			.timeout = request->options.linger_timeout,
			.size = request->options.linger_size,
		};
		server->listener_count = sockets->count;
		server->shares_listeners = sockets->shared;
		list_init(&server->hook.link);
	}
	while (!error && server->part_count < sockets->loops) {
		size_t i = server->part_count;

		error = part_init(&server->parts[i], server, i == 0 ? loop_running : NULL,
				  &sockets->fds[i * sockets->count]);
		server->part_count += !error;
	}
	if (error) {
		while (server && server->part_count > 0)
			mem_free(server->parts[--server->part_count].listeners);
		mem_free(server);
		struct unix_path unused = path ? *path : (struct unix_path){0};
		unix_path_remove(&unused);
		sockets_close(sockets);
		return error;
	}
	if (path)
		server->path = *path;
	mem_free(sockets->fds);
	loop_add_hook(loop_running, &server->hook);
	error = server_start(server, request->options.loop_options);
	if (!error)
		*ret_server = server;
	return error;
}

int async_start_server(const char *host, const char *service, async_connection_fn *fn, void *arg,
		       const struct async_server_options *options, async_server **ret_server)
{
	struct request request;
	struct sockets sockets;
	int error = read_request(&request, fn, arg, options, ret_server);

	if (!error && !service)
		error = -EINVAL;
	if (!error)
		error = listen_tcp(host && *host ? host : NULL, service, &request.options, &sockets);
	return error ? error : serve_on(&request, &sockets, NULL, ret_server);
}

int async_start_unix_server(const char *path, async_connection_fn *fn, void *arg,
			    const struct async_server_options *options, async_server **ret_server)
{
	struct request request;
	struct sockets sockets;
	struct unix_path bound = {0};
	int error = read_request(&request, fn, arg, options, ret_server);

	if (!error && !path)
		error = -EINVAL;
	if (!error)
		error = listen_unix(path, &request.options, &sockets, &bound);
	return error ? error : serve_on(&request, &sockets, &bound, ret_server);
}

int async_start_server_on(const int *fds, size_t count, async_connection_fn *fn, void *arg,
			  const struct async_server_options *options, async_server **ret_server)
{
	struct request request;
	struct sockets sockets;
	int error = read_request(&request, fn, arg, options, ret_server);

	if (!error)
		error = listen_on(fds, count, &request.options, &sockets);
	if (!error)
		error = serve_on(&request, &sockets, NULL, ret_server);
	for (size_t i = 0; i < count && !error; i++)
		close(fds[i]);
	return error;
}

int async_server_address(const async_server *server, size_t index, struct sockaddr *ret_address, socklen_t *size)
{
	int error = check(server);

	if (error || !ret_address || !size)
		return error ? error : -EINVAL;
	if (index >= server->listener_count)
		return -ENOENT;
	return (int)SYS("getsockname", getsockname(server->parts[0].listeners[index].fd, ret_address, size));
}

int async_server_get_stats(const async_server *server, struct async_server_stats *ret_stats)
{
	int error = check(server);

	if (error || !ret_stats)
		return error ? error : -EINVAL;
	struct async_server_stats stats = {
		.connections = atomic_load(&server->connections),
		.accepted = atomic_load(&server->accepted),
		.paused = atomic_load(&server->paused),
		.evicted = atomic_load(&server->evicted),
	};
	return versioned_fill(ret_stats, &stats, sizeof(stats));
}
