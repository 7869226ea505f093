/* SPDX-License-Identifier: MIT */
/* Datagrams with their addresses, and messages that pass descriptors. */
#include "socket_peers.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(datagrams_have_addresses),
		TEST(descriptors_are_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
