/* SPDX-License-Identifier: MIT */
/* Servers: connections that stand still make room for those that wait. */
#include "harness.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server_peers.h"

static async_server *start(struct async_server_options *options, async_connection_fn *fn, char port[16])
{
	async_server *server;

	options->evict_after = ASYNC_S;
	assert_int_equal(async_start_server("127.0.0.1", "0", fn, NULL, options, &server), 0);
	port_of(server, 0, port);
	return server;
}

static uint64_t evicted(const async_server *server)
{
	struct async_server_stats stats = {.size = sizeof(stats)};

	assert_int_equal(async_server_get_stats(server, &stats), 0);
	return stats.evicted;
}

static async_stream *visit(const char *port)
{
	async_stream *stream;

	assert_int_equal(async_open_connection("127.0.0.1", port, NULL, &stream), 0);
	return stream;
}

/* Says something five times in the time that is stillness. */
static intptr_t keep_talking(void *stream)
{
	int error = 0;
	char *line;

	while (!error) {
		error = async_stream_write(stream, "x\n", 2);
		ssize_t size = async_stream_readline(stream, &line);
		if (!error && size != 2)
			error = size < 0 ? (int)size : -ECONNRESET;
		if (!error)
			error = async_sleep(ASYNC_S / 5);
	}
	async_stream_abort(stream);
	return error;
}

/* Sends for ever. */
static intptr_t flood(async_stream *stream, void *arg)
{
	static const char zeros[65536];
	int error = 0;

	(void)arg;
	while (!error) {
		error = async_stream_write(stream, zeros, sizeof(zeros));
		if (!error)
			error = async_stream_drain(stream);
	}
	return error;
}

static intptr_t echo_task(void *stream)
{
	return echo(stream, NULL);
}

/* Leaves the connection to a task of its own, as a proxy does. */
static intptr_t echo_by_another(async_stream *stream, void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	assert_int_equal(async_group_begin(&group), 0);
	assert_int_equal(async_group_spawn(&group, echo_task, stream, NULL), 0);
	return async_group_end(&group, 0);
}

static intptr_t echo_or_flood(async_stream *stream, void *arg)
{
	char *line;
	ssize_t size = async_stream_readline(stream, &line);

	if (size <= 0)
		return size;
	if (line[0] == 'f')
		return flood(stream, arg);
	assert_int_equal(async_stream_write(stream, line, (size_t)size), 0);
	return echo_by_another(stream, arg);
}

/* Of four one is idle, one does not read what it is sent, and two talk. */
static intptr_t make_room(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	static char buffer[65536];
	async_stream *idle, *deaf, *new;
	async_task *talks[2];
	char port[16], *line;

	(void)arg;
	options.max_connections = 4;
	async_server *server = start(&options, echo_or_flood, port);
	talks[0] = async_create_task(keep_talking, visit(port));
	idle = visit(port);
	await_connections(server, 2);
	deaf = visit(port);
	assert_int_equal(async_stream_write(deaf, "flood\n", 6), 0);
	talks[1] = async_create_task(keep_talking, visit(port));
	await_connections(server, 4);
	/* Nobody waits: for hours nothing happens. */
	assert_int_equal(async_sleep(3 * ASYNC_S), 0);
	assert_int_equal(evicted(server), 0);

	async_time began = async_loop_time(NULL);
	new = visit(port);
	assert_echoes(new);
	assert_true(async_loop_time(NULL) - began >= ASYNC_S);
	assert_true(async_loop_time(NULL) - began <= 2 * ASYNC_S);
	assert_int_equal(evicted(server), 1);
	assert_true(async_stream_readline(idle, &line) <= 0);
	async_stream_abort(idle);
	/* The one that came has gone: there is a place, and nobody must go. */
	await_connections(server, 3);
	new = visit(port);
	assert_int_equal(async_stream_write(new, "x\n", 2), 0);
	assert_int_equal(async_stream_readline(new, &line), 2);
	assert_int_equal(evicted(server), 1);
	async_task *third = async_create_task(keep_talking, new);

	/* The deaf one has stood still for long. */
	new = visit(port);
	assert_echoes(new);
	assert_int_equal(evicted(server), 2);
	for (ssize_t size = 1; size > 0;)
		size = async_stream_read(deaf, buffer, sizeof(buffer));
	async_stream_abort(deaf);

	/* Of those that talk none is sent away, however long one waits. */
	async_task *fourth = async_create_task(keep_talking, visit(port));
	await_connections(server, 4);
	new = visit(port);
	assert_int_equal(async_stream_write(new, "x\n", 2), 0);
	assert_int_equal(async_sleep(20 * ASYNC_S), 0);
	assert_int_equal(evicted(server), 2);
	assert_int_equal(async_stream_buffered(new), 0);
	async_cancel(third, NULL);
	assert_int_equal(async_await(third), -ECANCELED);
	assert_int_equal(async_stream_readline(new, &line), 2);
	async_stream_abort(new);

	async_task *others[] = {talks[0], talks[1], fourth};
	for (size_t i = 0; i < countof(others); i++) {
		assert_false(async_done(others[i]));
		async_cancel(others[i], NULL);
		assert_int_equal(async_await(others[i]), -ECANCELED);
	}
	return async_server_close(server);
}

static void those_that_stand_still_make_room(void **state)
{
	(void)state;
	run_server(make_room, NULL);
}

/* The places are taken in several loops, and whoever waits need not be in the one where something stands still. */
static intptr_t make_room_in_loops(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	async_server *server;
	int clients[40];

	(void)arg;
	options.max_connections = 4;
	options.loops = 3;
	options.evict_after = ASYNC_MS;
	assert_int_equal(async_start_unix_server(unix_name(true), echo, NULL, &options, &server), 0);
	for (size_t i = 0; i < countof(clients); i++) {
		char byte;

		clients[i] = connect_unix(unix_path);
		/* Each is answered, which it is only once it has a place, and then stands still. */
		assert_int_equal(async_send(clients[i], "\n", 1, 0), 1);
		assert_int_equal(async_recv(clients[i], &byte, 1, 0), 1);
	}
	assert_true(evicted(server) >= countof(clients) - 4);
	int error = async_server_abort(server);
	for (size_t i = 0; i < countof(clients); i++)
		close(clients[i]);
	return error;
}

static void room_is_made_in_every_loop(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(run_with(make_room_in_loops, NULL, &options), 0);
	assert_int_equal(reports.count, 0);
}

static intptr_t refuse(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	async_server *server;

	(void)arg;
	options.evict_after = -1;
	assert_int_equal(async_start_server("127.0.0.1", "0", echo, NULL, &options, &server), -EINVAL);
	return 0;
}

static void a_negative_time_is_refused(void **state)
{
	(void)state;
	run_server(refuse, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(those_that_stand_still_make_room),
		TEST(room_is_made_in_every_loop),
		TEST(a_negative_time_is_refused),
	};

	return cmocka_run_group_tests_name("server_evict", tests, NULL, NULL);
}
