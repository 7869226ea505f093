/* SPDX-License-Identifier: MIT */
/*
 * DESIGN: a server on one processor, load in this process on the other. Both backends are measured in turns, so that
 * what disturbs one disturbs the other, and all figures of a number of connections come from the same runs: the first
 * that is asked for makes them.
 */
#include <errno.h>
#include <stdlib.h>

#include "bench.h"
#include "bench/echo_server.h"
#include "bench/load.h"

#define ROUNDS 5
#define DURATION 6e8 /* ns */
#define IDLE 10000

enum figure { RATE, CPU, CALLS, FIGURES };
enum size { CONNECTIONS_50, CONNECTIONS_1000, SIZES };

static const unsigned connections[SIZES] = {50, 1000};
static const enum async_backend backends[] = {ASYNC_BACKEND_EPOLL, ASYNC_BACKEND_IO_URING};

static struct {
	bool known;
	int error[2]; /* of each backend */
	double figures[2][FIGURES];
} measured[SIZES];

static int run_once(enum async_backend backend, unsigned count, double figures[FIGURES])
{
	struct echo_server server;
	struct echo_report report;
	struct load_result result = {0};
	int error = echo_server_start(backend, count, &server);

	if (error < 0)
		return error;
	load_pin(1);
	error = load_run(server.port, count, DURATION, server.pid, &result);
	load_pin(-1);
	for (int i = 0; i < 2 && error == 0; i++)
		error = echo_server_report(&server, &report);
	echo_server_end(&server);
	if (error < 0)
		return error;
	figures[RATE] = result.rate;
	figures[CPU] = result.cpu;
	figures[CALLS] = report.calls;
	return 0;
}

static void run_in_turns(enum size size)
{
	double values[2][FIGURES][ROUNDS];

	measured[size].known = true;
	for (int round = 0; round < ROUNDS; round++) {
		for (int b = 0; b < 2; b++) {
			double figures[FIGURES] = {0};

			if (measured[size].error[b] == 0)
				measured[size].error[b] = run_once(backends[b], connections[size], figures);
			for (int f = 0; f < FIGURES; f++)
				values[b][f][round] = figures[f];
		}
	}
	for (int b = 0; b < 2; b++)
		for (int f = 0; f < FIGURES; f++)
			measured[size].figures[b][f] = bench_median(values[b][f], ROUNDS);
}

#define WHICH(size, backend, figure) ((size) << 8 | (backend) << 4 | (figure))

static int measure_echo(const struct benchmark *benchmark, struct bench_result *result)
{
	enum size size = benchmark->parameter >> 8;
	unsigned backend = benchmark->parameter >> 4 & 1, figure = benchmark->parameter & 15;

	if (!measured[size].known)
		run_in_turns(size);
	result->value = measured[size].figures[backend][figure];
	return measured[size].error[backend];
}

static int weigh(const struct benchmark *benchmark, struct bench_result *result)
{
	struct echo_server server;
	struct echo_report report;
	int *fds = calloc(IDLE, sizeof(*fds));
	int error = fds ? echo_server_start(backends[benchmark->parameter], IDLE, &server) : -ENOMEM;

	if (error == 0) {
		double before = server.memory;

		error = load_connect(server.port, fds, IDLE);
		if (error == 0) {
			error = echo_server_report(&server, &report);
			load_disconnect(fds, IDLE);
		}
		result->value = (report.memory - before) / IDLE;
		echo_server_end(&server);
	}
	free(fds);
	return error;
}

#define ECHO(count, backend_name, backend) \
	{"echo." #count "." backend_name, "req/s", 1, "64 bytes there and back, " #count " connections", measure_echo, \
	 WHICH(CONNECTIONS_##count, backend, RATE)}, \
	{"echo." #count "." backend_name ".cpu", "ns", 1, "the server's processor time for each", measure_echo, \
	 WHICH(CONNECTIONS_##count, backend, CPU)}, \
	{"echo." #count "." backend_name ".calls", "calls", 1, "its system calls for each", measure_echo, \
	 WHICH(CONNECTIONS_##count, backend, CALLS)}

const struct benchmark bench_echo[] = {
	ECHO(50, "epoll", 0),
	ECHO(50, "io_uring", 1),
	ECHO(1000, "epoll", 0),
	ECHO(1000, "io_uring", 1),
	{"idle.10000.epoll", "bytes", 1, "memory for each of 10,000 connections that wait", weigh, 0},
	{"idle.10000.io_uring", "bytes", 1, "the same", weigh, 1},
	{.name = NULL},
};
