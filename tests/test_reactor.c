/* SPDX-License-Identifier: MIT */
/* The reactor: waking, waiting, many completions, its descriptor, its end. */
#include "reactor_peers.h"

#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"

static void names_itself(void **state)
{
	(void)state;
	assert_string_equal(reactor_name(r), kind == REACTOR_URING ? "io_uring" : "epoll");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_itself),
		TEST(waking),
		TEST(timeouts_end),
		TEST(many_pipes),
		TEST(more_completions_than_room),
		TEST(completion_may_submit),
		TEST(descriptor_shows_what_is_due),
		TEST(files_hold_time),
		TEST(closes_with_everything_pending),
		TEST(child_abandons),
	};

	return run_on_each_backend(tests, array_size(tests));
}
