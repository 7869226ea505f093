/* SPDX-License-Identifier: MIT */
/* Operations that wait: who is served first, cancelling, forgetting, descriptors that become others. */
#include "reactor_peers.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void readiness(void **state)
{
	int fds[2];
	struct call in, out, hup, urgent;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_true(begin_poll(&in, fds[0], POLLIN));
	begin_poll(&out, fds[0], POLLOUT);
	assert_int_equal(finish(&out), POLLOUT);
	assert_true(begin_poll(&hup, fds[0], 0));
	assert_true(begin_poll(&urgent, fds[0], POLLPRI));
	settle();
	assert_false(in.done);
	put(fds[1], "x");
	assert_int_equal(finish(&in), POLLIN);
	begin_poll(&in, fds[0], POLLIN);
	assert_int_equal(finish(&in), POLLIN);
	assert_int_equal(cancel(&urgent), -ECANCELED);
	assert_false(hup.done);
	close(fds[1]);
	assert_true(finish(&hup) & POLLHUP);
	close(fds[0]);
}

static void readers_are_served_in_order(void **state)
{
	struct call readers[5], writers[2];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	for (int i = 0; i < 5; i++)
		assert_true(begin_op(&readers[i], OP_READ, fds[0], readers[i].bytes, 1));
	settle();
	assert_int_equal(cancel(&readers[1]), -ECANCELED);
	put(fds[1], "acde");
	for (int i = 0; i < 5; i++) {
		if (i == 1)
			continue;
		assert_int_equal(finish(&readers[i]), 1);
		assert_int_equal(readers[i].bytes[0], 'a' + i);
	}
	assert_true(readers[0].order < readers[2].order && readers[2].order < readers[3].order);
	size_t size = fill(fds[1]);
	char *sink = malloc(size);

	assert_non_null(sink);
	assert_true(begin_op(&writers[0], OP_WRITE, fds[1], "1", 1));
	assert_true(begin_op(&writers[1], OP_WRITE, fds[1], "2", 1));
	settle();
	assert_int_equal(read(fds[0], sink, size), size);
	assert_int_equal(finish(&writers[0]), 1);
	assert_int_equal(finish(&writers[1]), 1);
	assert_int_equal(read(fds[0], sink, size), 2);
	assert_memory_equal(sink, "12", 2);
	free(sink);
	close_both(fds);
}

static void cancelling(void **state)
{
	int fds[2];
	struct call c;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	/* Before it reached the kernel, and after. */
	for (int round = 0; round < 2; round++) {
		assert_true(begin_read(&c, fds[0]));
		if (round)
			settle();
		assert_int_equal(cancel(&c), -ECANCELED);
		assert_int_equal(reactor_pending(r), 0);
	}
	/* What is over cannot be cancelled. */
	put(fds[1], "x");
	assert_int_equal(do_read(&c, fds[0]), 1);
	assert_false(reactor_cancel(r, &c.op));
	assert_int_equal(c.op.result, 1);
	close_both(fds);
}

static void cancelled_reads_lose_nothing(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	for (int round = 0; round < 20; round++) {
		struct call c, rest;

		assert_true(begin_read(&c, fds[0]));
		if (round & 1)
			settle();
		put(fds[1], "xyz");
		if (round & 2)
			begin_poll(&rest, fds[1], POLLOUT);
		int64_t n = cancel(&c);

		assert_false(reactor_cancel(r, &c.op));
		if (round & 2)
			finish(&rest);
		if (n == -ECANCELED)
			n = do_read(&c, fds[0]);
		assert_int_equal(n, 3);
		assert_memory_equal(c.bytes, "xyz", 3);
	}
	close_both(fds);
}

static void forgetting(void **state)
{
	struct call ops[4], again;
	int fds[2], next[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	fill(fds[0]);
	assert_true(begin_read(&ops[0], fds[0]));
	assert_true(begin_read(&ops[1], fds[0]));
	assert_true(begin_op(&ops[2], OP_WRITE, fds[0], "x", 1));
	assert_true(begin_poll(&ops[3], fds[0], POLLIN));
	settle();
	reactor_cancel(r, &ops[1].op);
	unsigned left = reactor_forget(r, fds[0]);
	unsigned pending = 0;

	for (int i = 0; i < 4; i++)
		pending += ops[i].op.state != OP_IDLE;
	assert_int_equal(left, pending);
	for (int i = 0; i < 4; i++) {
		if (i == 1)
			continue;
		assert_int_equal(finish(&ops[i]), -EBADF);
	}
	assert_int_equal(reactor_pending(r), 0);
	assert_int_equal(reactor_forget(r, fds[0]), 0);
	close_both(fds);
	assert_int_equal(pipe(next), 0);
	assert_true(begin_read(&again, next[0]));
	settle();
	put(next[1], "x");
	assert_int_equal(finish(&again), 1);
	close_both(next);
}

/* The program closes descriptors without telling, and gets the number for something of another kind. */
static void number_reused_without_a_word(void **state)
{
	struct call c;

	(void)state;
	for (int from = 0; from < 3; from++) {
		for (int to = 0; to < 3; to++) {
			int pairs[3][2], number;

			assert_int_equal(pipe(pairs[0]), 0);
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[1]), 0);
			assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pairs[2]), 0);
			number = dup(pairs[from][0]);
			assert_true(begin_read(&c, number));
			put(pairs[from][1], "x");
			assert_int_equal(finish(&c), 1);
			if (to == from)
				continue;
			assert_int_equal(dup2(pairs[to][0], number), number);
			assert_true(begin_read(&c, number));
			settle();
			put(pairs[to][1], "yz");
			assert_int_equal(finish(&c), 2);
			/* Writing ends of the same kinds. */
			assert_int_equal(dup2(pairs[from][1], number), number);
			assert_int_equal(do_write(number, "1", 1), 1);
			assert_int_equal(dup2(pairs[to][1], number), number);
			assert_int_equal(do_write(number, "2", 1), 1);
			int file = temporary("file");

			assert_int_equal(dup2(file, number), number);
			assert_int_equal(do_read(&c, number), 4);
			assert_int_equal(do_write(number, "x", 1), 1);
			assert_int_equal(dup2(pairs[to][1], number), number);
			assert_int_equal(do_write(number, "3", 1), 1);
			close(file);
			close(number);
			for (int i = 0; i < 3; i++)
				close_both(pairs[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(readiness),
		TEST(readers_are_served_in_order),
		TEST(cancelling),
		TEST(cancelled_reads_lose_nothing),
		TEST(forgetting),
		TEST(number_reused_without_a_word),
	};

	return run_on_each_backend(tests, array_size(tests));
}
