/* SPDX-License-Identifier: MIT */
/* Every kind of descriptor: pipes, files, terminals, sockets, and such as there are not. */
#include "reactor_peers.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pty.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"

static void pipe_is_read(void **state)
{
	int fds[2];
	struct call c;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_true(begin_read(&c, fds[0]));
	assert_int_equal(reactor_pending(r), 1);
	settle();
	assert_false(c.done);
	put(fds[1], "abc");
	assert_int_equal(finish(&c), 3);
	assert_memory_equal(c.bytes, "abc", 3);
	assert_int_equal(reactor_pending(r), 0);
	put(fds[1], "defg");
	assert_int_equal(do_read(&c, fds[0]), 4);
	assert_true(begin_read(&c, fds[0]) || c.op.result != -EAGAIN);
	close(fds[1]);
	assert_int_equal(finish(&c), 0);
	close(fds[0]);
}

static void full_pipe_is_written_in_part(void **state)
{
	static char big[300000], drained[300000];
	int fds[2];
	struct call c;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	int64_t n = do_write(fds[1], big, sizeof(big));

	assert_true(n > 0 && n < (int64_t)sizeof(big));
	assert_true(begin_op(&c, OP_WRITE, fds[1], big, sizeof(big)));
	settle();
	assert_false(c.done);
	assert_int_equal(read(fds[0], drained, (size_t)n), n);
	int64_t m = finish(&c);

	assert_true(m > 0 && m <= n);
	assert_int_equal(read(fds[0], drained, sizeof(drained)), m);
	close_both(fds);
}

static void files(void **state)
{
	int fd = temporary("0123456789");
	struct call c;
	char byte;

	(void)state;
	c.op.size = 4;
	begin_op(&c, OP_READ, fd, c.bytes, 4);
	assert_int_equal(finish(&c), 4);
	assert_memory_equal(c.bytes, "0123", 4);
	assert_int_equal(do_read(&c, fd), 6);
	assert_memory_equal(c.bytes, "456789", 6);
	assert_int_equal(do_read(&c, fd), 0);
	assert_int_equal(do_write(fd, "abcd", 4), 4);
	assert_int_equal(pread(fd, &byte, 1, 13), 1);
	assert_int_equal(byte, 'd');
	assert_true(begin_poll(&c, fd, POLLIN) || (c.op.result & POLLIN));
	assert_true(finish(&c) & POLLIN);
	close(fd);
}

static void special_files(void **state)
{
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR);
	int proc = open("/proc/self/stat", O_RDONLY), directory = open("/", O_RDONLY);
	struct call c;

	(void)state;
	assert_int_equal(do_read(&c, null), 0);
	assert_int_equal(do_write(null, "abc", 3), 3);
	c.bytes[5] = 1;
	assert_int_equal(do_read(&c, zero), sizeof(c.bytes));
	assert_int_equal(c.bytes[5], 0);
	assert_int_equal(do_write(full, "abc", 3), -ENOSPC);
	assert_true(do_read(&c, proc) > 0);
	assert_true(do_read(&c, directory) == -EISDIR);
	assert_int_equal(do_write(proc, "x", 1), -EBADF);
	close(null);
	close(zero);
	close(full);
	close(proc);
	close(directory);
}

static void bad_descriptors(void **state)
{
	static const int numbers[] = {-1, 19999, INT_MAX, INT_MIN};
	struct call c;
	int fds[2];

	(void)state;
	for (size_t i = 0; i < array_size(numbers); i++) {
		assert_int_equal(do_read(&c, numbers[i]), -EBADF);
		assert_int_equal(reactor_forget(r, numbers[i]), 0);
	}
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(do_write(fds[1], "x", 1), 1);
	assert_int_equal(do_read(&c, fds[0]), 1);
	close_both(fds);
	assert_int_equal(do_write(fds[1], "x", 1), -EBADF);
	assert_int_equal(do_read(&c, fds[0]), -EBADF);
	begin_poll(&c, fds[0], POLLIN);
	assert_int_equal(finish(&c), -EBADF);
	assert_int_equal(reactor_pending(r), 0);
}

static void terminal(void **state)
{
	int master, slave;
	struct call c, d;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_true(begin_read(&c, slave));
	settle();
	put(master, "no line yet");
	settle();
	assert_false(c.done);
	assert_int_equal(cancel(&c), -ECANCELED);
	assert_true(begin_read(&c, slave));
	put(master, "\n");
	assert_int_equal(finish(&c), 12);
	assert_memory_equal(c.bytes, "no line yet\n", 12);
	assert_int_equal(do_write(slave, "out", 3), 3);
	/* The echo comes first. */
	begin_read(&d, master);
	assert_true(finish(&d) > 0);
	assert_true(begin_read(&c, slave));
	put(master, "\004");
	assert_int_equal(finish(&c), 0);
	assert_false(fcntl(slave, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(master, F_GETFL) & O_NONBLOCK);
	assert_int_equal(reactor_forget(r, slave), 0);
	close_both((int[]){master, slave});
}

static void terminal_number_reused(void **state)
{
	int master, slave, other_master, other_slave;
	struct call c;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(openpty(&other_master, &other_slave, NULL, NULL, NULL), 0);
	put(master, "one\n");
	assert_int_equal(do_read(&c, slave), 4);
	assert_int_equal(dup2(other_slave, slave), slave);
	put(other_master, "other\n");
	assert_int_equal(do_read(&c, slave), 6);
	assert_int_equal(reactor_forget(r, slave), 0);
	close_both((int[]){master, slave});
	close_both((int[]){other_master, other_slave});
}

static void sockets(void **state)
{
	static char big[4000000];
	int fds[2];
	struct call c, d;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_true(begin_read(&c, fds[0]));
	assert_int_equal(do_write(fds[1], "abc", 3), 3);
	assert_int_equal(finish(&c), 3);
	fill(fds[0]);
	assert_true(begin_op(&c, OP_WRITE, fds[0], big, sizeof(big)));
	assert_true(begin_read(&d, fds[0]));
	settle();
	assert_false(c.done || d.done);
	put(fds[1], "x");
	assert_int_equal(finish(&d), 1);
	while (!c.done) {
		assert_true(recv(fds[1], big, sizeof(big), MSG_DONTWAIT) > 0);
		settle();
	}
	assert_true(c.op.result > 0);
	assert_true(begin_read(&d, fds[0]));
	shutdown(fds[1], SHUT_RDWR);
	assert_int_equal(finish(&d), 0);
	close_both(fds);
}

static void flags_are_left_alone(void **state)
{
	int fds[2];
	struct call c;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_true(begin_read(&c, fds[0]));
	settle();
	assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(do_write(fds[1], "x", 1), 1);
	assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
	finish(&c);
	/* And one that has the flag waits all the same. */
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	assert_true(begin_read(&c, fds[0]));
	settle();
	assert_false(c.done);
	put(fds[1], "x");
	assert_int_equal(finish(&c), 1);
	close_both(fds);
}

/* In a worker on epoll. */
static void slow_file(void **state)
{
	int fd = temporary("abc");
	struct call c;

	(void)state;
	fault_arm("preadv2", 1, -EAGAIN);
	begin_read(&c, fd);
	assert_int_equal(finish(&c), 3);
	fault_arm("preadv2", 1, -EAGAIN);
	lseek(fd, 0, SEEK_SET);
	begin_read(&c, fd);
	int64_t n = c.done ? c.op.result : cancel(&c);

	assert_true(n == 3 || n == -ECANCELED);
	fault_arm("pwritev2", 1, -EAGAIN);
	assert_int_equal(do_write(fd, "def", 3), 3);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pipe_is_read),
		TEST(full_pipe_is_written_in_part),
		TEST(files),
		TEST(special_files),
		TEST(bad_descriptors),
		TEST(terminal),
		TEST(terminal_number_reused),
		TEST(sockets),
		TEST(flags_are_left_alone),
		TEST(slow_file),
	};

	return run_on_each_backend(tests, array_size(tests));
}
