/* SPDX-License-Identifier: MIT */
#include "reactor_peers.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fault.h"

enum reactor_kind kind;
struct reactor *r;

static int finished;

static void on_complete(struct op *op)
{
	struct call *c = container_of(op, struct call, op);

	assert_false(c->done);
	c->done = true;
	c->order = finished++;
}

bool begin_op(struct call *c, enum op_code code, int fd, const void *buffer, size_t size)
{
	c->op = (struct op){.code = code, .fd = fd, .buffer = (void *)buffer, .size = size, .complete = on_complete};
	c->done = false;
	if (reactor_submit(r, &c->op)) {
		c->done = true;
		c->order = finished++;
	}
	return !c->done;
}

bool begin_read(struct call *c, int fd)
{
	return begin_op(c, OP_READ, fd, c->bytes, sizeof(c->bytes));
}

bool begin_poll(struct call *c, int fd, short events)
{
	c->op = (struct op){.code = OP_POLL, .fd = fd, .events = events, .complete = on_complete};
	c->done = reactor_submit(r, &c->op);
	return !c->done;
}

int64_t finish(struct call *c)
{
	while (!c->done)
		assert_true(reactor_wait(r, -1) >= 0);
	return c->op.result;
}

int64_t do_read(struct call *c, int fd)
{
	begin_read(c, fd);
	return finish(c);
}

int64_t do_write(int fd, const void *bytes, size_t size)
{
	struct call c;

	begin_op(&c, OP_WRITE, fd, bytes, size);
	return finish(&c);
}

void settle(void)
{
	for (int i = 0; i < 3; i++)
		assert_true(reactor_wait(r, 0) >= 0);
}

int64_t cancel(struct call *c)
{
	if (reactor_cancel(r, &c->op))
		c->done = true;
	return finish(c);
}

void close_both(const int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

size_t fill(int fd)
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

int temporary(const char *text)
{
	char path[] = "/tmp/test_reactor.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	put(fd, text);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

int setup(void **state)
{
	(void)state;
	finished = 0;
	return reactor_open(&(struct reactor_options){.kind = kind}, &r);
}

int teardown(void **state)
{
	(void)state;
	fault_disarm();
	reactor_close(r);
	return 0;
}

/* How many tests of the group failed. */
static int run_on(enum reactor_kind backend, const char *name, const struct CMUnitTest *tests, size_t count)
{
	kind = backend;
	return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}

int run_on_each_backend(const struct CMUnitTest *tests, size_t count)
{
	struct rlimit limit;
	const char *reason;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	int failed = run_on(REACTOR_EPOLL, "reactor on epoll", tests, count);

	if (!reactor_uring_usable(&reason, NULL)) {
		print_message("io_uring cannot be used: %s\n", reason);
		return failed;
	}
	return failed + run_on(REACTOR_URING, "reactor on io_uring", tests, count);
}
