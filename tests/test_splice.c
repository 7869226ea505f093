/* SPDX-License-Identifier: MIT */
/* Bytes from one descriptor to another: splice and sendfile. */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE 300000

static char byte_at(off_t position)
{
	return (char)(position * 7 + position / 251);
}

static int make_file(off_t size)
{
	char path[] = "/tmp/test_splice.XXXXXX", block[4096];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	for (off_t at = 0; at < size;) {
		size_t part = size - at < (off_t)sizeof(block) ? (size_t)(size - at) : sizeof(block);

		for (size_t i = 0; i < part; i++)
			block[i] = byte_at(at + (off_t)i);
		assert_int_equal(pwrite(fd, block, part, at), part);
		at += (off_t)part;
	}
	return fd;
}

/* The reading end first; `flags` may have SOCK_NONBLOCK. */
static void make_sockets(int ends[2], int flags)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, ends), 0);
}

static void make_pipe(int ends[2])
{
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
}

static void close_ends(const int ends[2])
{
	assert_int_equal(async_close(ends[0]), 0);
	assert_int_equal(async_close(ends[1]), 0);
}

static void run(async_fn *fn)
{
	size_t before = open_descriptors();

	assert_int_equal(run_virtual(fn, NULL), 0);
	assert_int_equal(open_descriptors(), before);
}

struct flow {
	int in, out;
	off_t size;
	off_t moved;
};

/* Reads until `size` bytes have come and are the right ones. */
static intptr_t check_stream(void *arg)
{
	struct flow *flow = arg;
	char block[5000];

	while (flow->moved < flow->size) {
		ssize_t count = async_read(flow->in, block, sizeof(block));

		if (count <= 0)
			return count < 0 ? count : -EPIPE;
		for (ssize_t i = 0; i < count; i++)
			if (block[i] != byte_at(flow->moved++))
				return -EBADMSG;
	}
	return 0;
}

static void send_all(int in, int out, off_t size)
{
	off_t at = 0;

	while (at < size) {
		off_t before = at;
		ssize_t count = async_sendfile(out, in, &at, (size_t)(size - at));

		assert_true(count > 0);
		assert_int_equal(at - before, count);
	}
	assert_int_equal(async_sendfile(out, in, &at, 10), 0);
}

/* To a socket that is set to wait, one that is not, and a pipe; each holds less than there is. */
static intptr_t send_files(void *arg)
{
	int in = make_file(SIZE);

	(void)arg;
	for (int kind = 0; kind < 3; kind++) {
		int ends[2];

		if (kind == 2)
			make_pipe(ends);
		else
			make_sockets(ends, kind ? SOCK_NONBLOCK : 0);
		int flags = fcntl(ends[1], F_GETFL);
		struct flow flow = {.in = ends[0], .size = SIZE};
		async_task *reader = async_create_task(check_stream, &flow);
		send_all(in, ends[1], SIZE);
		assert_int_equal(async_await(reader), 0);
		assert_int_equal(fcntl(ends[1], F_GETFL), flags);
		close_ends(ends);
	}
	/* Nobody has moved it. */
	assert_int_equal(lseek(in, 0, SEEK_CUR), 0);
	assert_int_equal(async_close(in), 0);
	return 0;
}

static void files_are_sent(void **state)
{
	(void)state;
	run(send_files);
}

static intptr_t send_from_position(void *arg)
{
	int in = make_file(100), out = make_file(0);
	char byte;

	(void)arg;
	assert_int_equal(lseek(in, 40, SEEK_SET), 40);
	assert_int_equal(async_sendfile(out, in, NULL, 1000), 60);
	assert_int_equal(lseek(in, 0, SEEK_CUR), 100);
	assert_int_equal(async_sendfile(out, in, NULL, 1000), 0);
	assert_int_equal(pread(out, &byte, 1, 59), 1);
	assert_int_equal(byte, byte_at(99));
	assert_int_equal(async_close(in), 0);
	assert_int_equal(async_close(out), 0);
	return 0;
}

static void files_are_copied_from_the_position(void **state)
{
	(void)state;
	run(send_from_position);
}

static intptr_t move_all(void *arg)
{
	const struct flow *flow = arg;
	off_t left = flow->size;

	while (left > 0) {
		ssize_t count = async_splice(flow->in, NULL, flow->out, NULL, (size_t)left, SPLICE_F_MOVE);

		if (count <= 0)
			return count < 0 ? count : -EPIPE;
		left -= count;
	}
	return 0;
}

/* File, pipe, socket, socket, pipe, file: every kind of move, all of them waiting for each other. */
static intptr_t chain(void *arg)
{
	int in = make_file(SIZE), out = make_file(0), first[2], second[2], sockets[2];
	async_task *movers[4];
	off_t end = 0;

	(void)arg;
	make_pipe(first);
	make_pipe(second);
	make_sockets(sockets, 0);
	struct flow flows[] = {{in, first[1], SIZE, 0},
			       {first[0], sockets[1], SIZE, 0},
			       {sockets[0], second[1], SIZE, 0},
			       {second[0], out, SIZE, 0}};
	for (int i = 3; i >= 0; i--) {
		movers[i] = async_create_task(move_all, &flows[i]);
		give_way(3);
		assert_false(async_done(movers[i]));
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(async_await(movers[i]), 0);
	for (char byte; end < SIZE; end += 997) {
		assert_int_equal(pread(out, &byte, 1, end), 1);
		assert_int_equal(byte, byte_at(end));
	}
	assert_int_equal(fcntl(sockets[0], F_GETFL) & O_NONBLOCK, 0);
	close_ends(first);
	close_ends(second);
	close_ends(sockets);
	close_ends((int[]){in, out});
	return 0;
}

static void bytes_move_along_a_chain(void **state)
{
	(void)state;
	run(chain);
}

static intptr_t move_once(void *arg)
{
	struct flow *flow = arg;

	flow->moved = async_splice(flow->in, NULL, flow->out, NULL, 100, 0);
	return flow->moved;
}

/* What a cancelled move has not moved is still there. */
static intptr_t cancel_moves(void *arg)
{
	char buffer[16];

	(void)arg;
	for (int round = 0; round < 30; round++) {
		int from[2], to[2];

		make_sockets(from, round % 2 ? SOCK_NONBLOCK : 0);
		make_pipe(to);
		struct flow flow = {.in = from[0], .out = to[1], .moved = -ECANCELED};
		async_task *mover = async_create_task(move_once, &flow);
		give_way(round % 5);
		assert_int_equal(write(from[1], "hello", 5), 5);
		give_way(round % 3);
		async_cancel(mover, NULL);
		intptr_t ended = async_await(mover);
		assert_true(ended == flow.moved || ended == -ECANCELED);
		assert_true(flow.moved == 5 || flow.moved == -ECANCELED);
		assert_int_equal(async_read(flow.moved == 5 ? to[0] : from[0], buffer, sizeof(buffer)), 5);
		close_ends(from);
		close_ends(to);
	}
	return 0;
}

static void cancelled_moves_lose_nothing(void **state)
{
	(void)state;
	run(cancel_moves);
}

/* Closing the end that a move waits for ends it. */
static intptr_t close_under_moves(void *arg)
{
	(void)arg;
	for (int full = 0; full < 2; full++) {
		int from[2], to[2];

		make_pipe(from);
		make_pipe(to);
		if (full) {
			int in = make_file(SIZE);

			assert_int_equal(write(from[1], "x", 1), 1);
			while (async_splice(in, NULL, to[1], NULL, SIZE, SPLICE_F_NONBLOCK) > 0)
				;
			assert_int_equal(async_close(in), 0);
		}
		struct flow flow = {.in = from[0], .out = to[1]};
		async_task *mover = async_create_task(move_once, &flow);
		give_way(5);
		assert_false(async_done(mover));
		assert_int_equal(async_close(full ? to[1] : from[0]), 0);
		assert_int_equal(async_await(mover), -EBADF);
		assert_int_equal(async_close(full ? from[0] : to[1]), 0);
		assert_int_equal(async_close(from[1]), 0);
		assert_int_equal(async_close(to[0]), 0);
	}
	return 0;
}

static void closing_ends_a_move(void **state)
{
	(void)state;
	run(close_under_moves);
}

static intptr_t use_wrongly(void *arg)
{
	int in = make_file(100), pipe_ends[2], sockets[2];
	off_t at = 0, before = -1;

	(void)arg;
	make_pipe(pipe_ends);
	make_sockets(sockets, 0);
	assert_int_equal(async_splice(-1, NULL, pipe_ends[1], NULL, 1, 0), -EBADF);
	assert_int_equal(async_splice(in, NULL, -1, NULL, 1, 0), -EBADF);
	assert_int_equal(async_splice(in, NULL, sockets[1], NULL, 1, 0), -EINVAL);
	assert_int_equal(async_splice(in, &before, pipe_ends[1], NULL, 1, 0), -EINVAL);
	assert_int_equal(async_splice(sockets[0], NULL, pipe_ends[1], &at, 1, 0), -ESPIPE);
	assert_int_equal(async_splice(sockets[0], NULL, pipe_ends[1], NULL, 1, SPLICE_F_NONBLOCK), -EAGAIN);
	assert_int_equal(async_splice(in, &at, pipe_ends[1], NULL, 10, 0), 10);
	assert_int_equal(at, 10);
	assert_int_equal(async_sendfile(sockets[1], sockets[0], NULL, 1), -EINVAL);
	/* No reader: an error and no signal. */
	assert_int_equal(async_close(pipe_ends[0]), 0);
	assert_int_equal(async_splice(in, NULL, pipe_ends[1], NULL, 1, 0), -EPIPE);
	assert_int_equal(async_close(sockets[0]), 0);
	assert_int_equal(async_sendfile(sockets[1], in, &at, 1), -EPIPE);
	assert_int_equal(async_close(pipe_ends[1]), 0);
	assert_int_equal(async_close(sockets[1]), 0);
	assert_int_equal(async_close(in), 0);
	return 0;
}

static void wrong_use_is_an_error(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_DFL);
	run(use_wrongly);
	assert_int_equal(async_splice(0, NULL, 1, NULL, 0, 0), -EPERM);
}

static intptr_t work(void *arg)
{
	int in = make_file(SIZE), out = make_file(0), ends[2];
	off_t at = 0;

	(void)arg;
	make_pipe(ends);
	struct flow flow = {.in = ends[0], .out = out, .size = SIZE};
	async_task *mover = async_create_task(move_all, &flow);
	intptr_t count = 0;

	while (at < SIZE && count >= 0)
		count = async_sendfile(ends[1], in, &at, (size_t)(SIZE - at));
	async_cancel(count < 0 ? mover : NULL, NULL);
	intptr_t moved = count < 0 || !async_done(mover) ? 0 : async_error(mover);
	close(ends[1]);
	intptr_t ended = async_await(mover);
	int fds[] = {in, out, ends[0]};
	for (int i = 0; i < 3; i++) {
		int closed = async_close(fds[i]);

		if (closed == -EPERM || closed == -EBADF || closed == -ENOMEM)
			close(fds[i]);
	}
	return count < 0 ? count : moved < 0 ? moved : ended;
}

static intptr_t work_once(void)
{
	return run_to_the_end(work);
}

static void every_failure_is_survived(void **state)
{
	static const int errors[] = {-ENOMEM, -EINTR, -EIO};

	(void)state;
	fail_every_call(work_once, errors, countof(errors));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(files_are_sent),
		TEST(files_are_copied_from_the_position),
		TEST(bytes_move_along_a_chain),
		TEST(cancelled_moves_lose_nothing),
		TEST(closing_ends_a_move),
		TEST(wrong_use_is_an_error),
		TEST(every_failure_is_survived),
	};
	struct async_system_info info = {.size = sizeof(info)};

	/* What the kernel offers is found out once for the process: not while something fails. */
	if (async_get_system_info(&info) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
