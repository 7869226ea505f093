/* SPDX-License-Identifier: MIT */
/* Servers: every kind of address, what serves a connection, and how they end. */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server_peers.h"

/* Addresses */

static intptr_t serve_everywhere(void *arg)
{
	const char *const hosts[] = {"127.0.0.1", "::1", "localhost"};
	async_server *server;
	async_stream *stream;
	char port[16];

	(void)arg;
	for (size_t i = 0; i < countof(hosts); i++) {
		if (i == 1 && !has_inet6())
			continue;
		assert_int_equal(async_start_server(hosts[i], "0", echo, NULL, NULL, &server), 0);
		port_of(server, 0, port);
		assert_int_equal(async_open_connection(hosts[i], port, NULL, &stream), 0);
		assert_echoes(stream);
		assert_int_equal(async_server_close(server), 0);
		assert_int_equal(async_open_connection(hosts[i], port, NULL, &stream), -ECONNREFUSED);
	}
	for (int abstract = 0; abstract < 2; abstract++) {
		const char *path = unix_name(abstract);

		assert_int_equal(async_start_unix_server(path, echo, NULL, NULL, &server), 0);
		assert_int_equal(async_open_unix_connection(path, NULL, &stream), 0);
		assert_echoes(stream);
		assert_int_equal(async_server_close(server), 0);
		assert_int_equal(async_open_unix_connection(path, NULL, &stream), abstract ? -ECONNREFUSED : -ENOENT);
	}
	return 0;
}

static void every_kind_of_address(void **state)
{
	(void)state;
	run_server(serve_everywhere, NULL);
}

static intptr_t serve_all_interfaces(void *arg)
{
	char first[16], second[16];
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	async_server *server;
	async_stream *stream;

	(void)arg;
	assert_int_equal(async_start_server(NULL, "0", echo, NULL, NULL, &server), 0);
	port_of(server, 0, first);
	port_of(server, 1, second);
	/* The same port of both families, so that a client needs to know one number. */
	assert_string_equal(first, second);
	assert_int_equal(async_server_address(server, 2, (void *)&address, &size), -ENOENT);
	assert_int_equal(async_server_address(server, 0, NULL, &size), -EINVAL);
	assert_int_equal(async_open_connection("127.0.0.1", first, NULL, &stream), 0);
	assert_echoes(stream);
	assert_int_equal(async_open_connection("::1", first, NULL, &stream), 0);
	assert_echoes(stream);
	return async_server_close(server);
}

static void all_interfaces_share_a_port(void **state)
{
	(void)state;
	if (!has_inet6())
		skip();
	run_server(serve_all_interfaces, NULL);
}

static intptr_t note_name(async_stream *stream, void *arg)
{
	char name[ASYNC_TASK_NAME_MAX];

	(void)stream;
	(void)arg;
	note("%s", async_task_get_name(async_current_task(), name, sizeof(name)));
	return 0;
}

static intptr_t name_connections(void *arg)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	char expected[64], port[16];
	async_server *server;

	(void)arg;
	assert_int_equal(async_start_server("127.0.0.1", "0", note_name, NULL, NULL, &server), 0);
	port_of(server, 0, port);
	int fd = async_create_connection("127.0.0.1", port, NULL);
	assert_int_equal(getsockname(fd, (void *)&address, &size), 0);
	await_end_of(fd);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u", ntohs(address.sin_port));
	assert_noted(expected);
	assert_int_equal(async_server_close(server), 0);

	assert_int_equal(async_start_unix_server(unix_name(true), note_name, NULL, NULL, &server), 0);
	await_end_of(connect_unix(unix_path));
	snprintf(expected, sizeof(expected), "pid %d", (int)getpid());
	assert_noted(expected);
	return async_server_close(server);
}

static void tasks_are_named_after_their_peers(void **state)
{
	(void)state;
	run_server(name_connections, NULL);
}

static intptr_t try_options(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	struct async_stream_options stream = ASYNC_STREAM_OPTIONS_INIT;
	async_server *server = NULL, *other;
	char port[16];

	(void)arg;
	assert_int_equal(async_start_server("127.0.0.1", "0", NULL, NULL, NULL, &server), -EINVAL);
	assert_int_equal(async_start_server("127.0.0.1", NULL, echo, NULL, NULL, &server), -EINVAL);
	assert_int_equal(async_start_server("127.0.0.1", "0", echo, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(async_start_unix_server(NULL, echo, NULL, NULL, &server), -EINVAL);
	assert_int_equal(async_start_server_on(NULL, 0, echo, NULL, NULL, &server), -EINVAL);
	assert_int_equal(async_start_server_on((int[]){-1}, 1, echo, NULL, NULL, &server), -EBADF);
	assert_int_equal(async_start_server("192.0.2.1", "0", echo, NULL, NULL, &server), -EADDRNOTAVAIL);
	options.loops = ASYNC_SERVER_LOOPS_MAX + 1;
	assert_int_equal(async_start_server("127.0.0.1", "0", echo, NULL, &options, &server), -EINVAL);
	options.loops = 0;
	options.stack_size = 1;
	assert_int_equal(async_start_server("127.0.0.1", "0", echo, NULL, &options, &server), -EINVAL);
	options.stack_size = 0;
	options.backlog = -1;
	assert_int_equal(async_start_server("127.0.0.1", "0", echo, NULL, &options, &server), -EINVAL);
	options.backlog = 0;
	options.stream = &stream;
	stream.limit = SIZE_MAX;
	assert_int_equal(async_start_server("127.0.0.1", "0", echo, NULL, &options, &server), -EINVAL);
	options.stream = NULL;
	assert_int_equal(async_server_close(NULL), -EINVAL);
	assert_int_equal(async_server_get_stats(NULL, NULL), -EINVAL);
	assert_null(server);

	options.reuse_port = true;
	assert_int_equal(async_start_server("127.0.0.1", "0", echo, NULL, &options, &server), 0);
	port_of(server, 0, port);
	assert_int_equal(async_start_server("127.0.0.1", port, echo, NULL, &options, &other), 0);
	assert_int_equal(async_server_close(other), 0);
	assert_int_equal(async_start_server("127.0.0.1", port, echo, NULL, NULL, &other), -EADDRINUSE);
	return async_server_close(server);
}

static void options_have_limits(void **state)
{
	(void)state;
	run_server(try_options, NULL);
	assert_int_equal(async_start_server_on((int[]){0}, 1, echo, NULL, NULL, (async_server *[]){NULL}), -EPERM);
}

static intptr_t use_paths(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	const char *path = unix_name(false);
	async_server *server, *other;
	struct stat status;

	(void)arg;
	/* Nobody listens on it any more. */
	int stale = bind_unix(path);
	close(stale);
	assert_int_equal(async_start_unix_server(path, echo, NULL, NULL, &server), -EADDRINUSE);
	options.unlink_existing = true;
	options.mode = 0604;
	assert_int_equal(async_start_unix_server(path, echo, NULL, &options, &server), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0604);
	/* Somebody does. */
	assert_int_equal(async_start_unix_server(path, echo, NULL, &options, &other), -EADDRINUSE);
	assert_int_equal(async_server_close(server), 0);
	assert_int_equal(stat(path, &status), -1);
	/* It is no socket. */
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(async_start_unix_server(path, echo, NULL, &options, &server), -EADDRINUSE);
	unlink(path);
	/* Somebody else's by now. */
	assert_int_equal(async_start_unix_server(path, echo, NULL, NULL, &server), 0);
	unlink(path);
	int theirs = bind_unix(path);
	assert_int_equal(async_server_close(server), 0);
	assert_int_equal(stat(path, &status), 0);
	close(theirs);
	unlink(path);
	return 0;
}

static void paths_are_removed_if_they_are_ours(void **state)
{
	(void)state;
	run_server(use_paths, NULL);
}

static intptr_t take_sockets(void *arg)
{
	const char *path = unix_name(true);
	async_server *server;
	async_stream *stream;
	char port[16];
	int fds[] = {bind_unix(path), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)arg;
	assert_int_equal(bind(fds[1], (void *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fds[1], 10), 0);
	assert_int_equal(async_start_server_on((int[]){fds[0], datagrams}, 2, echo, NULL, NULL, &server), -EINVAL);
	close(datagrams);
	assert_int_equal(async_start_server_on(fds, 2, echo, NULL, NULL, &server), 0);
	port_of(server, 1, port);
	assert_int_equal(async_open_connection("127.0.0.1", port, NULL, &stream), 0);
	assert_echoes(stream);
	assert_int_equal(async_open_unix_connection(path, NULL, &stream), 0);
	assert_echoes(stream);
	return async_server_close(server);
}

static void sockets_can_be_brought(void **state)
{
	(void)state;
	run_server(take_sockets, NULL);
}

/* The end */

static intptr_t abort_server(void *server)
{
	return async_server_abort(server);
}

static intptr_t serve_for_ever(void *server)
{
	return async_server_serve_forever(server);
}

static intptr_t close_gracefully(void *arg)
{
	struct async_event done = ASYNC_EVENT_INIT;
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	struct scene scene;

	(void)arg;
	set_scene(&scene, wait_for_event, &done);
	async_task *server = async_create_task(serve_for_ever, scene.server);
	async_task *closer = async_create_task(close_server, scene.server);
	give_way(5);
	assert_false(async_done(closer));
	assert_int_equal(async_create_connection("127.0.0.1", scene.port, NULL), -ECONNREFUSED);
	assert_int_equal(async_server_address(scene.server, 0, (void *)&address, &size), -EBADF);
	async_event_set(&done);
	assert_int_equal(async_await(closer), 0);
	assert_int_equal(async_await(server), 0);
	await_end_of(scene.client);
	assert_noted("begins ends");
	return 0;
}

static void closing_waits_for_connections(void **state)
{
	(void)state;
	run_server(close_gracefully, NULL);
}

static intptr_t close_with_a_limit(void *arg)
{
	struct async_event never = ASYNC_EVENT_INIT;
	struct scene scene;

	(void)arg;
	set_scene(&scene, wait_for_event, &never);
	assert_int_equal(async_wait_for(async_create_task(close_server, scene.server), 10 * ASYNC_S), -ETIMEDOUT);
	assert_noted("begins cancelled");
	return async_close(scene.client);
}

static void closing_can_be_limited(void **state)
{
	(void)state;
	run_server(close_with_a_limit, NULL);
}

static intptr_t abort_connections(void *arg)
{
	struct async_event never = ASYNC_EVENT_INIT;
	struct scene scene;

	(void)arg;
	set_scene(&scene, wait_for_event, &never);
	assert_int_equal(async_server_abort(scene.server), 0);
	assert_noted("begins cancelled");
	assert_int_equal(async_close(scene.client), 0);
	/* Beside a close that waits; once is enough, what cleans up is not disturbed. */
	set_scene(&scene, clean_up_slowly, &never);
	async_task *closer = async_create_task(close_server, scene.server);
	give_way(3);
	async_task *aborter = async_create_task(abort_server, scene.server);
	assert_int_equal(async_await(closer), 0);
	assert_int_equal(async_await(aborter), 0);
	assert_noted("begins cancelled clean");
	return async_close(scene.client);
}

/* A connection that comes while the server ends is refused, or cancelled like all others. */
static intptr_t abort_beside_connect(void *turns)
{
	struct async_event never = ASYNC_EVENT_INIT;
	struct scene scene;

	assert_int_equal(async_start_server("127.0.0.1", "0", wait_for_event, &never, NULL, &scene.server), 0);
	port_of(scene.server, 0, scene.port);
	give_way(5);
	scene.client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(connect_fd(scene.client, scene.port), 0);
	give_way(*(int *)turns);
	assert_int_equal(async_wait_for(async_create_task(abort_server, scene.server), ASYNC_S), 0);
	forget_notes();
	return async_close(scene.client);
}

static void aborting_beside_a_connect(void **state)
{
	(void)state;
	for (int turns = 0; turns < 8; turns++)
		run_server(abort_beside_connect, &turns);
}

static void aborting_cancels_connections(void **state)
{
	(void)state;
	run_server(abort_connections, NULL);
}

static intptr_t cancel_serving(void *arg)
{
	struct async_event never = ASYNC_EVENT_INIT;
	struct scene scene;

	(void)arg;
	set_scene(&scene, wait_for_event, &never);
	async_task *task = async_create_task(serve_for_ever, scene.server);
	give_way(2);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_noted("begins cancelled");
	return async_close(scene.client);
}

static void serving_is_cancelled(void **state)
{
	(void)state;
	run_server(cancel_serving, NULL);
}

static intptr_t close_from_inside(async_stream *stream, void *arg)
{
	(void)stream;
	return async_server_close(*(async_server **)arg) == -EDEADLK ? 0 : -EINVAL;
}

static intptr_t deadlock(void *arg)
{
	char port[16];
	async_server *server;

	(void)arg;
	assert_int_equal(async_start_server("127.0.0.1", "0", close_from_inside, &server, NULL, &server), 0);
	port_of(server, 0, port);
	await_end_of(async_create_connection("127.0.0.1", port, NULL));
	return async_server_close(server);
}

static void a_connection_cannot_wait_for_itself(void **state)
{
	(void)state;
	run_server(deadlock, NULL);
}

static intptr_t break_listener(void *arg)
{
	async_server *server;
	int fd = bind_unix(unix_name(true)), copy = dup(fd);

	(void)arg;
	assert_int_equal(async_start_server_on(&fd, 1, echo, NULL, NULL, &server), 0);
	assert_int_equal(shutdown(copy, SHUT_RD), 0);
	close(copy);
	assert_int_equal(async_server_serve_forever(server), -EINVAL);
	return 0;
}

static void a_failed_listener_closes_the_server(void **state)
{
	(void)state;
	run_server_reporting(break_listener, NULL, -EINVAL, 1);
}

static intptr_t return_error(async_stream *stream, void *arg)
{
	int error = async_stream_printf(stream, "sorry\n");

	return error ? error : *(int *)arg;
}

/* What the client of a connection gets whose function says `error` and `goodbye`. */
static intptr_t see_result(void *arg)
{
	struct scene scene;
	char buffer[16];

	assert_int_equal(async_start_server("127.0.0.1", "0", return_error, arg, NULL, &scene.server), 0);
	port_of(scene.server, 0, scene.port);
	scene.client = async_create_connection("127.0.0.1", scene.port, NULL);
	ssize_t count = async_recv(scene.client, buffer, sizeof(buffer), 0);
	bool broken = *(int *)arg == -ETIMEDOUT || *(int *)arg == -ECONNRESET || *(int *)arg == -EPIPE;
	if (!broken)
		assert_int_equal(count, 6);
	else
		assert_true(count == -ECONNRESET || count == 6);
	assert_int_equal(async_close(scene.client), 0);
	return async_server_close(scene.server);
}

static void results_are_told_if_they_say_something(void **state)
{
	(void)state;
	for (const int *error = (int[]){-ETIMEDOUT, -ECONNRESET, -EPIPE, 0}; *error; error++)
		run_server(see_result, (void *)(uintptr_t)error);
	run_server_reporting(see_result, (int[]){-EPROTO}, -EPROTO, 1);
}

static intptr_t leave_server(void *arg)
{
	struct scene scene;

	set_scene(&scene, wait_for_event, arg);
	*(int *)((struct async_event *)arg + 1) = scene.client;
	return 0;
}

/* The main task ends and leaves the server behind. */
static void a_loop_that_closes_ends_its_servers(void **state)
{
	struct {
		struct async_event never;
		int client;
	} left = {ASYNC_EVENT_INIT, -1};
	struct async_options options = test_options();
	struct async_runner runner = ASYNC_RUNNER_INIT;
	size_t before = open_descriptors();

	(void)state;
	assert_int_equal(async_runner_open(&runner, &options), 0);
	assert_int_equal(async_runner_run(&runner, leave_server, &left), 0);
	assert_int_equal(async_runner_close(&runner), 0);
	close(left.client);
	assert_noted("begins cancelled");
	assert_int_equal(open_descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_kind_of_address),
		TEST(all_interfaces_share_a_port),
		TEST(tasks_are_named_after_their_peers),
		TEST(options_have_limits),
		TEST(paths_are_removed_if_they_are_ours),
		TEST(sockets_can_be_brought),
		TEST(closing_waits_for_connections),
		TEST(closing_can_be_limited),
		TEST(aborting_cancels_connections),
		TEST(aborting_beside_a_connect),
		TEST(serving_is_cancelled),
		TEST(a_connection_cannot_wait_for_itself),
		TEST(a_failed_listener_closes_the_server),
		TEST(results_are_told_if_they_say_something),
		TEST(a_loop_that_closes_ends_its_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
