/* SPDX-License-Identifier: MIT */
/* What the tests of servers have in common: functions of connections, and clients. */
#ifndef TESTS_SERVER_PEERS_H
#define TESTS_SERVER_PEERS_H

#include "harness.h"

/* Functions of connections. What they wait for, or count in, is their argument. */

/* Lines go back as they came. */
intptr_t echo(async_stream *stream, void *arg);
/* Notes "begins", waits for the event, and notes "ends" or "cancelled". */
intptr_t wait_for_event(async_stream *stream, void *event);
/* The same, takes a while after a cancellation, and notes "clean" if that was the only one. */
intptr_t clean_up_slowly(async_stream *stream, void *event);

/* Runs on a virtual clock, and sees to it that no descriptor and no task is left and nothing was reported; or only
 * this, so many times. */
void run_server(async_fn *fn, void *arg);
void run_server_reporting(async_fn *fn, void *arg, intptr_t error, size_t count);

/* A server on 127.0.0.1 with one connection whose function is under way. */
struct scene {
	async_server *server;
	int client;
	char port[16];
};

void set_scene(struct scene *scene, async_connection_fn *fn, void *arg);

/* async_server_close for a task. */
intptr_t close_server(void *server);

/* A machine may have no IPv6. */
bool has_inet6(void);

/* A name that nobody has, also in `unix_path`: of a file or abstract. */
extern char unix_path[64];
const char *unix_name(bool abstract);

/* The port of a listener. */
void port_of(async_server *server, size_t index, char port[16]);
/* Gives way until a server serves, or ever accepted, so many. */
void await_connections(async_server *server, size_t count);
void await_accepted(async_server *server, uint64_t count);

int bind_unix(const char *path);
int connect_unix(const char *path);
int connect_unix_if_possible(const char *path);
/* Connects to a port of 127.0.0.1 without a task's help: 0, or it is under way, or -errno. */
int connect_fd(int fd, const char *port);
/* Says a line, expects it back, closes. */
void assert_echoes(async_stream *stream);
void assert_echoes_fd(int fd);
/* Expects the end of the connection, and closes. */
void await_end_of(int fd);

#endif
