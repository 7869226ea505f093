/* SPDX-License-Identifier: MIT */
/* Servers whose connections end while the peer still sends: it gets the whole answer all the same, within limits. */
#include "descriptors.h"

#include <sys/socket.h>

#include "server_peers.h"

static char answer[1 << 20];

/* Reads a little, answers much, and leaves the rest unread. */
static intptr_t answer_early(async_stream *stream, void *size)
{
	char request[16];
	ssize_t count = async_stream_readexactly(stream, request, sizeof(request));

	return count == sizeof(request) ? async_stream_write(stream, answer, *(size_t *)size) : -EBADMSG;
}

struct upload {
	int fd;
	size_t size;
	ssize_t result; /* of the last send */
};

static intptr_t upload(void *arg)
{
	static const char block[4096];
	struct upload *u = arg;

	for (size_t sent = 0; sent < u->size; sent += (size_t)u->result) {
		u->result = async_send(u->fd, block, sizeof(block), 0);
		if (u->result < 0)
			break;
	}
	return 0;
}

/* What came until the end, or the error. */
static ssize_t receive_all(int fd)
{
	static char block[1 << 16];
	ssize_t count, total = 0;

	while ((count = async_recv(fd, block, sizeof(block), 0)) > 0)
		total += count;
	return count < 0 ? count : total;
}

static int connect_to(async_server *server)
{
	char port[16];

	port_of(server, 0, port);
	int fd = async_create_connection("127.0.0.1", port, NULL);
	assert_true(fd >= 0);
	return fd;
}

static async_server *start(const struct async_server_options *options, size_t *size)
{
	async_server *server;

	assert_int_equal(async_start_server("127.0.0.1", "0", answer_early, size, options, &server), 0);
	return server;
}

/* The peer has sent everything before it reads, and gets the whole answer. */
static void assert_answered(struct upload *u, size_t size)
{
	upload(u);
	assert_true(u->result > 0);
	assert_int_equal(receive_all(u->fd), size);
	close_now(u->fd);
}

/* Peers that send everything before they read, on TCP and on a Unix socket. */
static intptr_t send_before_reading(void *arg)
{
	(void)arg;
	for (int is_unix = 0; is_unix < 2; is_unix++) {
		size_t size = sizeof(answer);
		async_server *server;

		if (is_unix)
			assert_int_equal(async_start_unix_server(unix_name(true), answer_early, &size, NULL, &server), 0);
		else
			server = start(NULL, &size);
		struct upload u = {.fd = is_unix ? connect_unix(unix_path) : connect_to(server), .size = 8 << 20};
		assert_answered(&u, size);
		assert_int_equal(async_server_close(server), 0);
	}
	return 0;
}

/* One that sends on when the server thinks that it is done: the kernel has the rest of the answer. */
static intptr_t send_too_late(void *arg)
{
	size_t size = sizeof(answer);
	async_server *server = start(NULL, &size);
	struct upload u = {.fd = connect_to(server), .size = 16384};

	(void)arg;
	assert_int_equal(async_send(u.fd, answer, 16, 0), 16);
	await_accepted(server, 1);
	/* So long the server has time to close. */
	assert_int_equal(async_sleep(50 * ASYNC_MS), 0);
	upload(&u);
	assert_int_equal(receive_all(u.fd), size);
	close_now(u.fd);
	return async_server_close(server);
}

/* No limit is no limit. */
static intptr_t without_limits(void *arg)
{
	(void)arg;
	for (int which = 1; which < 4; which++) {
		size_t size = sizeof(answer);
		struct async_server_options options = {.size = sizeof(options)};

		options.linger_time = which & 1 ? ASYNC_FOREVER : 0;
		options.linger_timeout = which & 2 ? ASYNC_FOREVER : 0;
		async_server *server = start(&options, &size);
		struct upload u = {.fd = connect_to(server), .size = 1 << 20};
		assert_answered(&u, size);
		assert_int_equal(async_server_close(server), 0);
	}
	return 0;
}

/* The kernel has a part in it, which takes real time. */
static void the_whole_answer_comes(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(run_with(send_before_reading, NULL, &options), 0);
	assert_int_equal(reports.count, 0);
	assert_int_equal(run_with(send_too_late, NULL, &options), 0);
	assert_int_equal(reports.count, 0);
	assert_int_equal(run_with(without_limits, NULL, &options), 0);
	assert_int_equal(reports.count, 0);
}

/* How long, in virtual time, a connection lasts whose peer sends so much and then waits. */
static async_time lasts(const struct async_server_options *options, size_t size, ssize_t *ret_received)
{
	size_t answer_size = 5;
	async_server *server = start(options, &answer_size);
	struct upload u = {.fd = connect_to(server), .size = size};
	async_time begin = async_loop_time(NULL);

	upload(&u);
	await_accepted(server, 1);
	/* Which waits for the connection. */
	assert_int_equal(async_server_close(server), 0);
	async_time end = async_loop_time(NULL);
	if (ret_received)
		*ret_received = receive_all(u.fd);
	close_now(u.fd);
	return end - begin;
}

static intptr_t reach_limits(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	ssize_t received;

	(void)arg;
	/* Nothing is unread: nothing is waited for. */
	size_t size = 5;
	async_server *server = start(NULL, &size);
	int fd = connect_to(server);
	assert_int_equal(async_send(fd, answer, 16, 0), 16);
	await_accepted(server, 1);
	await_connections(server, 0);
	assert_int_equal(async_loop_time(NULL), 0);
	assert_int_equal(receive_all(fd), 5);
	close_now(fd);
	assert_int_equal(async_server_close(server), 0);

	assert_int_equal(lasts(NULL, 8192, &received), 5 * ASYNC_S);
	assert_int_equal(received, 5);
	options.linger_timeout = 7 * ASYNC_S;
	assert_int_equal(lasts(&options, 8192, NULL), 7 * ASYNC_S);
	options.linger_time = 2 * ASYNC_S;
	assert_int_equal(lasts(&options, 8192, NULL), 2 * ASYNC_S);
	options.linger_time = -1;
	assert_int_equal(lasts(&options, 8192, &received), 0);
	options.linger_time = 0;
	options.linger_size = 100000;
	assert_int_equal(lasts(&options, SIZE_MAX, NULL), 0);
	return 0;
}

static void limits_end_it(void **state)
{
	(void)state;
	run_server(reach_limits, NULL);
}

static intptr_t abort_lingering(void *arg)
{
	struct async_server_options options = ASYNC_SERVER_OPTIONS_INIT;
	struct async_server_stats stats = {.size = sizeof(stats)};
	size_t size = 5;

	(void)arg;
	for (int how = 0; how < 3; how++) {
		async_server *server = start(&options, &size);
		struct upload u = {.fd = connect_to(server), .size = 8192};
		async_time begin = async_loop_time(NULL);

		upload(&u);
		await_accepted(server, 1);
		assert_int_equal(async_recv(u.fd, answer, 5, 0), 5);
		settle();
		/* It is one of those that are served. */
		assert_int_equal(async_server_get_stats(server, &stats), 0);
		assert_int_equal(stats.connections, 1);
		if (how == 0) {
			assert_int_equal(async_server_abort(server), 0);
		} else if (how == 1) {
			/* A limit for closing holds for that, too. */
			struct async_timeout limit = ASYNC_TIMEOUT_INIT;
			int error = async_timeout_begin(&limit, ASYNC_S);

			error = (int)async_timeout_end(&limit, error ? error : async_server_close(server));
			assert_int_equal(error, -ETIMEDOUT);
			assert_int_equal(async_loop_time(NULL) - begin, ASYNC_S);
		} else {
			/* A peer that ends sets it free. */
			close_now(u.fd);
			assert_int_equal(async_server_close(server), 0);
			assert_int_equal(async_loop_time(NULL), begin);
		}
		if (how < 2)
			close_now(u.fd);
	}
	options.linger_timeout = -1;
	async_server *none;
	assert_int_equal(async_start_server("127.0.0.1", "0", answer_early, NULL, &options, &none), -EINVAL);
	return 0;
}

static void aborting_ends_it(void **state)
{
	(void)state;
	run_server(abort_lingering, NULL);
}

static intptr_t leave_lingering(void *arg)
{
	static size_t size = 5;
	int *fd = arg;
	struct upload u = {.fd = connect_to(start(NULL, &size)), .size = 8192};

	upload(&u);
	assert_int_equal(async_recv(u.fd, answer, 5, 0), 5);
	settle();
	*fd = u.fd;
	return 0;
}

static void loops_close_meanwhile(void **state)
{
	async_loop *loop = loop_virtual();
	size_t before = open_descriptors();
	int fd;

	(void)state;
	assert_int_equal(
		async_loop_run_until_complete(loop, async_loop_create_task(loop, leave_lingering, &fd, NULL)), 0);
	loop_end(loop);
	close(fd);
	assert_int_equal(open_descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_whole_answer_comes),
		TEST(limits_end_it),
		TEST(aborting_ends_it),
		TEST(loops_close_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
