/* SPDX-License-Identifier: MIT */
#include "bench/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SIZE 64
#define WARM_UP 2e8 /* ns */
#define EVENTS 256

struct connection {
	int fd;
	unsigned missing; /* bytes that have not come back */
};

void load_pin(int which)
{
	static cpu_set_t all;
	static bool known;
	cpu_set_t one;

	if (!known)
		known = sched_getaffinity(0, sizeof(all), &all) == 0;
	CPU_ZERO(&one);
	for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all) && seen++ == which % CPU_COUNT(&all))
			CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), which < 0 ? &all : &one);
}

void load_raise_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int connect_once(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

int load_connect(uint16_t port, int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		fds[i] = connect_once(port);
		if (fds[i] < 0) {
			load_disconnect(fds, i);
			return fds[i];
		}
	}
	return 0;
}

void load_disconnect(const int *fds, unsigned count)
{
	/* A reset: nothing stays behind in TIME_WAIT. */
	struct linger linger = {.l_onoff = 1};

	for (unsigned i = 0; i < count; i++) {
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(fds[i]);
	}
}

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Sends the next request. Returns: 0 or -errno. */
static int ask(struct connection *connection)
{
	static const char request[SIZE];

	connection->missing = SIZE;
	return send(connection->fd, request, SIZE, MSG_NOSIGNAL) == SIZE ? 0 : -EIO;
}

/* Takes what has come, and asks again if that was all. Returns: 1 if it was, 0 or -errno. */
static int advance(struct connection *connection)
{
	char buffer[SIZE];
	ssize_t count = recv(connection->fd, buffer, connection->missing, MSG_DONTWAIT);

	if (count <= 0)
		return count < 0 && errno == EAGAIN ? 0 : -ECONNRESET;
	connection->missing -= (unsigned)count;
	if (connection->missing > 0)
		return 0;
	int error = ask(connection);
	return error < 0 ? error : 1;
}

/* Returns: the requests that were answered until `end`, or -errno. */
static long run_until(int epoll_fd, double end)
{
	struct epoll_event events[EVENTS];
	long answered = 0;

	while (now(CLOCK_MONOTONIC) < end) {
		int n = epoll_wait(epoll_fd, events, EVENTS, 100);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++) {
			int done = advance(events[i].data.ptr);

			if (done < 0)
				return done;
			answered += done;
		}
	}
	return answered;
}

static int begin(int epoll_fd, const int *fds, struct connection *connections, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &connections[i]};

		connections[i].fd = fds[i];
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &event) < 0)
			return -errno;
		int error = ask(&connections[i]);
		if (error < 0)
			return error;
	}
	return 0;
}

static int measure(int epoll_fd, double duration, pid_t server, struct load_result *result)
{
	clockid_t cpu;
	double start, cpu_start;
	long answered;

	if (clock_getcpuclockid(server, &cpu) != 0)
		return -ESRCH;
	answered = run_until(epoll_fd, now(CLOCK_MONOTONIC) + WARM_UP);
	start = now(CLOCK_MONOTONIC);
	cpu_start = now(cpu);
	if (answered >= 0)
		answered = run_until(epoll_fd, start + duration);
	if (answered <= 0)
		return answered < 0 ? (int)answered : -ETIMEDOUT;
	result->cpu = (now(cpu) - cpu_start) / (double)answered;
	result->rate = (double)answered / ((now(CLOCK_MONOTONIC) - start) / 1e9);
	return 0;
}

int load_run(uint16_t port, unsigned count, double duration, pid_t server, struct load_result *result)
{
	int *fds = calloc(count, sizeof(*fds));
	struct connection *connections = calloc(count, sizeof(*connections));
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int error = fds && connections && epoll_fd >= 0 ? load_connect(port, fds, count) : -ENOMEM;

	if (error == 0) {
		error = begin(epoll_fd, fds, connections, count);
		if (error == 0)
			error = measure(epoll_fd, duration, server, result);
		load_disconnect(fds, count);
	}
	close(epoll_fd);
	free(connections);
	free(fds);
	return error;
}
