/* SPDX-License-Identifier: MIT */
/* Sockets: wrong use, and every call failing once. */
#include "socket_peers.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

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
		TEST(wrong_use_is_an_error),
		TEST(every_failure_is_survived),
	};
	struct async_system_info info = {.size = sizeof(info)};

	/* What the kernel offers is found out once for the process: not while something fails. */
	if (async_get_system_info(&info) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
