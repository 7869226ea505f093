/* SPDX-License-Identifier: MIT */
/* Receiving and sending on connected sockets, from tasks: every kind of peer, cancelled, closed, with flags. */
#include "socket_peers.h"

#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

static intptr_t send_once(void *arg)
{
	struct call *call = arg;

	return async_send(call->fd, call->buffer, call->size, 0);
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

/* Flags */

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(peers_do_as_they_like),
		TEST(cancelled_receives_lose_nothing),
		TEST(sends_wait_and_raise_no_signal),
		TEST(closing_ends_what_waits),
		TEST(flags_are_heeded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
