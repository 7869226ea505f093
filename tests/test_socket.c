/* SPDX-License-Identifier: MIT */
/* The calls of sockets, from tasks; every family, sockets that are set to wait and such that are not. */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>


enum family { INET, INET6, UNIX_PATH, UNIX_ABSTRACT, FAMILIES };

struct address {
	struct sockaddr_storage storage;
	socklen_t size;
};

static struct sockaddr *sa(struct address *address)
{
	return (struct sockaddr *)&address->storage;
}

/* A machine may have no IPv6. */
static bool has_family(enum family family)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = family == INET6 ? socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
	bool bound = family != INET6 || (fd >= 0 && bind(fd, (void *)&address, sizeof(address)) == 0);

	if (fd >= 0)
		close(fd);
	return bound;
}

static int domain_of(enum family family)
{
	return family == INET ? AF_INET : family == INET6 ? AF_INET6 : AF_UNIX;
}

static int make(enum family family, int type, bool blocking)
{
	int domain = domain_of(family);
	int fd = blocking ? socket(domain, type | SOCK_CLOEXEC, 0) : async_socket(domain, type, 0);

	assert_true(fd >= 0);
	assert_int_equal(!(fcntl(fd, F_GETFL) & O_NONBLOCK), blocking);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	return fd;
}

static char unix_path[64];

/* An address on which nobody else is. */
static struct address local_address(enum family family)
{
	static int serial;
	struct address address = {.size = sizeof(struct sockaddr_in)};
	struct sockaddr_in *in = (void *)&address.storage;
	struct sockaddr_in6 *in6 = (void *)&address.storage;

	switch (family) {
	case INET:
		in->sin_family = AF_INET;
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		break;
	case INET6:
		in6->sin6_family = AF_INET6;
		in6->sin6_addr = in6addr_loopback;
		address.size = sizeof(*in6);
		break;
	default:
		snprintf(unix_path, sizeof(unix_path), "%stest_socket.%d.%d", family == UNIX_PATH ? "/tmp/" : "@",
			 (int)getpid(), serial++);
		address.size = (socklen_t)async_unix_address(unix_path, (void *)&address.storage);
		assert_true((int)address.size > 0);
	}
	return address;
}

/* A socket with an address of its own, which is filled in. */
static int make_bound(enum family family, int type, bool blocking, struct address *address)
{
	int fd = make(family, type, blocking);

	*address = local_address(family);
	assert_int_equal(bind(fd, sa(address), address->size), 0);
	if (family == UNIX_PATH)
		return fd;
	address->size = sizeof(address->storage);
	assert_int_equal(getsockname(fd, sa(address), &address->size), 0);
	return fd;
}

static int make_listener(enum family family, bool blocking, int backlog, struct address *address)
{
	int fd = make_bound(family, SOCK_STREAM, blocking, address);

	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void close_now(int fd)
{
	assert_int_equal(async_close(fd), 0);
}

static void close_bound(enum family family, int fd, struct address *address)
{
	close_now(fd);
	if (family == UNIX_PATH)
		assert_int_equal(unlink(((struct sockaddr_un *)&address->storage)->sun_path), 0);
}

static void settle(void)
{
	give_way(5);
}

/* Runs and sees to it that no descriptor is left. */
static void run(async_fn *fn, void *arg)
{
	size_t before = open_descriptors();

	assert_int_equal(run_virtual(fn, arg), 0);
	assert_int_equal(open_descriptors(), before);
}

struct call {
	int fd;
	struct address address;
	char buffer[16];
	size_t size;
	intptr_t result; /* a task that was cancelled meanwhile ends with -ECANCELED, whatever its call returned */
};

static intptr_t accept_once(void *arg)
{
	struct call *call = arg;

	call->address.size = sizeof(call->address.storage);
	call->result = async_accept(call->fd, sa(&call->address), &call->address.size);
	return call->result;
}

static intptr_t connect_once(void *arg)
{
	struct call *call = arg;

	return async_connect(call->fd, sa(&call->address), call->address.size);
}

static intptr_t recv_once(void *arg)
{
	struct call *call = arg;

	call->result = async_recv(call->fd, call->buffer, call->size, 0);
	return call->result;
}

static intptr_t send_once(void *arg)
{
	struct call *call = arg;

	return async_send(call->fd, call->buffer, call->size, 0);
}

/* Two connected streams of a family. */
static void make_pair(enum family family, int fds[2])
{
	struct address address;
	struct call accepting = {.fd = make_listener(family, false, 5, &address)};
	async_task *task = async_create_task(accept_once, &accepting);

	fds[0] = make(family, SOCK_STREAM, false);
	assert_int_equal(async_connect(fds[0], sa(&address), address.size), 0);
	fds[1] = (int)async_await(task);
	assert_true(fds[1] >= 0);
	close_bound(family, accepting.fd, &address);
}

static size_t available(int fd)
{
	int count = -1;

	assert_int_equal(ioctl(fd, FIONREAD, &count), 0);
	return (size_t)count;
}

/* Connections */

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

/* Peers */

static intptr_t face_peers(void *arg)
{
	struct linger reset = {.l_onoff = 1};
	struct call receiving = {.size = 16};
	int fds[2];

	(void)arg;
	/* One that resets. */
	make_pair(INET, fds);
	receiving.fd = fds[0];
	async_task *receiver = async_create_task(recv_once, &receiving);
	settle();
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close_now(fds[1]);
	assert_int_equal(async_await(receiver), -ECONNRESET);
	assert_int_equal(async_send(fds[0], "x", 1, 0), -EPIPE);
	close_now(fds[0]);

	for (int family = 0; family < FAMILIES; family++) {
		if (!has_family(family))
			continue;
		/* One that has said all, and still listens. */
		make_pair(family, fds);
		receiving.fd = fds[0];
		receiver = async_create_task(recv_once, &receiving);
		settle();
		assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
		assert_int_equal(async_await(receiver), 0);
		assert_int_equal(async_send(fds[0], "more", 4, 0), 4);
		assert_int_equal(async_recv(fds[1], receiving.buffer, 16, 0), 4);
		/* One that says it a byte at a time. */
		receiving.fd = fds[1];
		for (char c = 'a'; c < 'z'; c++) {
			receiver = async_create_task(recv_once, &receiving);
			give_way(c % 4);
			assert_int_equal(write(fds[0], &c, 1), 1);
			assert_int_equal(async_await(receiver), 1);
			assert_int_equal(receiving.buffer[0], c);
		}
		close_now(fds[0]);
		assert_int_equal(async_recv(fds[1], receiving.buffer, 16, 0), 0);
		close_now(fds[1]);
	}
	return 0;
}

static void peers_do_as_they_like(void **state)
{
	(void)state;
	run(face_peers, NULL);
}

static intptr_t cancel_receives(void *arg)
{
	(void)arg;
	for (int round = 0; round < 64; round++) {
		struct call receiving = {.size = 16};
		int fds[2];

		make_pair(round & 8 ? INET : UNIX_ABSTRACT, fds);
		receiving.fd = fds[0];
		async_task *receiver = async_create_task(recv_once, &receiving);
		settle();
		if (round & 4)
			async_cancel(receiver, NULL);
		assert_int_equal(write(fds[1], "data", 4), 4);
		give_way(round & 3);
		async_cancel(receiver, NULL);
		intptr_t ended = async_await(receiver), count = receiving.result;
		assert_true(ended == count || ended == -ECANCELED);
		if (count < 0) {
			assert_int_equal(count, -ECANCELED);
			count = recv_once(&receiving);
		}
		assert_int_equal(count, 4);
		assert_memory_equal(receiving.buffer, "data", 4);
		close_now(fds[0]);
		close_now(fds[1]);
	}
	return 0;
}

static void cancelled_receives_lose_nothing(void **state)
{
	(void)state;
	run(cancel_receives, NULL);
}

static void fill(int fd)
{
	static const char block[4096];

	while (send(fd, block, sizeof(block), MSG_DONTWAIT) > 0)
		;
}

static intptr_t send_waits(void *arg)
{
	char block[4096];
	int fds[2];

	(void)arg;
	make_pair(UNIX_ABSTRACT, fds);
	struct call sending = {.fd = fds[0], .buffer = "more", .size = 4};
	fill(fds[0]);
	async_task *sender = async_create_task(send_once, &sending);
	settle();
	assert_false(async_done(sender));
	async_cancel(sender, NULL);
	assert_int_equal(async_await(sender), -ECANCELED);
	sender = async_create_task(send_once, &sending);
	settle();
	ssize_t count = 0;
	while (!async_done(sender)) {
		count = async_recv(fds[1], block, sizeof(block), 0);
		assert_true(count > 0);
		settle();
	}
	assert_int_equal(async_await(sender), 4);
	while (available(fds[1]) > 0) {
		count = async_recv(fds[1], block, sizeof(block), 0);
		assert_true(count > 0);
	}
	assert_memory_equal(block + count - 4, "more", 4);
	/* Nobody is there to receive what waits. */
	fill(fds[0]);
	sender = async_create_task(send_once, &sending);
	settle();
	close_now(fds[1]);
	intptr_t result = async_await(sender);
	assert_true(result == -EPIPE || result == -ECONNRESET);
	assert_int_equal(async_send(fds[0], "x", 1, 0), -EPIPE);
	struct iovec part = {(char[]){"x"}, 1};
	assert_int_equal(async_sendmsg(fds[0], &(struct msghdr){.msg_iov = &part, .msg_iovlen = 1}, 0), -EPIPE);
	close_now(fds[0]);
	return 0;
}

static volatile int sigpipes;

static void on_sigpipe(int number)
{
	(void)number;
	sigpipes++;
}

static void sends_wait_and_raise_no_signal(void **state)
{
	struct sigaction action = {.sa_handler = on_sigpipe}, old;

	(void)state;
	sigpipes = 0;
	assert_int_equal(sigaction(SIGPIPE, &action, &old), 0);
	run(send_waits, NULL);
	assert_int_equal(sigpipes, 0);
	sigaction(SIGPIPE, &old, NULL);
}

static intptr_t close_under_calls(void *arg)
{
	struct address address;
	struct call accepting = {.fd = make_listener(INET, false, 5, &address)};
	int fds[2];

	(void)arg;
	async_task *task = async_create_task(accept_once, &accepting);
	settle();
	close_now(accepting.fd);
	assert_int_equal(async_await(task), -EBADF);
	make_pair(INET, fds);
	struct call calls[] = {{.fd = fds[0], .size = 16}, {.fd = fds[0], .size = 16}};
	async_task *tasks[] = {async_create_task(recv_once, &calls[0]), async_create_task(recv_once, &calls[1])};
	settle();
	close_now(fds[0]);
	for (int i = 0; i < 2; i++)
		assert_int_equal(async_await(tasks[i]), -EBADF);
	close_now(fds[1]);
	return 0;
}

static void closing_ends_what_waits(void **state)
{
	(void)state;
	run(close_under_calls, NULL);
}

/* Flags, datagrams, messages */

static intptr_t use_flags(void *arg)
{
	char buffer[16] = "";
	int fds[2];

	(void)arg;
	make_pair(INET, fds);
	assert_int_equal(async_recv(fds[0], buffer, 16, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(async_recv(fds[0], buffer, 16, MSG_WAITALL), -EINVAL);
	assert_int_equal(async_send(fds[1], "abc", 3, MSG_DONTWAIT), 3);
	assert_int_equal(async_recv(fds[0], buffer, 16, MSG_PEEK), 3);
	assert_int_equal(async_recv(fds[0], buffer, 16, MSG_DONTWAIT), 3);
	assert_string_equal(buffer, "abc");
	/* Does not overtake who waits. */
	struct call receiving = {.fd = fds[0], .size = 1};
	async_task *receiver = async_create_task(recv_once, &receiving);
	settle();
	assert_int_equal(write(fds[1], "de", 2), 2);
	assert_int_equal(async_recv(fds[0], buffer, 1, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(async_await(receiver), 1);
	assert_int_equal(receiving.buffer[0], 'd');
	assert_int_equal(async_recv(fds[0], buffer, 1, MSG_DONTWAIT), 1);
	assert_int_equal(buffer[0], 'e');
	close_now(fds[0]);
	close_now(fds[1]);
	return 0;
}

static void flags_are_heeded(void **state)
{
	(void)state;
	run(use_flags, NULL);
}

struct datagram {
	int fd;
	struct address from;
	char buffer[16];
};

static intptr_t recv_datagram(void *arg)
{
	struct datagram *datagram = arg;

	datagram->from.size = sizeof(datagram->from.storage);
	return async_recvfrom(datagram->fd, datagram->buffer, sizeof(datagram->buffer), 0, sa(&datagram->from),
			      &datagram->from.size);
}

static intptr_t exchange_datagrams(void *arg)
{
	(void)arg;
	for (int kind = 0; kind < 2 * FAMILIES && has_family(kind / 2); kind++) {
		enum family family = kind / 2;
		struct address here, there;
		struct datagram receiving = {.fd = make_bound(family, SOCK_DGRAM, kind & 1, &here)};
		int fd = make_bound(family, SOCK_DGRAM, kind & 1, &there);
		async_task *receiver = async_create_task(recv_datagram, &receiving);

		settle();
		assert_false(async_done(receiver));
		assert_int_equal(async_sendto(fd, "hello", 5, 0, sa(&here), here.size), 5);
		assert_int_equal(async_await(receiver), 5);
		assert_memory_equal(receiving.buffer, "hello", 5);
		assert_int_equal(receiving.from.size, there.size);
		assert_memory_equal(&receiving.from.storage, &there.storage, there.size);
		/* One at a time, the empty one too; what has no room is cut. */
		assert_int_equal(async_sendto(fd, "", 0, 0, sa(&here), here.size), 0);
		assert_int_equal(async_sendto(fd, "0123456789abcdefgh", 18, 0, sa(&here), here.size), 18);
		assert_int_equal(recv_datagram(&receiving), 0);
		assert_int_equal(recv_datagram(&receiving), 16);
		assert_memory_equal(receiving.buffer, "0123456789abcdef", 16);
		/* With a peer there is no need to name it. */
		assert_int_equal(async_connect(fd, sa(&here), here.size), 0);
		assert_int_equal(async_send(fd, "again", 5, 0), 5);
		assert_int_equal(async_recvfrom(receiving.fd, receiving.buffer, 16, 0, NULL, NULL), 5);
		close_bound(family, receiving.fd, &here);
		assert_int_equal(family < UNIX_PATH ? async_send(fd, "x", 1, 0) : 1, 1);
		assert_int_equal(async_send(fd, "x", 1, 0), -ECONNREFUSED);
		close_bound(family, fd, &there);
	}
	return 0;
}

static void datagrams_have_addresses(void **state)
{
	(void)state;
	run(exchange_datagrams, NULL);
}

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(2 * sizeof(int))];
};

struct parcel {
	int fd;
	char buffers[2][4];
	struct iovec parts[2];
	struct msghdr message;
	union control control;
};

static void prepare_parcel(struct parcel *parcel)
{
	for (int i = 0; i < 2; i++)
		parcel->parts[i] = (struct iovec){parcel->buffers[i], 4};
	parcel->message = (struct msghdr){.msg_iov = parcel->parts, .msg_iovlen = 2};
	parcel->message.msg_control = &parcel->control;
	parcel->message.msg_controllen = sizeof(parcel->control);
}

static intptr_t recv_parcel(void *arg)
{
	struct parcel *parcel = arg;

	prepare_parcel(parcel);
	return async_recvmsg(parcel->fd, &parcel->message, MSG_CMSG_CLOEXEC);
}

static intptr_t pass_descriptors(void *arg)
{
	(void)arg;
	for (int waits = 0; waits < 2; waits++) {
		int fds[2], pipes[2], passed[2];
		struct parcel sent, received;

		make_pair(UNIX_ABSTRACT, fds);
		assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
		received.fd = fds[1];
		async_task *receiver = waits ? async_create_task(recv_parcel, &received) : NULL;
		settle();
		prepare_parcel(&sent);
		memset(&sent.control, 0, sizeof(sent.control));
		memcpy(sent.buffers, "abcdefgh", 8);
		struct cmsghdr *header = CMSG_FIRSTHDR(&sent.message);
		*header = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(pipes))};
		memcpy(CMSG_DATA(header), pipes, sizeof(pipes));
		assert_int_equal(async_sendmsg(fds[0], &sent.message, 0), 8);
		close_now(pipes[1]);
		assert_int_equal(receiver ? async_await(receiver) : recv_parcel(&received), 8);
		assert_memory_equal(received.buffers, "abcdefgh", 8);
		header = CMSG_FIRSTHDR(&received.message);
		assert_non_null(header);
		assert_int_equal(header->cmsg_type, SCM_RIGHTS);
		assert_int_equal(header->cmsg_len, CMSG_LEN(sizeof(passed)));
		memcpy(passed, CMSG_DATA(header), sizeof(passed));
		assert_int_equal(fcntl(passed[1], F_GETFD), FD_CLOEXEC);
		assert_int_equal(async_write(passed[1], "through", 7), 7);
		char buffer[8];
		assert_int_equal(async_read(pipes[0], buffer, 8), 7);
		int all[] = {fds[0], fds[1], pipes[0], passed[0], passed[1]};
		for (size_t i = 0; i < countof(all); i++)
			close_now(all[i]);
	}
	return 0;
}

static void descriptors_are_passed(void **state)
{
	(void)state;
	run(pass_descriptors, NULL);
}

/* Errors */

static intptr_t use_wrongly(void *arg)
{
	struct address address = local_address(INET);
	int pipes[2], fd = make(INET, SOCK_STREAM, false);
	char buffer[8];

	(void)arg;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(async_recv(pipes[0], buffer, 8, 0), -ENOTSOCK);
	assert_int_equal(async_send(pipes[1], buffer, 0, 0), -ENOTSOCK);
	assert_int_equal(async_accept(pipes[0], NULL, NULL), -ENOTSOCK);
	assert_int_equal(async_connect(pipes[0], sa(&address), address.size), -ENOTSOCK);
	assert_int_equal(async_recv(fd, buffer, 8, 0), -ENOTCONN);
	assert_int_equal(async_recv(-1, buffer, 8, 0), -EBADF);
	assert_int_equal(async_send(1 << 20, "x", 1, 0), -EBADF);
	assert_int_equal(async_accept(-1, NULL, NULL), -EBADF);
	assert_int_equal(async_connect(-1, sa(&address), address.size), -EBADF);
	assert_int_equal(async_connect(fd, sa(&address), 1), -EINVAL);
	assert_int_equal(async_recvmsg(fd, NULL, 0), -EINVAL);
	assert_int_equal(async_sendmsg(fd, NULL, 0), -EINVAL);
	assert_int_equal(async_recvfrom(fd, buffer, 8, 0, sa(&address), NULL), -EINVAL);
	assert_int_equal(async_socket(AF_INET, 99, 0), -EINVAL);
	int all[] = {pipes[0], pipes[1], fd};
	for (size_t i = 0; i < countof(all); i++)
		close_now(all[i]);
	return 0;
}

static void wrong_use_is_an_error(void **state)
{
	struct address address = local_address(INET);
	char byte;

	(void)state;
	run(use_wrongly, NULL);
	assert_int_equal(async_accept(0, NULL, NULL), -EPERM);
	assert_int_equal(async_connect(0, sa(&address), address.size), -EPERM);
	assert_int_equal(async_recv(0, &byte, 1, 0), -EPERM);
	assert_int_equal(async_send(0, "x", 1, 0), -EPERM);
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

/* Every call fails once; nothing stays open, and nothing hangs. */

static void close_any_way(int fd)
{
	if (fd < 0)
		return;
	int error = async_close(fd);

	if (error == -EBADF || error == -EPERM || error == -ENOMEM)
		close(fd);
}

static intptr_t first_error(intptr_t a, intptr_t b)
{
	return a < 0 ? a : b < 0 ? b : 0;
}

static intptr_t converse(void *arg)
{
	struct address address = local_address(INET);
	struct call accepting = {.fd = socket(AF_INET, SOCK_STREAM, 0), .result = -ECANCELED}, receiving = {.size = 16};
	int client = async_socket(AF_INET, SOCK_STREAM, 0);

	(void)arg;
	bind(accepting.fd, sa(&address), address.size);
	listen(accepting.fd, 5);
	getsockname(accepting.fd, sa(&address), &address.size);
	async_task *acceptor = async_create_task(accept_once, &accepting);
	intptr_t error = first_error(async_sleep(0), client);
	error = first_error(error, client < 0 ? client : async_connect(client, sa(&address), address.size));
	if (error < 0)
		async_cancel(acceptor, NULL);
	error = first_error(error, async_await(acceptor));
	intptr_t fd = accepting.result;
	if (error == 0) {
		char buffer[16];
		struct iovec part = {buffer, 3};

		receiving.fd = (int)fd;
		async_task *receiver = async_create_task(recv_once, &receiving);
		error = first_error(error, async_sleep(0));
		error = first_error(error, async_send(client, "abc", 3, 0));
		if (error < 0)
			async_cancel(receiver, NULL);
		error = first_error(error, async_await(receiver));
		memcpy(buffer, "def", 3);
		struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
		error = first_error(error, async_sendmsg(client, &message, 0));
		if (error == 0)
			error = async_recvfrom(receiving.fd, buffer, 16, MSG_DONTWAIT, NULL, NULL);
	}
	close_any_way((int)fd);
	close_any_way(client);
	close_any_way(accepting.fd);
	return error < 0 ? error : 0;
}

static intptr_t converse_once(void)
{
	return run_to_the_end(converse);
}

static void every_failure_is_survived(void **state)
{
	static const int errors[] = {-ENOMEM, -EMFILE, -EINTR, -ECONNRESET, -ENOBUFS};

	(void)state;
	fail_every_call(converse_once, errors, countof(errors));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(connections_are_made),
		TEST(connections_are_refused),
		TEST(a_full_backlog_is_waited_for),
		TEST(waiting_connects_are_cancelled),
		TEST(cancelled_accepts_lose_no_connection),
		TEST(closing_loops_lose_no_descriptor),
		TEST(descriptor_limit_is_an_error),
		TEST(many_connections_come_and_go),
		TEST(peers_do_as_they_like),
		TEST(cancelled_receives_lose_nothing),
		TEST(sends_wait_and_raise_no_signal),
		TEST(closing_ends_what_waits),
		TEST(flags_are_heeded),
		TEST(datagrams_have_addresses),
		TEST(descriptors_are_passed),
		TEST(wrong_use_is_an_error),
		TEST(unix_addresses),
		TEST(every_failure_is_survived),
	};
	struct async_system_info info = {.size = sizeof(info)};

	/* What the kernel offers is found out once for the process: not while something fails. */
	if (async_get_system_info(&info) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
