/* SPDX-License-Identifier: MIT */
/* Connecting by name: the order of the addresses, which of them wins, and what is left when none does. */
#include "harness.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "net/eyeballs.h"

/* The order */

static void assert_order(const char *families, const char *expected)
{
	struct addrinfo list[16] = {{0}};
	const struct addrinfo *order[16];
	size_t count = strlen(families);
	char got[64] = "";

	for (size_t i = 0; i < count; i++)
		list[i] = (struct addrinfo){.ai_family = families[i] == '6' ? AF_INET6 : AF_INET,
					    .ai_next = i + 1 < count ? &list[i + 1] : NULL};
	eyeballs_order(list, order);
	for (size_t i = 0; i < count; i++)
		sprintf(got + 2 * i, "%c%c", order[i]->ai_family == AF_INET6 ? '6' : '4',
			(char)('a' + (order[i] - list)));
	assert_string_equal(got, expected);
}

static void families_take_turns(void **state)
{
	(void)state;
	assert_order("4", "4a");
	assert_order("666444", "6a4d6b4e6c4f");
	assert_order("444466", "4a6e4b6f4c4d");
	assert_order("466666", "4a6b6c6d6e6f");
	assert_order("646464", "6a4b6c4d6e4f");
	assert_order("6666", "6a6b6c6d");
}

/* Listeners on addresses of the loopback, and what a resolver would say of them. */

struct host {
	struct sockaddr_in addresses[8];
	struct addrinfo list[8];
	size_t count;
	int listeners[8], fillers[8];
};

enum manner {
	ANSWERS,
	REFUSES, /* bound, and does not listen */
	SILENT,  /* its backlog is full, and what comes then is dropped */
	AWAY,    /* no such address */
};

static void add_address(struct host *host, enum manner manner)
{
	size_t i = host->count++;
	struct sockaddr_in *address = &host->addresses[i];
	socklen_t size = sizeof(*address);

	*address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i)};
	host->listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	host->fillers[i] = -1;
	assert_int_equal(bind(host->listeners[i], (void *)address, size), 0);
	assert_int_equal(getsockname(host->listeners[i], (void *)address, &size), 0);
	if (manner == ANSWERS || manner == SILENT)
		assert_int_equal(listen(host->listeners[i], manner == SILENT ? 0 : 8), 0);
	if (manner == SILENT) {
		host->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(host->fillers[i], (void *)address, size), 0);
	}
	host->list[i] = (struct addrinfo){.ai_family = AF_INET, .ai_socktype = SOCK_STREAM,
					  .ai_addr = (void *)address, .ai_addrlen = size};
	/* A family that no kernel connects stream sockets of. */
	if (manner == AWAY)
		host->list[i].ai_family = AF_APPLETALK;
	if (i > 0)
		host->list[i - 1].ai_next = &host->list[i];
}

static void host_close(struct host *host)
{
	for (size_t i = 0; i < host->count; i++) {
		close(host->listeners[i]);
		if (host->fillers[i] >= 0)
			close(host->fillers[i]);
	}
}

/* Which address a socket is connected to; closes it. */
static int winner(const struct host *host, int fd)
{
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);

	if (fd < 0)
		return fd;
	assert_int_equal(getpeername(fd, (void *)&peer, &size), 0);
	assert_int_equal(async_close(fd), 0);
	for (size_t i = 0; i < host->count; i++)
		if (memcmp(&peer, &host->addresses[i], sizeof(peer)) == 0)
			return (int)i;
	return -ENOENT;
}

static const enum manner *manners;
static async_time took;

/* `manners` up to AWAY + 1: who wins. */
static intptr_t race(void *arg)
{
	struct host host = {0};
	async_time begun = async_loop_time(NULL);

	(void)arg;
	for (const enum manner *manner = manners; *manner <= AWAY; manner++)
		add_address(&host, *manner);
	int won = winner(&host, eyeballs_connect(host.list, NULL, 250 * ASYNC_MS));
	took = async_loop_time(NULL) - begun;
	host_close(&host);
	return won;
}

#define RACE(...) (manners = (enum manner[]){__VA_ARGS__, AWAY + 1}, run_race())

static int run_race(void)
{
	size_t before = open_descriptors();
	int won = (int)run_virtual(race, NULL);

	assert_int_equal(open_descriptors(), before);
	return won;
}

static void the_first_that_answers_wins(void **state)
{
	(void)state;
	assert_int_equal(RACE(ANSWERS), 0);
	assert_int_equal(RACE(ANSWERS, ANSWERS), 0);
	/* What fails is followed at once. */
	assert_int_equal(RACE(REFUSES, ANSWERS), 1);
	assert_int_equal(RACE(AWAY, REFUSES, AWAY, ANSWERS), 3);
	assert_int_equal(took, 0);
	/* What is silent gets its time, and no more. */
	assert_int_equal(RACE(SILENT, ANSWERS), 1);
	assert_int_equal(took, 250 * ASYNC_MS);
	assert_int_equal(RACE(SILENT, SILENT, REFUSES, ANSWERS), 3);
	assert_int_equal(took, 500 * ASYNC_MS);
}

static void the_error_says_most(void **state)
{
	(void)state;
	assert_int_equal(RACE(REFUSES), -ECONNREFUSED);
	assert_int_equal(RACE(REFUSES, AWAY), -ECONNREFUSED);
	assert_int_equal(RACE(AWAY, REFUSES), -ECONNREFUSED);
	assert_int_equal(RACE(AWAY, AWAY), -EAFNOSUPPORT);
}

static intptr_t late_answer(void *arg)
{
	struct host host = {0};
	intptr_t *fd = arg;

	add_address(&host, SILENT);
	add_address(&host, SILENT);
	*fd = eyeballs_connect(host.list, NULL, 250 * ASYNC_MS);
	host_close(&host);
	return *fd;
}

/* Both attempts are under way when somebody has enough of it. */
static intptr_t give_up(void *arg)
{
	intptr_t fd = 0;

	(void)arg;
	assert_int_equal(async_wait_for(async_create_task(late_answer, &fd), ASYNC_S), -ETIMEDOUT);
	assert_int_equal(fd, -ECANCELED);
	async_task *task = async_create_task(late_answer, &fd);
	give_way(3);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	return 0;
}

static void cancelling_closes_everything(void **state)
{
	size_t before = open_descriptors();

	(void)state;
	assert_int_equal(run_virtual(give_up, NULL), 0);
	assert_int_equal(open_descriptors(), before);
}

/* By name */

static char port[16];
static int listener;

static void listen_somewhere(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (void *)&address, size), 0);
	assert_int_equal(getsockname(listener, (void *)&address, &size), 0);
	assert_int_equal(listen(listener, 100), 0);
	snprintf(port, sizeof(port), "%u", ntohs(address.sin_port));
}

/* On which nobody listens. */
static void free_port(char name[16])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (void *)&address, size), 0);
	assert_int_equal(getsockname(fd, (void *)&address, &size), 0);
	close(fd);
	snprintf(name, 16, "%u", ntohs(address.sin_port));
}

static intptr_t connect_by_name(void *arg)
{
	struct async_connection_options options = ASYNC_CONNECTION_OPTIONS_INIT;
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);
	async_stream *stream;
	char byte;
	int on = 0;

	(void)arg;
	/* "localhost" may be ::1 first, where nobody listens. */
	for (const char **host = (const char *[]){"127.0.0.1", "localhost", NULL, ""}; !*host || **host; host++) {
		int fd = async_create_connection(*host, port, NULL);
		assert_true(fd >= 0);
		int accepted = async_accept(listener, NULL, NULL);
		assert_true(accepted >= 0);
		assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &(socklen_t){sizeof(on)}), 0);
		assert_int_not_equal(on, 0);
		assert_int_equal(async_close(fd), 0);
		assert_int_equal(async_close(accepted), 0);
	}
	options.local_host = "127.0.0.9";
	assert_int_equal(async_open_connection("127.0.0.1", port, &options, &stream), 0);
	int accepted = async_accept(listener, (void *)&peer, &size);
	assert_true(accepted >= 0);
	assert_int_equal(ntohl(peer.sin_addr.s_addr), 0x7f000009);
	assert_int_equal(async_stream_printf(stream, "x"), 0);
	assert_int_equal(async_recv(accepted, &byte, 1, 0), 1);
	assert_int_equal(async_stream_close(stream), 0);
	assert_int_equal(async_close(accepted), 0);
	/* From a port of our own, whatever the address. */
	char local[16];
	free_port(local);
	options.local_host = NULL;
	options.local_service = local;
	options.family = AF_INET;
	int fd = async_create_connection("127.0.0.1", port, &options);
	assert_true(fd >= 0);
	accepted = async_accept(listener, (void *)&peer, &size);
	assert_string_equal(local, (snprintf(local + 8, 8, "%u", ntohs(peer.sin_port)), local + 8));
	assert_int_equal(async_close(fd), 0);
	assert_int_equal(async_close(accepted), 0);
	/* From the port where nobody listens but this socket. */
	free_port(local);
	return async_create_connection("127.0.0.1", local, &options) == -ECONNREFUSED ? 0 : -EISCONN;
}

static intptr_t fail_to_connect(void *arg)
{
	struct async_connection_options options = ASYNC_CONNECTION_OPTIONS_INIT;
	async_stream *stream = NULL;

	(void)arg;
	assert_int_equal(async_open_connection("127.0.0.1", NULL, NULL, &stream), -EINVAL);
	assert_int_equal(async_open_connection("127.0.0.1", port, NULL, NULL), -EINVAL);
	assert_int_equal(async_open_unix_connection(NULL, NULL, &stream), -EINVAL);
	assert_int_equal(async_open_unix_connection("/nonexistent/socket", NULL, &stream), -ENOENT);
	assert_int_equal(async_open_unix_connection("@nobody listens here", NULL, &stream), -ECONNREFUSED);
	assert_int_equal(async_open_connection("127.0.0.300", port, NULL, &stream), -ENOENT);
	for (async_time delay = -1; delay < 5 * ASYNC_S; delay += 5 * ASYNC_S + 1 - 2) {
		options.attempt_delay = delay;
		assert_int_equal(async_create_connection("127.0.0.1", port, &options), -EINVAL);
	}
	options.attempt_delay = 9 * ASYNC_MS;
	assert_int_equal(async_create_connection("127.0.0.1", port, &options), -EINVAL);
	options.attempt_delay = 0;
	/* No address of the peer's family to connect from. */
	options.local_host = "::1";
	assert_int_equal(async_create_connection("127.0.0.1", port, &options), -EADDRNOTAVAIL);
	options.local_host = NULL;
	/* Options that a stream refuses: the socket is closed again. */
	struct async_stream_options bad = ASYNC_STREAM_OPTIONS_INIT;
	bad.limit = SIZE_MAX;
	options.stream = &bad;
	assert_int_equal(async_open_connection("127.0.0.1", port, &options, &stream), -EINVAL);
	options.size = 1;
	assert_int_equal(async_create_connection("127.0.0.1", port, &options), -EINVAL);
	assert_null(stream);
	return 0;
}

static void by_name(void **state)
{
	size_t before = open_descriptors();

	(void)state;
	listen_somewhere();
	assert_int_equal(run_virtual(connect_by_name, NULL), 0);
	assert_int_equal(run_virtual(fail_to_connect, NULL), 0);
	close(listener);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(async_create_connection("127.0.0.1", "1", NULL), -EPERM);
}

static intptr_t once(void *arg)
{
	struct async_connection_options options = ASYNC_CONNECTION_OPTIONS_INIT;
	async_stream *stream;

	(void)arg;
	options.local_host = "127.0.0.1";
	int error = async_open_connection("127.0.0.1", port, &options, &stream);
	if (!error)
		async_stream_abort(stream);
	return error;
}

static void interrupted_attempts_go_on(void **state)
{
	(void)state;
	listen_somewhere();
	fault_arm("connect", 1, -EINTR);
	assert_int_equal(run_virtual(once, NULL), 0);
	assert_int_equal(fault_disarm() > 1, true);
	close(listener);
}

static intptr_t connect_with_faults(void)
{
	return run_to_the_end(once);
}

static void every_failure(void **state)
{
	static const int errors[] = {-ENOMEM, -EMFILE, -ENOBUFS, -ECONNRESET};

	(void)state;
	listen_somewhere();
	fail_every_call(connect_with_faults, errors, countof(errors));
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(families_take_turns),
		TEST(the_first_that_answers_wins),
		TEST(the_error_says_most),
		TEST(cancelling_closes_everything),
		TEST(by_name),
		TEST(interrupted_attempts_go_on),
		TEST(every_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
