/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "reactor/reactor.h"

static enum reactor_kind kind;
static struct reactor *r;

/* An operation with its buffer, which notes its end. */
struct call {
	struct op op;
	bool done;
	int order;
	char bytes[64];
};

static int finished;

static void on_complete(struct op *op)
{
	struct call *c = container_of(op, struct call, op);

	assert_false(c->done);
	c->done = true;
	c->order = finished++;
}

/* True if it is pending. */
static bool begin(struct call *c, enum op_code code, int fd, const void *buffer, size_t size)
{
	c->op = (struct op){.code = code, .fd = fd, .buffer = (void *)buffer, .size = size, .complete = on_complete};
	c->done = false;
	if (reactor_submit(r, &c->op)) {
		c->done = true;
		c->order = finished++;
	}
	return !c->done;
}

static bool begin_read(struct call *c, int fd)
{
	return begin(c, OP_READ, fd, c->bytes, sizeof(c->bytes));
}

static bool begin_poll(struct call *c, int fd, short events)
{
	c->op = (struct op){.code = OP_POLL, .fd = fd, .events = events, .complete = on_complete};
	c->done = reactor_submit(r, &c->op);
	return !c->done;
}

static int64_t finish(struct call *c)
{
	while (!c->done)
		assert_true(reactor_wait(r, -1) >= 0);
	return c->op.result;
}

static int64_t do_read(struct call *c, int fd)
{
	begin_read(c, fd);
	return finish(c);
}

static int64_t do_write(int fd, const void *bytes, size_t size)
{
	struct call c;

	begin(&c, OP_WRITE, fd, bytes, size);
	return finish(&c);
}

/* Lets submissions reach the kernel and everything that can complete do so. */
static void settle(void)
{
	for (int i = 0; i < 3; i++)
		assert_true(reactor_wait(r, 0) >= 0);
}

static int64_t cancel(struct call *c)
{
	if (reactor_cancel(r, &c->op))
		c->done = true;
	return finish(c);
}

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void close_both(const int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

static size_t fill(int fd)
{
	static char zeros[4096];
	size_t total = 0;
	ssize_t n;
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	while ((n = write(fd, zeros, sizeof(zeros))) > 0)
		total += (size_t)n;
	fcntl(fd, F_SETFL, flags);
	return total;
}

static int temporary(const char *text)
{
	char path[] = "/tmp/test_reactor.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	put(fd, text);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int setup(void **state)
{
	(void)state;
	finished = 0;
	return reactor_open(&(struct reactor_options){.kind = kind}, &r);
}

static int teardown(void **state)
{
	(void)state;
	fault_disarm();
	reactor_close(r);
	return 0;
}

static void names_itself(void **state)
{
	(void)state;
	assert_string_equal(reactor_name(r), kind == REACTOR_URING ? "io_uring" : "epoll");
}

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
	assert_true(begin(&c, OP_WRITE, fds[1], big, sizeof(big)));
	settle();
	assert_false(c.done);
	assert_int_equal(read(fds[0], drained, (size_t)n), n);
	int64_t m = finish(&c);

	assert_true(m > 0 && m <= n);
	assert_int_equal(read(fds[0], drained, sizeof(drained)), m);
	close_both(fds);
}

static volatile sig_atomic_t sigpipes;

static void count_sigpipe(int number)
{
	(void)number;
	sigpipes++;
}

static void broken_pipe_is_an_error_and_no_signal(void **state)
{
	static void (*const actions[])(int) = {SIG_DFL, count_sigpipe, SIG_IGN};
	sigset_t pending;

	(void)state;
	for (size_t i = 0; i < array_size(actions); i++) {
		int fds[2], sockets[2], full[2];
		struct call c;

		sigpipes = 0;
		signal(SIGPIPE, actions[i]);
		assert_int_equal(pipe(fds), 0);
		assert_int_equal(pipe(full), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
		fill(full[1]);
		assert_true(begin(&c, OP_WRITE, full[1], "x", 1));
		settle();
		close(fds[0]);
		close(sockets[0]);
		close(full[0]);
		assert_int_equal(do_write(fds[1], "x", 1), -EPIPE);
		assert_int_equal(do_write(sockets[1], "x", 1), -EPIPE);
		assert_int_equal(finish(&c), -EPIPE);
		assert_int_equal(reactor_forget(r, fds[1]) + reactor_forget(r, sockets[1]) + reactor_forget(r, full[1]), 0);
		close(fds[1]);
		close(sockets[1]);
		close(full[1]);
		sigpending(&pending);
		assert_false(sigismember(&pending, SIGPIPE));
		assert_int_equal(sigpipes, 0);
	}
	signal(SIGPIPE, SIG_DFL);
}

/* As on a kernel that has no RWF_NOSIGNAL. */
static void broken_pipe_on_old_kernels(void **state)
{
	sigset_t set, pending;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	signal(SIGPIPE, SIG_DFL);
	fault_arm("pwritev2", 1, -EOPNOTSUPP);
	assert_int_equal(do_write(fds[1], "x", 1), -EPIPE);
	fault_disarm();
	assert_int_equal(do_write(fds[1], "x", 1), -EPIPE);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGPIPE);
	assert_int_equal(do_write(fds[1], "x", 1), -EPIPE);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGPIPE));
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGPIPE, SIG_DFL);
	close(fds[1]);
}

static void without_flags_pipes_are_polled(void **state)
{
	int fds[2];
	struct call c;
	static char big[20000];

	(void)state;
	if (kind == REACTOR_URING)
		skip();
	assert_int_equal(pipe(fds), 0);
	fault_arm("preadv2", 1, -EOPNOTSUPP);
	assert_true(begin_read(&c, fds[0]));
	fault_arm("preadv2", 1, -EOPNOTSUPP);
	put(fds[1], "abc");
	assert_int_equal(finish(&c), 3);
	fault_arm("pwritev2", 1, -EOPNOTSUPP);
	int64_t n = do_write(fds[1], big, sizeof(big));

	assert_true(n > 0);
	close_both(fds);
}

static void files(void **state)
{
	int fd = temporary("0123456789");
	struct call c;
	char byte;

	(void)state;
	c.op.size = 4;
	begin(&c, OP_READ, fd, c.bytes, 4);
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
	assert_true(begin(&c, OP_WRITE, fds[0], big, sizeof(big)));
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
		assert_true(begin(&readers[i], OP_READ, fds[0], readers[i].bytes, 1));
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
	assert_true(begin(&writers[0], OP_WRITE, fds[1], "1", 1));
	assert_true(begin(&writers[1], OP_WRITE, fds[1], "2", 1));
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
	assert_true(begin(&ops[2], OP_WRITE, fds[0], "x", 1));
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

static void *wake_later(void *arg)
{
	reactor_wake(arg);
	return NULL;
}

static void on_signal(int number)
{
	(void)number;
	reactor_wake(r);
}

static void waking(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, wake_later, r), 0);
	assert_int_equal(reactor_wait(r, -1), 0);
	pthread_join(thread, NULL);
	/* One before the wait, and again after one was seen. */
	for (int i = 0; i < 3; i++) {
		errno = 4711;
		reactor_wake(r);
		assert_int_equal(errno, 4711);
		assert_int_equal(reactor_wait(r, -1), 0);
	}
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	assert_int_equal(reactor_wait(r, -1), 0);
	signal(SIGUSR1, SIG_DFL);
}

static void timeouts_end(void **state)
{
	static const int64_t timeouts[] = {0, 1, 999, 1000000, 3000001};
	int fds[2];
	struct call c;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	for (int pending = 0; pending < 2; pending++) {
		for (size_t i = 0; i < array_size(timeouts); i++)
			assert_int_equal(reactor_wait(r, timeouts[i]), 0);
		if (pending == 0)
			assert_true(begin_read(&c, fds[0]));
	}
	/* Long enough for a registration to be checked. */
	assert_int_equal(reactor_wait(r, 250000000), 0);
	put(fds[1], "x");
	assert_int_equal(reactor_wait(r, INT64_MAX), 1);
	assert_true(c.done);
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

static void many_pipes(void **state)
{
	enum { PIPES = 1000 };
	static struct call calls[PIPES];
	static int fds[PIPES][2];

	(void)state;
	for (int i = 0; i < PIPES; i++) {
		assert_int_equal(pipe(fds[i]), 0);
		assert_true(begin_read(&calls[i], fds[i][0]));
	}
	settle();
	assert_int_equal(reactor_pending(r), PIPES);
	for (int i = 0; i < PIPES; i++)
		put(fds[i][1], "x");
	for (int i = 0; i < PIPES; i++) {
		assert_int_equal(finish(&calls[i]), 1);
		close_both(fds[i]);
	}
	assert_int_equal(reactor_pending(r), 0);
}

static void more_completions_than_room(void **state)
{
	enum { POLLS = 5000 };
	static struct call calls[POLLS];
	int fds[2];

	(void)state;
	for (int round = 0; round < 2; round++) {
		assert_int_equal(pipe(fds), 0);
		for (int i = 0; i < POLLS; i++)
			assert_true(begin_poll(&calls[i], fds[0], POLLIN));
		settle();
		assert_int_equal(reactor_pending(r), POLLS);
		if (round == 0)
			put(fds[1], "x");
		else
			assert_true(reactor_forget(r, fds[0]) <= POLLS);
		for (int i = 0; i < POLLS; i++)
			assert_int_equal(finish(&calls[i]), round == 0 ? POLLIN : -EBADF);
		assert_int_equal(reactor_pending(r), 0);
		reactor_forget(r, fds[0]);
		close_both(fds);
	}
}

static struct call chained;

static void submit_again(struct op *op)
{
	struct call *c = container_of(op, struct call, op);

	c->done = true;
	begin_read(&chained, op->fd);
}

static void completion_may_submit(void **state)
{
	struct call c;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	c.op = (struct op){.code = OP_READ, .fd = fds[0], .buffer = c.bytes, .size = 1, .complete = submit_again};
	c.done = false;
	assert_false(reactor_submit(r, &c.op));
	put(fds[1], "ab");
	assert_int_equal(finish(&c), 1);
	assert_int_equal(finish(&chained), 1);
	assert_int_equal(chained.bytes[0], 'b');
	close_both(fds);
}

static bool is_readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}

static void descriptor_shows_what_is_due(void **state)
{
	int fds[2], fd = reactor_fd(r);
	struct call c;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(reactor_fd(r), fd);
	assert_int_equal(pipe(fds), 0);
	for (int round = 0; round < 3; round++) {
		assert_true(begin_read(&c, fds[0]));
		settle();
		assert_false(is_readable(fd));
		put(fds[1], "x");
		assert_true(is_readable(fd));
		assert_int_equal(reactor_wait(r, 0), 1);
		settle();
		assert_false(is_readable(fd));
		reactor_wake(r);
		assert_true(is_readable(fd));
		do
			settle();
		while (is_readable(fd));
	}
	assert_true(begin_read(&c, fds[0]));
	settle();
	assert_int_equal(reactor_forget(r, fds[0]), 1);
	assert_true(is_readable(fd));
	assert_int_equal(finish(&c), -EBADF);
	close_both(fds);
}

static void files_hold_time(void **state)
{
	struct reactor *outer = r;
	int fds[2], fd = temporary("abc");
	struct call file, waiting;

	(void)state;
	assert_int_equal(reactor_open(&(struct reactor_options){.kind = kind, .virtual_time = true}, &r), 0);
	assert_int_equal(pipe(fds), 0);
	assert_true(begin_read(&waiting, fds[0]));
	assert_int_equal(reactor_holding_time(r), 0);
	if (kind == REACTOR_EPOLL)
		fault_arm("preadv2", 1, -EAGAIN);
	assert_true(begin_read(&file, fd));
	fault_disarm();
	assert_int_equal(reactor_holding_time(r), 1);
	assert_int_equal(reactor_pending(r), 2);
	assert_int_equal(finish(&file), 3);
	assert_int_equal(reactor_holding_time(r), 0);
	reactor_close(r);
	r = outer;
	close(fd);
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

static void closes_with_everything_pending(void **state)
{
	static struct call calls[6];
	int fds[2], fd = temporary("abc"), master, slave;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	for (int round = 0; round < 2; round++) {
		begin_read(&calls[0], fds[0]);
		begin_read(&calls[1], fds[0]);
		begin_poll(&calls[2], fds[0], POLLIN);
		begin_read(&calls[3], slave);
		fault_arm("preadv2", 1, -EAGAIN);
		begin_read(&calls[4], fd);
		fault_disarm();
		if (round)
			reactor_wait(r, 0);
		reactor_close(r);
		assert_false(calls[0].done || calls[1].done || calls[2].done || calls[3].done);
		assert_int_equal(setup(state), 0);
	}
	close_both(fds);
	close_both((int[]){master, slave});
	close(fd);
}

static void child_abandons(void **state)
{
	int fds[2], status;
	struct call c;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_true(begin_read(&c, fds[0]));
	settle();
	pid_t pid = fork();

	if (pid == 0) {
		reactor_abandon(r);
		_exit(7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	put(fds[1], "x");
	assert_int_equal(finish(&c), 1);
	close_both(fds);
}

/* A bit of everything, in which any call may fail once. Every operation must end, with its result or an error. */
static int64_t exercise(void)
{
	struct reactor *outer = r;
	int fds[2], sockets[2], fd = temporary("abc"), master, slave;
	struct call calls[6];
	int err = reactor_open(&(struct reactor_options){.kind = kind}, &r);

	if (err == 0) {
		assert_int_equal(pipe(fds), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
		assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
		begin_read(&calls[0], fds[0]);
		begin_read(&calls[1], sockets[1]);
		begin_poll(&calls[2], sockets[0], POLLIN);
		begin_read(&calls[3], slave);
		begin_read(&calls[4], fd);
		begin(&calls[5], OP_WRITE, fds[1], "x", 1);
		reactor_wait(r, 1000);
		reactor_fd(r);
		put(sockets[0], "x");
		put(sockets[1], "x");
		put(master, "x\n");
		put(fds[1], "y");
		for (int tries = 0; reactor_pending(r) > 0 && tries < 50; tries++)
			reactor_wait(r, 200000000);
		for (int i = 0; i < 6; i++)
			assert_true(calls[i].done && calls[i].op.result != -EAGAIN);
		/* And ends that are forced. */
		assert_int_equal(reactor_pending(r), 0);
		static char bytes[8];
		static struct call late[2];
		if (calls[1].op.result == 1)
			begin(&late[0], OP_READ, sockets[1], bytes, 4);
		begin_poll(&late[1], fds[0], POLLPRI);
		reactor_wait(r, 0);
		reactor_forget(r, fds[0]);
		reactor_close(r);
		close_both(fds);
		close_both(sockets);
		close_both((int[]){master, slave});
	}
	close(fd);
	r = outer;
	return err;
}

static void every_failure_is_survived(void **state)
{
	static const char *const names[] = {
		"malloc", "eventfd", "fstat", "poll", "open", "readv", "recv", "send", "preadv2", "pwritev2",
		"epoll_create1", "timerfd_create", "epoll_ctl", "epoll_wait", "epoll_pwait2",
		"io_uring_setup", "io_uring_probe", "io_uring_enter", "io_uring_register", "madvise",
	};
	static const int errors[] = {-ENOMEM, -EINTR, -EIO};
	unsigned long failed = 0;

	(void)state;
	assert_int_equal(exercise(), 0);
	for (size_t i = 0; i < array_size(names); i++) {
		fault_count(names[i]);
		assert_int_equal(exercise(), 0);
		unsigned long calls = fault_disarm();

		for (unsigned long nth = 1; nth <= calls; nth++) {
			for (size_t e = 0; e < array_size(errors); e++) {
				fault_arm(names[i], nth, errors[e]);
				assert_true(exercise() <= 0);
				fault_disarm();
				failed++;
			}
		}
	}
	assert_true(failed > 50);
}

/* A kernel that has no memory or no room for completions is asked again. */
static void busy_kernel_is_asked_again(void **state)
{
	static const int errors[] = {-EAGAIN, -EBUSY};

	(void)state;
	for (size_t i = 0; i < array_size(errors); i++) {
		struct call reading;
		int fds[2];

		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		assert_true(begin_read(&reading, fds[0]));
		assert_int_equal(write(fds[1], "abc", 3), 3);
		fault_arm("io_uring_enter", 1, errors[i]);
		while (!reading.done)
			assert_true(reactor_wait(r, -1) >= 0);
		assert_int_equal(fault_disarm() > 1, kind == REACTOR_URING);
		assert_int_equal(reading.op.result, 3);
		close_both(fds);
	}
}

static void automatic_choice_falls_back(void **state)
{
	struct reactor *other;

	(void)state;
	fault_arm("io_uring_setup", 1, -EPERM);
	assert_int_equal(reactor_open(&(struct reactor_options){.kind = REACTOR_AUTO}, &other), 0);
	assert_string_equal(reactor_name(other), "epoll");
	reactor_close(other);
	fault_arm("io_uring_setup", 1, -EPERM);
	assert_int_equal(reactor_open(&(struct reactor_options){.kind = REACTOR_URING}, &other), -ENOSYS);
	/* Flags that are not known are done without. */
	fault_arm("io_uring_setup", 1, -EINVAL);
	assert_int_equal(reactor_open(&(struct reactor_options){.kind = REACTOR_URING}, &other), 0);
	reactor_close(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_itself), TEST(pipe_is_read), TEST(full_pipe_is_written_in_part),
		TEST(broken_pipe_is_an_error_and_no_signal), TEST(files), TEST(special_files), TEST(bad_descriptors),
		TEST(terminal), TEST(terminal_number_reused), TEST(sockets), TEST(readiness),
		TEST(readers_are_served_in_order), TEST(cancelling), TEST(cancelled_reads_lose_nothing), TEST(forgetting),
		TEST(number_reused_without_a_word), TEST(waking), TEST(timeouts_end), TEST(flags_are_left_alone),
		TEST(many_pipes), TEST(more_completions_than_room), TEST(completion_may_submit),
		TEST(descriptor_shows_what_is_due), TEST(files_hold_time), TEST(slow_file),
		TEST(closes_with_everything_pending), TEST(child_abandons), TEST(every_failure_is_survived),
		TEST(busy_kernel_is_asked_again), TEST(without_flags_pipes_are_polled),
		/* After these, writes do without RWF_NOSIGNAL. */
		TEST(broken_pipe_on_old_kernels), TEST(broken_pipe_is_an_error_and_no_signal),
	};
	const struct CMUnitTest choice[] = {cmocka_unit_test(automatic_choice_falls_back)};
	struct rlimit limit;
	const char *reason;

	alarm(60);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	kind = REACTOR_EPOLL;
	int failed = cmocka_run_group_tests_name("reactor on epoll", tests, NULL, NULL);

	kind = REACTOR_URING;
	if (!reactor_uring_usable(&reason, NULL)) {
		print_message("io_uring cannot be used: %s\n", reason);
		return failed;
	}
	failed += cmocka_run_group_tests_name("reactor on io_uring", tests, NULL, NULL);
	return failed + cmocka_run_group_tests_name("reactor of either kind", choice, NULL, NULL);
}
