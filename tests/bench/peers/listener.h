/* SPDX-License-Identifier: MIT */
/* What the raw servers begin with: a listening socket on a free port, which is printed. */
#ifndef BENCH_PEERS_LISTENER_H
#define BENCH_PEERS_LISTENER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static inline int open_listener(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		exit(1);
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

#endif
