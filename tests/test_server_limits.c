/* SPDX-License-Identifier: MIT */
/* Servers: their limits, what peers do to them, and every call failing once. */
#include "harness.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "server_peers.h"

/* Limits */

struct crowd {
	size_t now, most, served;
	struct async_event leave;
};

static intptr_t join_crowd(async_stream *stream, void *arg)
{
	struct crowd *crowd = arg;
	char byte;

	crowd->now++;
	crowd->served++;
	if (crowd->now > crowd->most)
		crowd->most = crowd->now;
	ssize_t count = async_stream_read(stream, &byte, 1);
	crowd->now--;
	return count < 0 ? count : 0;
}

static intptr_t limit_connections(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	struct crowd crowd = {0};
	const char *hosts[] = {"127.0.0.1", has_inet6() ? "::1" : "127.0.0.1"};
	async_server *server;
	int clients[10];
	char port[16];

	(void)arg;
	options.max_connections = 3;
	assert_int_equal(async_start_server(NULL, "0", join_crowd, &crowd, &options, &server), 0);
	port_of(server, 0, port);
	for (size_t i = 0; i < countof(clients); i++) {
		clients[i] = async_create_connection(hosts[i % 2], port, NULL);
		assert_true(clients[i] >= 0);
	}
	await_connections(server, 3);
	for (size_t i = 0; i < countof(clients); i++) {
		give_way(10);
		assert_int_equal(crowd.most, 3);
		/* Its place goes to another; who left before it had one gets it all the same. */
		assert_int_equal(async_close(clients[i]), 0);
	}
	while (crowd.served < countof(clients) || crowd.now > 0)
		give_way(1);
	assert_int_equal(crowd.most, 3);
	/* Closing while it is full, and somebody waits. */
	for (size_t i = 0; i < 5; i++)
		clients[i] = async_create_connection(hosts[i % 2], port, NULL);
	await_connections(server, 3);
	assert_int_equal(async_server_abort(server), 0);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(async_close(clients[i]), 0);
	return 0;
}

static void connections_are_limited(void **state)
{
	(void)state;
	run_server(limit_connections, NULL);
}

static intptr_t run_out_of_descriptors(void *arg)
{
	struct async_server_stats stats = {.size = sizeof(stats)};
	struct rlimit limit, low;
	struct scene scene;
	int others[4];

	(void)arg;
	set_scene(&scene, echo, NULL);
	for (size_t i = 0; i < countof(others); i++) {
		others[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(others[i] >= 0);
	}
	int lowest = dup(others[0]);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (size_t i = 0; i < countof(others); i++)
		assert_int_equal(connect_fd(others[i], scene.port), 0);
	do {
		give_way(1);
		assert_int_equal(async_server_get_stats(scene.server, &stats), 0);
	} while (stats.paused == 0);
	/* Several pauses are one episode. */
	assert_int_equal(async_sleep(5 * ASYNC_S), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(reports.count, 1);
	/* None was lost. */
	for (size_t i = 0; i < countof(others); i++)
		assert_echoes_fd(others[i]);
	assert_int_equal(async_server_get_stats(scene.server, &stats), 0);
	assert_int_equal(stats.accepted, 1 + countof(others));
	assert_int_equal(stats.paused, 0);
	assert_int_equal(async_close(scene.client), 0);
	return async_server_close(scene.server);
}

static void descriptors_run_out(void **state)
{
	(void)state;
	if (under_tool("valgrind")) /* which has limits of its own */
		skip();
	run_server_reporting(run_out_of_descriptors, NULL, -EMFILE, 1);
}

static intptr_t fail_accept(void *arg)
{
	struct scene scene;

	assert_int_equal(async_start_server("127.0.0.1", "0", echo, NULL, NULL, &scene.server), 0);
	port_of(scene.server, 0, scene.port);
	give_way(3);
	fault_arm("accept4", 1, *(int *)arg);
	scene.client = async_create_connection("127.0.0.1", scene.port, NULL);
	assert_echoes_fd(scene.client);
	assert_true(fault_disarm() > 1);
	return async_server_close(scene.server);
}

static void errors_of_accept_lose_no_connection(void **state)
{
	static const int harmless[] = {-EINTR, -EAGAIN, -ECONNABORTED, -ECONNRESET, -EPROTO, -ENETDOWN, -EPERM};
	static const int shortages[] = {-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM};

	(void)state;
	for (size_t i = 0; i < countof(harmless); i++)
		run_server(fail_accept, (void *)(uintptr_t)&harmless[i]);
	for (size_t i = 0; i < countof(shortages); i++)
		run_server_reporting(fail_accept, (void *)(uintptr_t)&shortages[i], shortages[i], 1);
}

/* Memory that is short after the connection was accepted. */
static intptr_t fail_allocations(void *arg)
{
	struct scene scene;

	(void)arg;
	for (unsigned long nth = 1, seen = nth; seen >= nth; nth++) {
		assert_int_equal(async_start_server("127.0.0.1", "0", echo, NULL, NULL, &scene.server), 0);
		port_of(scene.server, 0, scene.port);
		give_way(3);
		scene.client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_int_equal(connect_fd(scene.client, scene.port), 0);
		fault_arm("malloc", nth, -ENOMEM);
		await_accepted(scene.server, 1);
		seen = fault_disarm();
		assert_echoes_fd(scene.client);
		assert_int_equal(async_server_close(scene.server), 0);
	}
	return 0;
}

static void want_of_memory_loses_no_connection(void **state)
{
	struct async_options options = test_options();
	size_t before = open_descriptors();

	(void)state;
	assert_int_equal(run_with(fail_allocations, NULL, &options), 0);
	assert_int_equal(reports.error, -ENOMEM);
	assert_int_equal(open_descriptors(), before);
}

/* Peers */

static intptr_t open_and_drop(void *arg)
{
	const struct linger reset = {.l_onoff = 1};
	size_t count = test_many(20000);
	struct scene scene;

	(void)arg;
	set_scene(&scene, echo, NULL);
	for (size_t i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		assert_int_equal(connect_fd(fd, scene.port), 0);
		if (i % 2)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (i % 3 == 0)
			send(fd, "some", 4, MSG_NOSIGNAL);
		close(fd);
		if (i % 50 == 0)
			give_way(3);
	}
	assert_echoes_fd(scene.client);
	return async_server_close(scene.server);
}

static void many_connections_come_and_go(void **state)
{
	(void)state;
	run_server(open_and_drop, NULL);
}

static intptr_t face_peers(void *arg)
{
	const struct linger reset = {.l_onoff = 1};
	struct scene scene;
	char buffer[64];
	size_t got = 0;

	(void)arg;
	/* One that resets. */
	set_scene(&scene, echo, NULL);
	assert_int_equal(setsockopt(scene.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	assert_int_equal(async_close(scene.client), 0);
	await_connections(scene.server, 0);
	assert_int_equal(async_server_close(scene.server), 0);
	/* One that says all and half-closes: it gets all back, and then the end. */
	set_scene(&scene, echo, NULL);
	assert_int_equal(async_send(scene.client, "a\nb\nc", 5, 0), 5);
	assert_int_equal(shutdown(scene.client, SHUT_WR), 0);
	for (ssize_t n; (n = async_recv(scene.client, buffer + got, sizeof(buffer) - got, 0)) > 0; got += (size_t)n)
		;
	assert_int_equal(got, 5);
	assert_memory_equal(buffer, "a\nb\nc", 5);
	assert_int_equal(async_close(scene.client), 0);
	assert_int_equal(async_server_close(scene.server), 0);
	/* One that says it byte by byte. */
	set_scene(&scene, echo, NULL);
	for (const char *c = "slowly\n"; *c; c++) {
		assert_int_equal(async_send(scene.client, c, 1, 0), 1);
		give_way(3);
	}
	assert_int_equal(async_recv(scene.client, buffer, sizeof(buffer), 0), 7);
	assert_int_equal(async_close(scene.client), 0);
	assert_int_equal(async_server_close(scene.server), 0);
	/* One that says nothing. */
	set_scene(&scene, echo, NULL);
	assert_int_equal(async_server_abort(scene.server), 0);
	assert_int_equal(async_close(scene.client), 0);
	return 0;
}

static void peers_do_as_they_like(void **state)
{
	(void)state;
	run_server(face_peers, NULL);
}

static intptr_t send_for_ever(void *arg)
{
	static char block[65536];
	ssize_t count;

	memset(block, '\n', sizeof(block));
	while ((count = async_send(*(int *)arg, block, sizeof(block), 0)) > 0)
		;
	return count;
}

/* It never reads what comes back: the server stops reading, and holds no more than its limits. */
static intptr_t face_a_flood(void *arg)
{
	struct scene scene;

	(void)arg;
	set_scene(&scene, echo, NULL);
	async_task *sender = async_create_task(send_for_ever, &scene.client);
	assert_int_equal(async_sleep(ASYNC_S), 0);
	assert_false(async_done(sender));
	assert_int_equal(async_wait_for(async_create_task(close_server, scene.server), 5 * ASYNC_S), -ETIMEDOUT);
	intptr_t result = async_await(sender);
	assert_true(result == -ECONNRESET || result == -EPIPE);
	return async_close(scene.client);
}

static void peers_that_send_for_ever_are_held_up(void **state)
{
	(void)state;
	run_server(face_a_flood, NULL);
}

/* Every call fails once */

static intptr_t serve_one(void *arg)
{
	struct scene scene = {.client = -1};
	bool unix_socket = *(bool *)arg;
	char byte;

	int error = unix_socket ? async_start_unix_server(unix_name(false), echo, NULL, NULL, &scene.server)
				: async_start_server("127.0.0.1", "0", echo, NULL, NULL, &scene.server);
	if (error)
		return error;
	if (unix_socket) {
		scene.client = connect_unix_if_possible(unix_path);
	} else {
		port_of(scene.server, 0, scene.port);
		scene.client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect_fd(scene.client, scene.port);
	}
	send(scene.client, "\n", 1, MSG_NOSIGNAL);
	ssize_t count = async_recv(scene.client, &byte, 1, 0);
	close(scene.client);
	error = async_server_close(scene.server);
	return error ? error : count < 0 ? count : 0;
}

static bool over_unix;

static intptr_t serve_one_of_kind(void *arg)
{
	(void)arg;
	return serve_one(&over_unix);
}

static intptr_t serve_once(void)
{
	return run_to_the_end(serve_one_of_kind);
}

static void every_failure_is_survived(void **state)
{
	static const int errors[] = {-ENOMEM, -EMFILE, -EINTR, -ECONNRESET};

	(void)state;
	for (int i = 0; i < 2; i++) {
		over_unix = i;
		fail_every_call(serve_once, errors, countof(errors));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(connections_are_limited),
		TEST(descriptors_run_out),
		TEST(errors_of_accept_lose_no_connection),
		TEST(want_of_memory_loses_no_connection),
		TEST(many_connections_come_and_go),
		TEST(peers_do_as_they_like),
		TEST(peers_that_send_for_ever_are_held_up),
		TEST(every_failure_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
