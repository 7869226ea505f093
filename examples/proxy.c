/* SPDX-License-Identifier: MIT */
/*
 * Passes TCP connections on to another address.
 *
 * DESIGN. Each direction is a task that reads, writes and waits until the other side has taken most of it: who reads
 * slowly slows down who writes, and the proxy stores 64 KiB at most. The end of one direction is passed on alone, so
 * that a client that has said all can still hear the answer. If one direction breaks, the group ends the other.
 */
#include <async.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct direction {
	async_stream *from, *to;
};

struct addresses {
	const char *host, *port;
	const char *to_host, *to_port;
};

static intptr_t pump(void *arg)
{
	struct direction *direction = arg;
	char buffer[16384];
	ssize_t size;

	while ((size = async_stream_read(direction->from, buffer, sizeof(buffer))) > 0) {
		int error = async_stream_write(direction->to, buffer, (size_t)size);

		if (error == 0)
			error = async_stream_drain(direction->to);
		if (error)
			return error;
	}
	return size < 0 ? size : async_stream_write_eof(direction->to);
}

static intptr_t pump_both(async_stream *client, async_stream *server)
{
	struct direction up = {client, server}, down = {server, client};
	struct async_group group = ASYNC_GROUP_INIT;
	intptr_t error = async_group_begin(&group);

	if (error)
		return error;
	error = async_group_spawn(&group, pump, &up, NULL);
	return async_group_end(&group, error ? error : pump(&down));
}

/* Runs for each connection, as a task of its own. A failure is passed on: the other side sees a reset, too. */
static intptr_t relay(async_stream *client, void *arg)
{
	const struct addresses *addresses = arg;
	async_stream *server;
	const char *host = addresses->to_host, *port = addresses->to_port;
	intptr_t error = async_open_connection(host, port, NULL, &server);

	if (error) {
		if (error != -ECANCELED)
			fprintf(stderr, "proxy: %s:%s: %s\n", host, port, strerror((int)-error));
		return -ECONNRESET;
	}
	error = pump_both(client, server);
	if (error == 0)
		return async_stream_close(server);
	async_stream_abort(server);
	return error;
}

static intptr_t main_task(void *arg)
{
	/* Where nothing is said for a minute there is room for others when that is needed. */
	struct async_server_options options = {.size = sizeof(options), .max_connections = 1000,
					       .evict_after = 60 * ASYNC_S};
	struct sockaddr_in6 address; /* IPv4 has its port in the same place */
	socklen_t size = sizeof(address);
	struct addresses *addresses = arg;
	async_server *server;
	int error = async_start_server(addresses->host, addresses->port, relay, addresses, &options, &server);

	if (error)
		return error;
	async_server_address(server, 0, (struct sockaddr *)&address, &size);
	dprintf(STDOUT_FILENO, "listening on %s:%d\n", addresses->host, ntohs(address.sin6_port));
	/* SIGINT cancels this task, which ends the wait as well. */
	int number = async_signal_wait((int[]){SIGTERM}, 1);
	error = async_server_abort(server);
	return number < 0 ? number : error;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		errx(2, "usage: proxy HOST PORT TO_HOST TO_PORT    (PORT 0: one that is free)");
	struct addresses addresses = {argv[1], argv[2], argv[3], argv[4]};
	intptr_t result = async_run(main_task, &addresses);
	if (result < 0 && result != -EINTR)
		errx(1, "%s:%s: %s", argv[1], argv[2], strerror((int)-result));
	return 0;
}
