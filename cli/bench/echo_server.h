/* SPDX-License-Identifier: MIT */
/* An echo server in a process of its own: a task for each connection, on the first processor. */
#ifndef CLI_BENCH_ECHO_SERVER_H
#define CLI_BENCH_ECHO_SERVER_H

#include <stdint.h>
#include <sys/types.h>

#include <async.h>

struct echo_server {
	pid_t pid;
	int from; /* where its reports come from */
	uint16_t port;
	double memory; /* of the process before anybody connected, bytes */
};

/* What it says of itself: once it listens, once all have connected, and at its end. */
struct echo_report {
	int error;
	uint16_t port;
	double memory; /* of the process, bytes */
	double calls;  /* system calls a request, from the last connection to the first that ends */
};

/* Starts a server that ends after `connections` connections. Returns: 0 or -errno. */
int echo_server_start(enum async_backend backend, unsigned connections, struct echo_server *ret_server);
/* Waits for its next report. Returns: 0 or -errno. */
int echo_server_report(const struct echo_server *server, struct echo_report *ret_report);
/* Kills it if it is still there. */
void echo_server_end(struct echo_server *server);

#endif
