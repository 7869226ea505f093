/* SPDX-License-Identifier: MIT */
/* An echo server: a task for each connection. `echo_async epoll|io_uring` prints its port. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <async.h>

static intptr_t serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buffer[1024];
	ssize_t count;

	while ((count = async_recv(fd, buffer, sizeof(buffer), 0)) > 0)
		if (async_send(fd, buffer, (size_t)count, 0) < 0)
			break;
	return async_close(fd);
}

static intptr_t run_server(void *arg)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int listener = async_socket(AF_INET, SOCK_STREAM, 0);

	(void)arg;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) < 0)
		return -1;
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = async_accept(listener, NULL, NULL);

		if (fd < 0)
			return fd;
		async_release(async_create_task(serve, (void *)(intptr_t)fd));
	}
}

int main(int argc, char **argv)
{
	struct async_options options = ASYNC_OPTIONS_INIT;

	options.backend = argc > 1 && strcmp(argv[1], "epoll") == 0 ? ASYNC_BACKEND_EPOLL : ASYNC_BACKEND_IO_URING;
	return async_run_with(run_server, NULL, &options) < 0;
}
