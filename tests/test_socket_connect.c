/* SPDX-License-Identifier: MIT */
/* Connecting and accepting, in every family, with sockets that are set to wait and such that are not. */
#include "socket_peers.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static intptr_t connect_once(void *arg)
{
	struct call *call = arg;

	return async_connect(call->fd, sa(&call->address), call->address.size);
}

static void meet(enum family family, bool blocking, bool connect_first)
{
	struct address address, name = {.size = sizeof(name.storage)};
	struct call accepting = {.fd = make_listener(family, blocking, 5, &address)};
	struct call connecting = {.fd = make(family, SOCK_STREAM, blocking), .address = address};
	int listener_flags = fcntl(accepting.fd, F_GETFL), flags = fcntl(connecting.fd, F_GETFL);
	async_task *acceptor = connect_first ? NULL : async_create_task(accept_once, &accepting);

	settle();
	if (acceptor)
		assert_false(async_done(acceptor));
	assert_int_equal(connect_once(&connecting), 0);
	int fd = (int)(acceptor ? async_await(acceptor) : accept_once(&accepting));
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(accepting.fd, F_GETFL), listener_flags);
	assert_int_equal(fcntl(connecting.fd, F_GETFL), flags);
	assert_int_equal(getsockname(connecting.fd, sa(&name), &name.size), 0);
	assert_int_equal(accepting.address.size, name.size);
	assert_memory_equal(&accepting.address.storage, &name.storage, name.size);

	assert_int_equal(async_send(fd, "hello", 5, 0), 5);
	connecting.size = sizeof(connecting.buffer);
	assert_int_equal(recv_once(&connecting), 5);
	assert_memory_equal(connecting.buffer, "hello", 5);
	struct call receiving = {.fd = fd, .size = 16};
	async_task *receiver = async_create_task(recv_once, &receiving);
	settle();
	assert_false(async_done(receiver));
	assert_int_equal(async_send(connecting.fd, "world", 5, 0), 5);
	assert_int_equal(async_await(receiver), 5);
	assert_memory_equal(receiving.buffer, "world", 5);
	/* A second connection is taken without its address. */
	int second = make(family, SOCK_STREAM, blocking);
	assert_int_equal(async_connect(second, sa(&address), address.size), 0);
	int other = async_accept(accepting.fd, NULL, NULL);
	assert_true(other >= 0);
	close_now(second);
	assert_int_equal(async_recv(other, receiving.buffer, 16, 0), 0);
	close_now(other);
	close_now(fd);
	close_now(connecting.fd);
	close_bound(family, accepting.fd, &address);
}

static intptr_t meet_everywhere(void *arg)
{
	(void)arg;
	for (int family = 0; family < FAMILIES; family++)
		for (int way = 0; way < 4 && has_family(family); way++)
			meet(family, way & 1, way & 2);
	return 0;
}

static void connections_are_made(void **state)
{
	(void)state;
	run(meet_everywhere, NULL);
}

static intptr_t refuse(void *arg)
{
	(void)arg;
	for (int family = 0; family < FAMILIES; family++) {
		for (int blocking = 0; blocking < 2 && has_family(family); blocking++) {
			struct address address;
			int bound = make_bound(family, SOCK_STREAM, false, &address);
			int fd = make(family, SOCK_STREAM, blocking);

			/* It has the address, and does not listen. */
			assert_int_equal(async_connect(fd, sa(&address), address.size), -ECONNREFUSED);
			assert_int_equal(async_accept(bound, NULL, NULL), -EINVAL);
			close_now(fd);
			close_bound(family, bound, &address);
		}
	}
	return 0;
}

static void connections_are_refused(void **state)
{
	(void)state;
	run(refuse, NULL);
}

/* As the kernel does by chance where it chooses a free port for the socket. */
static intptr_t connect_to_oneself(void *arg)
{
	(void)arg;
	for (enum family family = INET; family <= INET6; family++) {
		struct address own, peer = {.size = sizeof(peer.storage)};

		if (!has_family(family))
			continue;
		int fd = make_bound(family, SOCK_STREAM, false, &own);
		assert_int_equal(async_connect(fd, sa(&own), own.size), -ECONNREFUSED);
		assert_int_equal(getpeername(fd, sa(&peer), &peer.size), -1);
		close_now(fd);
		/* With datagrams it is what was asked for. */
		fd = make_bound(family, SOCK_DGRAM, false, &own);
		assert_int_equal(async_connect(fd, sa(&own), own.size), 0);
		close_now(fd);
	}
	return 0;
}

static void a_socket_is_not_its_own_peer(void **state)
{
	(void)state;
	run(connect_to_oneself, NULL);
}

/* A listener takes no more: further connects wait. */
static int fill_backlog(struct address *address, enum family family, int fds[], int room)
{
	int count = 0;

	while (count < room) {
		fds[count] = make(family, SOCK_STREAM, false);
		if (connect(fds[count++], sa(address), address->size) < 0 && (errno == EAGAIN || family == INET))
			break;
	}
	return count;
}

static intptr_t wait_for_backlog(void *arg)
{
	(void)arg;
	for (int blocking = 0; blocking < 2; blocking++) {
		struct address address;
		int listener = make_listener(UNIX_ABSTRACT, false, 1, &address), fds[16];
		int count = fill_backlog(&address, UNIX_ABSTRACT, fds, 16), accepted[16];
		struct call connecting = {.fd = make(UNIX_ABSTRACT, SOCK_STREAM, blocking), .address = address};
		async_task *task = async_create_task(connect_once, &connecting);

		assert_true(count < 16);
		settle();
		assert_false(async_done(task));
		async_cancel(task, NULL);
		assert_int_equal(async_await(task), -ECANCELED);
		task = async_create_task(connect_once, &connecting);
		settle();
		for (int i = 0; i < count - 1; i++) {
			accepted[i] = async_accept(listener, NULL, NULL);
			assert_true(accepted[i] >= 0);
		}
		assert_int_equal(async_await(task), 0);
		accepted[count - 1] = async_accept(listener, NULL, NULL);
		assert_true(accepted[count - 1] >= 0);
		for (int i = 0; i < count; i++) {
			close_now(accepted[i]);
			close_now(fds[i]);
		}
		close_now(connecting.fd);
		close_now(listener);
	}
	return 0;
}

static void a_full_backlog_is_waited_for(void **state)
{
	struct async_options options = test_options();
	size_t before = open_descriptors();

	(void)state;
	/* What the kernel does meanwhile takes real time. */
	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(run_with(wait_for_backlog, NULL, &options), 0);
	assert_int_equal(open_descriptors(), before);
}

static intptr_t connect_in_vain(void *arg)
{
	(void)arg;
	for (int blocking = 0; blocking < 2; blocking++) {
		struct address address;
		/* TCP drops what it has no room for, and the client tries again for minutes. */
		int listener = make_listener(INET, false, 0, &address), fds[8];
		fds[0] = make(INET, SOCK_STREAM, true);
		assert_int_equal(connect(fds[0], sa(&address), address.size), 0);
		int count = 1;
		struct call connecting = {.fd = make(INET, SOCK_STREAM, blocking), .address = address};
		async_task *task = async_create_task(connect_once, &connecting);
		settle();
		assert_false(async_done(task));
		async_cancel(task, NULL);
		assert_int_equal(async_await(task), -ECANCELED);
		close_now(connecting.fd);

		connecting.fd = make(INET, SOCK_STREAM, blocking);
		assert_int_equal(async_wait_for(async_create_task(connect_once, &connecting), ASYNC_MS), -ETIMEDOUT);
		close_now(connecting.fd);

		connecting.fd = make(INET, SOCK_STREAM, blocking);
		task = async_create_task(connect_once, &connecting);
		settle();
		close_now(connecting.fd);
		assert_int_equal(async_await(task), -EBADF);
		while (count-- > 0)
			close_now(fds[count]);
		close_now(listener);
	}
	return 0;
}

static void waiting_connects_are_cancelled(void **state)
{
	(void)state;
	run(connect_in_vain, NULL);
}

/* Whatever comes first: the connection is in the backlog, or its descriptor is the result. */
static intptr_t cancel_accepts(void *arg)
{
	(void)arg;
	for (int round = 0; round < 40; round++) {
		enum family family = round & 8 ? UNIX_ABSTRACT : INET;
		struct address address;
		struct call accepting = {.fd = make_listener(family, round & 16, 5, &address)};
		async_task *task = async_create_task(accept_once, &accepting);

		settle();
		int client = make(family, SOCK_STREAM, true);
		if (round & 4)
			async_cancel(task, NULL);
		assert_int_equal(connect(client, sa(&address), address.size), 0);
		give_way(round & 3);
		async_cancel(task, NULL);
		intptr_t ended = async_await(task);
		int fd = (int)accepting.result;
		assert_true(ended == fd || ended == -ECANCELED);
		if (fd < 0) {
			assert_int_equal(fd, -ECANCELED);
			fd = (int)accept_once(&accepting);
		}
		assert_true(fd >= 0);
		assert_int_equal(async_send(fd, "x", 1, 0), 1);
		assert_int_equal(read(client, accepting.buffer, 2), 1);
		close_now(fd);
		close_now(client);
		close_now(accepting.fd);
	}
	return 0;
}

static void cancelled_accepts_lose_no_connection(void **state)
{
	(void)state;
	run(cancel_accepts, NULL);
}

static intptr_t start_accept(void *arg)
{
	async_release(async_create_task(accept_once, arg));
	settle();
	return 0;
}

/* A connection that came when the loop did not run any more. */
static void closing_loops_lose_no_descriptor(void **state)
{
	size_t before = open_descriptors();
	struct address address;
	struct call accepting = {.fd = make_listener(INET, false, 5, &address)};
	async_loop *loop = loop_virtual();
	int client = make(INET, SOCK_STREAM, true);

	(void)state;
	assert_int_equal(
		async_loop_run_until_complete(loop, async_loop_create_task(loop, start_accept, &accepting, NULL)), 0);
	assert_int_equal(connect(client, sa(&address), address.size), 0);
	loop_end(loop);
	close(client);
	close(accepting.fd);
	assert_int_equal(open_descriptors(), before);
}

static intptr_t accept_without_room(void *arg)
{
	struct rlimit limit, low;
	struct address address;
	struct call accepting = {.fd = make_listener(INET, false, 5, &address)};
	int client = make(INET, SOCK_STREAM, false);

	(void)arg;
	/* The first call makes the reactor, which needs descriptors. */
	assert_int_equal(async_connect(client, sa(&address), address.size), 0);
	int fd = (int)accept_once(&accepting);
	assert_true(fd >= 0);
	int second = make(INET, SOCK_STREAM, false), next = dup(fd);
	assert_int_equal(async_connect(second, sa(&address), address.size), 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	int result = (int)accept_once(&accepting);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(result, -EMFILE);
	/* The connection has not been lost. */
	next = (int)accept_once(&accepting);
	assert_true(next >= 0);
	int fds[] = {client, fd, second, next, accepting.fd};
	for (size_t i = 0; i < countof(fds); i++)
		close_now(fds[i]);
	return 0;
}

static void descriptor_limit_is_an_error(void **state)
{
	(void)state;
	if (under_tool("valgrind")) /* which has limits of its own */
		skip();
	run(accept_without_room, NULL);
}

static intptr_t accept_all(void *arg)
{
	struct call *call = arg;

	for (size_t i = 0; i < call->size; i++) {
		int fd = async_accept(call->fd, NULL, NULL);

		if (fd < 0)
			return fd;
		close_now(fd);
	}
	return 0;
}

static intptr_t open_and_drop(void *arg)
{
	struct address address;
	struct call accepting = {.fd = make_listener(INET, false, 100, &address), .size = test_many(5000)};
	async_task *task = async_create_task(accept_all, &accepting);
	struct linger reset = {.l_onoff = 1};

	(void)arg;
	for (size_t i = 0; i < accepting.size; i++) {
		int fd = make(INET, SOCK_STREAM, false);

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		assert_int_equal(async_connect(fd, sa(&address), address.size), 0);
		close_now(fd);
	}
	assert_int_equal(async_await(task), 0);
	close_now(accepting.fd);
	return 0;
}

static void many_connections_come_and_go(void **state)
{
	(void)state;
	run(open_and_drop, NULL);
}

static void unix_addresses(void **state)
{
	struct sockaddr_un address;
	char path[110];

	(void)state;
	assert_int_equal(async_unix_address("/a", &address), offsetof(struct sockaddr_un, sun_path) + 3);
	assert_int_equal(address.sun_family, AF_UNIX);
	assert_string_equal(address.sun_path, "/a");
	assert_int_equal(async_unix_address("@ab", &address), offsetof(struct sockaddr_un, sun_path) + 3);
	assert_memory_equal(address.sun_path, "\0ab", 3);
	assert_int_equal(async_unix_address("", &address), offsetof(struct sockaddr_un, sun_path));
	memset(path, 'p', sizeof(path));
	path[108] = '\0';
	assert_int_equal(async_unix_address(path, &address), -ENAMETOOLONG);
	path[0] = '@';
	assert_int_equal(async_unix_address(path, &address), sizeof(address));
	path[108] = 'p';
	path[109] = '\0';
	assert_int_equal(async_unix_address(path, &address), -ENAMETOOLONG);
	path[107] = '\0';
	assert_int_equal(async_unix_address(path + 1, &address), sizeof(address) - 1);
	assert_int_equal(async_unix_address(NULL, &address), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(connections_are_made),
		TEST(connections_are_refused),
		TEST(a_socket_is_not_its_own_peer),
		TEST(a_full_backlog_is_waited_for),
		TEST(waiting_connects_are_cancelled),
		TEST(cancelled_accepts_lose_no_connection),
		TEST(closing_loops_lose_no_descriptor),
		TEST(descriptor_limit_is_an_error),
		TEST(many_connections_come_and_go),
		TEST(unix_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
