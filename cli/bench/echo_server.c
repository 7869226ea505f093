/* SPDX-License-Identifier: MIT */
#include "bench/echo_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load.h"

struct server {
	int to; /* where reports go */
	int fd;
	unsigned expected, left; /* connections */
	uint64_t requests, calls;
	bool over; /* one has ended */
	async_future *all_ended;
	struct echo_report report;
};

static struct server server;

static uint64_t calls_so_far(void)
{
	struct async_loop_stats stats = {.size = sizeof(stats)};

	return async_loop_get_stats(async_get_running_loop(), &stats) == 0 ? stats.system_calls : 0;
}

static intptr_t serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buffer[1024];
	ssize_t count;

	while ((count = async_recv(fd, buffer, sizeof(buffer), 0)) > 0) {
		count = async_send(fd, buffer, (size_t)count, 0);
		if (count < 0)
			break;
		server.requests++;
	}
	if (!server.over && server.requests > 0)
		server.report.calls = (double)(calls_so_far() - server.calls) / (double)server.requests;
	server.over = true;
	count = async_close(fd);
	if (--server.left == 0)
		async_future_set_result(server.all_ended, 0);
	return count;
}

/* Bytes that only this process has, page tables included. */
static double private_memory(void)
{
	static const struct {
		const char *path, *format;
	} parts[] = {{"/proc/self/smaps_rollup", "Private_Dirty: %lf"}, {"/proc/self/status", "VmPTE: %lf"}};
	double sum = 0, kilobytes;
	char line[200];

	for (int i = 0; i < 2; i++) {
		FILE *file = fopen(parts[i].path, "re");

		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, parts[i].format, &kilobytes) == 1)
				sum += kilobytes * 1024;
		if (file)
			fclose(file);
	}
	return sum;
}

static void report(void)
{
	if (write(server.to, &server.report, sizeof(server.report)) != sizeof(server.report))
		_exit(1);
}

static int open_listener(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd = async_socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return -errno;
	server.report.port = ntohs(address.sin_port);
	return fd;
}

static intptr_t run_server(void *arg)
{
	(void)arg;
	server.fd = open_listener();
	if (server.fd < 0)
		return server.fd;
	server.all_ended = async_future_new(NULL, NULL);
	/* Before the first report is made: what reports need is no connection's. */
	server.report.memory = private_memory();
	report();
	for (unsigned i = 0; i < server.expected; i++) {
		int fd = async_accept(server.fd, NULL, NULL);

		if (fd < 0)
			return fd;
		async_release(async_create_task(serve, (void *)(intptr_t)fd));
	}
	/* The last of them gets to where it waits. */
	int slept = async_sleep(20 * ASYNC_MS);
	server.report.memory = private_memory();
	report();
	server.calls = calls_so_far();
	server.requests = 0;
	return slept < 0 ? slept : async_await(server.all_ended);
}

static void be_server(enum async_backend backend, unsigned connections, int to)
{
	struct async_options options = ASYNC_OPTIONS_INIT;

	load_pin(0);
	server = (struct server){.to = to, .expected = connections, .left = connections};
	options.backend = backend;
	server.report.error = (int)async_run_with(run_server, NULL, &options);
	report();
	_exit(0);
}

int echo_server_start(enum async_backend backend, unsigned connections, struct echo_server *ret_server)
{
	struct echo_report first;
	int ends[2];

	load_raise_limit();
	if (pipe(ends) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0)
		be_server(backend, connections, ends[1]);
	close(ends[1]);
	*ret_server = (struct echo_server){.pid = pid, .from = ends[0]};
	int error = pid < 0 ? -EAGAIN : echo_server_report(ret_server, &first);
	if (error < 0)
		echo_server_end(ret_server);
	else
		*ret_server = (struct echo_server){pid, ends[0], first.port, first.memory};
	return error;
}

int echo_server_report(const struct echo_server *from, struct echo_report *ret_report)
{
	if (read(from->from, ret_report, sizeof(*ret_report)) != sizeof(*ret_report))
		return -ECHILD;
	return ret_report->error;
}

void echo_server_end(struct echo_server *running)
{
	close(running->from);
	if (running->pid <= 0)
		return;
	kill(running->pid, SIGKILL);
	waitpid(running->pid, NULL, 0);
}
