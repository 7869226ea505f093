/* SPDX-License-Identifier: MIT */
/* What fails: pipes that are broken, calls that the kernel refuses or does not know. */
#include "reactor_peers.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"

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
		assert_true(begin_op(&c, OP_WRITE, full[1], "x", 1));
		settle();
		close(fds[0]);
		close(sockets[0]);
		close(full[0]);
		assert_int_equal(do_write(fds[1], "x", 1), -EPIPE);
		assert_int_equal(do_write(sockets[1], "x", 1), -EPIPE);
		assert_int_equal(finish(&c), -EPIPE);
		assert_int_equal(reactor_forget(r, fds[1]) + reactor_forget(r, sockets[1]) + reactor_forget(r, full[1]),
				 0);
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
		begin_op(&calls[5], OP_WRITE, fds[1], "x", 1);
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
			begin_op(&late[0], OP_READ, sockets[1], bytes, 4);
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

/* What is under way when a filter comes that refuses the ring, and when it notices. */
enum moment { AT_A_WAIT, AT_A_CANCEL, AT_A_CLOSE, AT_A_FULL_RING, MOMENTS };

static void notice(enum moment moment, struct call *reading, int fd)
{
	static struct call many[300];

	if (moment == AT_A_CANCEL) {
		assert_false(reactor_cancel(r, &reading->op));
	} else if (moment == AT_A_CLOSE) {
		assert_int_equal(reactor_forget(r, fd), 1);
	} else if (moment == AT_A_FULL_RING) {
		for (size_t i = 0; i < array_size(many); i++)
			if (!begin_poll(&many[i], fd, POLLPRI))
				assert_int_equal(many[i].op.result, -EPERM);
	}
}

static void a_ring_that_is_refused_later(void **state)
{
	static const int64_t expected[] = {-EPERM, -ECANCELED, -EBADF, -EPERM};

	(void)state;
	for (int moment = 0; moment < MOMENTS; moment++) {
		struct call reading, polling, late;
		int fds[2], others[2];

		assert_int_equal(reactor_open(&(struct reactor_options){.kind = REACTOR_URING}, &r), 0);
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		assert_int_equal(pipe2(others, O_CLOEXEC), 0);
		assert_true(begin_read(&reading, fds[0]));
		assert_true(begin_poll(&polling, others[0], POLLIN));
		settle();
		fault_arm_for_good("io_uring_enter", 1, -EPERM);
		notice(moment, &reading, fds[0]);
		while (reactor_pending(r) > 0)
			assert_true(reactor_wait(r, -1) >= 0);
		assert_int_equal(reading.op.result, expected[moment]);
		assert_int_equal(polling.op.result, -EPERM);
		/* What comes later fails at once, what another thread tells is heard, and time passes. */
		assert_false(begin_read(&late, others[0]));
		assert_int_equal(late.op.result, -EPERM);
		reactor_wake(r);
		assert_int_equal(reactor_wait(r, -1), 0);
		assert_int_equal(reactor_wait(r, 1000), 0);
		reactor_close(r);
		/* It is not asked again and again. */
		assert_true(fault_disarm() < 8);
		close_both(fds);
		close_both(others);
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
	/* There are filters that let a ring be made, and not be used. */
	fault_arm("io_uring_enter", 1, -EPERM);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(broken_pipe_is_an_error_and_no_signal),
		TEST(every_failure_is_survived),
		TEST(busy_kernel_is_asked_again),
		TEST(without_flags_pipes_are_polled),
		/* After these, writes do without RWF_NOSIGNAL. */
		TEST(broken_pipe_on_old_kernels),
		TEST(broken_pipe_is_an_error_and_no_signal),
	};
	const struct CMUnitTest choice[] = {
		cmocka_unit_test(automatic_choice_falls_back),
		cmocka_unit_test(a_ring_that_is_refused_later),
	};
	const char *reason;
	int failed = run_on_each_backend(tests, array_size(tests));

	if (!reactor_uring_usable(&reason, NULL))
		return failed;
	return failed + cmocka_run_group_tests_name("reactor of either kind", choice, NULL, NULL);
}
