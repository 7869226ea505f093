/* SPDX-License-Identifier: MIT */
#include "server_peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char unix_path[64];

intptr_t echo(async_stream *stream, void *arg)
{
	char *line;
	ssize_t size;

	(void)arg;
	while ((size = async_stream_readline(stream, &line)) > 0) {
		int error = async_stream_write(stream, line, (size_t)size);

		if (!error)
			error = async_stream_drain(stream);
		if (error)
			return error;
	}
	return size;
}

intptr_t wait_for_event(async_stream *stream, void *event)
{
	(void)stream;
	note("begins");
	int error = async_event_wait(event);
	note(error ? "cancelled" : "ends");
	return error;
}

intptr_t clean_up_slowly(async_stream *stream, void *event)
{
	intptr_t result = wait_for_event(stream, event);

	if (async_sleep(ASYNC_S) == 0)
		note("clean");
	return result;
}

void run_server(async_fn *fn, void *arg)
{
	size_t before = open_descriptors();

	assert_int_equal(run_virtual(fn, arg), 0);
	assert_int_equal(open_descriptors(), before);
}

void run_server_reporting(async_fn *fn, void *arg, intptr_t error, size_t count)
{
	struct async_options options = test_options();
	size_t before = open_descriptors();

	assert_int_equal(run_with(fn, arg, &options), 0);
	assert_int_equal(reports.error, error);
	assert_int_equal(reports.count, count);
	assert_int_equal(open_descriptors(), before);
}

bool has_inet6(void)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool bound = fd >= 0 && bind(fd, (void *)&address, sizeof(address)) == 0;

	if (fd >= 0)
		close(fd);
	return bound;
}

const char *unix_name(bool abstract)
{
	static int serial;

	snprintf(unix_path, sizeof(unix_path), "%stest_server.%d.%d", abstract ? "@" : "/tmp/", (int)getpid(),
		 serial++);
	/* One that had this number before may have been killed. */
	if (!abstract)
		unlink(unix_path);
	return unix_path;
}

void port_of(async_server *server, size_t index, char port[16])
{
	struct sockaddr_in6 address; /* the port is where that of IPv4 is */
	socklen_t size = sizeof(address);

	port[0] = '\0';
	if (async_server_address(server, index, (void *)&address, &size) == 0)
		snprintf(port, 16, "%u", ntohs(address.sin6_port));
}

static struct async_server_stats stats_of(async_server *server)
{
	struct async_server_stats stats = {.size = sizeof(stats)};

	assert_int_equal(async_server_get_stats(server, &stats), 0);
	return stats;
}

void await_connections(async_server *server, size_t count)
{
	while (stats_of(server).connections != count)
		give_way(1);
}

void await_accepted(async_server *server, uint64_t count)
{
	while (stats_of(server).accepted < count)
		if (stats_of(server).paused > 0)
			assert_int_equal(async_sleep(ASYNC_S), 0);
		else
			give_way(1);
}

void set_scene(struct scene *scene, async_connection_fn *fn, void *arg)
{
	assert_int_equal(async_start_server("127.0.0.1", "0", fn, arg, NULL, &scene->server), 0);
	port_of(scene->server, 0, scene->port);
	scene->client = async_create_connection("127.0.0.1", scene->port, NULL);
	assert_true(scene->client >= 0);
	await_connections(scene->server, 1);
}

intptr_t close_server(void *server)
{
	return async_server_close(server);
}

int bind_unix(const char *path)
{
	struct sockaddr_un address;
	int size = async_unix_address(path, &address), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (void *)&address, (socklen_t)size), 0);
	return fd;
}

int connect_unix_if_possible(const char *path)
{
	struct sockaddr_un address;
	int size = async_unix_address(path, &address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)!connect(fd, (void *)&address, (socklen_t)size);
	return fd;
}

int connect_unix(const char *path)
{
	int fd = connect_unix_if_possible(path);

	assert_int_equal(getpeername(fd, (struct sockaddr *)&(struct sockaddr_un){0},
				     &(socklen_t){sizeof(struct sockaddr_un)}), 0);
	return fd;
}

int connect_fd(int fd, const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	address.sin_port = htons((in_port_t)atoi(port));
	return connect(fd, (void *)&address, sizeof(address)) < 0 && errno != EINPROGRESS ? -errno : 0;
}

void assert_echoes(async_stream *stream)
{
	char *line;

	assert_int_equal(async_stream_printf(stream, "hello\n"), 0);
	assert_int_equal(async_stream_readline(stream, &line), 6);
	assert_memory_equal(line, "hello\n", 6);
	assert_int_equal(async_stream_close(stream), 0);
}

void assert_echoes_fd(int fd)
{
	char buffer[8];

	assert_int_equal(async_send(fd, "hello\n", 6, 0), 6);
	assert_int_equal(async_recv(fd, buffer, sizeof(buffer), 0), 6);
	assert_memory_equal(buffer, "hello\n", 6);
	assert_int_equal(async_close(fd), 0);
}

void await_end_of(int fd)
{
	char byte;

	assert_true(fd >= 0);
	assert_int_equal(async_recv(fd, &byte, 1, 0), 0);
	assert_int_equal(async_close(fd), 0);
}
