/* SPDX-License-Identifier: MIT */
/* Sends back what it receives, on TCP or on a Unix socket. A client that does not read must wait; nothing piles up. */
#include <async.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Runs for each connection, as a task of its own. */
static intptr_t echo(async_stream *stream, void *arg)
{
	char buffer[16384];
	ssize_t size;

	(void)arg;
	while ((size = async_stream_read(stream, buffer, sizeof(buffer))) > 0) {
		int error = async_stream_write(stream, buffer, (size_t)size);

		if (error == 0)
			error = async_stream_drain(stream);
		if (error)
			return error;
	}
	return size;
}

static intptr_t main_task(void *arg)
{
	/* Who says nothing for a minute makes room for others when that is needed. */
	struct async_server_options options = {.size = sizeof(options), .unlink_existing = true,
					       .max_connections = 1000, .evict_after = 60 * ASYNC_S};
	struct sockaddr_in6 address; /* IPv4 has its port in the same place */
	socklen_t size = sizeof(address);
	char **names = arg;
	async_server *server;
	int error = names[1] ? async_start_server(names[0], names[1], echo, NULL, &options, &server)
			     : async_start_unix_server(names[0], echo, NULL, &options, &server);

	if (error)
		return error;
	async_server_address(server, 0, (struct sockaddr *)&address, &size);
	if (names[1])
		dprintf(STDOUT_FILENO, "listening on %s:%d\n", names[0], ntohs(address.sin6_port));
	else
		dprintf(STDOUT_FILENO, "listening on %s\n", names[0]);
	/* SIGINT cancels this task, which ends the wait too. An echo is never finished: the connections are ended. */
	int number = async_signal_wait((int[]){SIGTERM}, 1);
	error = async_server_abort(server);
	return number < 0 ? number : error;
}

int main(int argc, char **argv)
{
	if (argc < 2 || argc > 3 || argv[1][0] == '-')
		errx(2, "usage: echo HOST PORT    (PORT 0: one that is free)\n"
			"       echo PATH         (a Unix socket; @NAME: an abstract one)");
	intptr_t result = async_run(main_task, argv + 1);
	if (result < 0 && result != -EINTR)
		errx(1, "%s%s%s: %s", argv[1], argc > 2 ? ":" : "", argc > 2 ? argv[2] : "", strerror((int)-result));
	return 0;
}
