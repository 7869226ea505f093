/* SPDX-License-Identifier: MIT */
/* Reading and writing with several buffers at the current position, on descriptors of every kind. */
#include "harness.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

enum { PIPE, SOCKET, DATAGRAMS, TERMINAL, TERMINAL_MASTER, KINDS };

/* What is written to ends[1] comes from ends[0]. */
static void open_ends(int kind, int ends[2])
{
	struct termios settings;
	char name[64];

	if (kind == PIPE) {
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	} else if (kind < TERMINAL) {
		int type = kind == SOCKET ? SOCK_STREAM : SOCK_DGRAM;

		assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
	} else {
		int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

		assert_int_equal(grantpt(master), 0);
		assert_int_equal(unlockpt(master), 0);
		assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
		int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
		assert_int_equal(tcgetattr(slave, &settings), 0);
		cfmakeraw(&settings);
		assert_int_equal(tcsetattr(slave, TCSANOW, &settings), 0);
		ends[0] = kind == TERMINAL ? slave : master;
		ends[1] = kind == TERMINAL ? master : slave;
	}
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

struct reading {
	int fd;
	char a[4], b[8];
	ssize_t count; /* which the task's result hides if it was cancelled meanwhile */
};

static intptr_t read_parts(void *arg)
{
	struct reading *reading = arg;
	const struct iovec parts[] = {{reading->a, 3}, {NULL, 0}, {reading->b, 7}};

	reading->count = async_readv(reading->fd, parts, countof(parts));
	return reading->count;
}

static intptr_t say_hello(void *arg)
{
	const struct iovec parts[] = {{(char[]){"he"}, 2}, {NULL, 0}, {(char[]){"l"}, 1}, {(char[]){"lo"}, 2}};

	(void)arg;
	for (int kind = 0; kind < KINDS; kind++) {
		int ends[2];

		open_ends(kind, ends);
		struct reading reading = {.fd = ends[0]};
		async_task *reader = async_create_task(read_parts, &reading);

		give_way(5);
		assert_false(async_done(reader));
		assert_int_equal(async_writev(ends[1], parts, countof(parts)), 5);
		assert_int_equal(async_await(reader), 5);
		assert_string_equal(reading.a, "hel");
		assert_string_equal(reading.b, "lo");
		/* What is there already needs no waiting. */
		assert_int_equal(write(ends[1], "again", 5), 5);
		give_way(5);
		assert_int_equal(read_parts(&reading), 5);
		assert_string_equal(reading.a, "aga");
		close_ends(ends);
	}
	return 0;
}

static void bytes_arrive(void **state)
{
	(void)state;
	run(say_hello);
}

static char byte_at(size_t position)
{
	return (char)(position * 7 + position / 251);
}

struct stream {
	int fd;
	size_t total;
};

static intptr_t write_stream(void *arg)
{
	const struct stream *stream = arg;
	char block[9000];

	for (size_t done = 0; done < stream->total;) {
		const struct iovec parts[] = {{block, 7}, {block + 7, 4993}, {block + 5000, sizeof(block) - 5000}};

		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = byte_at(done + i);
		ssize_t count = async_writev(stream->fd, parts, countof(parts));
		if (count <= 0)
			return count;
		done += (size_t)count;
	}
	return 0;
}

/* Much more than fits, through each kind of stream: parts of parts are written. */
static intptr_t pass_much(void *arg)
{
	static const int kinds[] = {PIPE, SOCKET, TERMINAL, TERMINAL_MASTER};

	(void)arg;
	for (size_t k = 0; k < countof(kinds); k++) {
		int ends[2];
		size_t done = 0;

		open_ends(kinds[k], ends);
		struct stream stream = {ends[1], test_many(200000)};
		async_task *writer = async_create_task(write_stream, &stream);
		while (done < stream.total) {
			char a[1000], b[2000];
			const struct iovec parts[] = {{a, sizeof(a)}, {b, sizeof(b)}};
			ssize_t count = async_readv(ends[0], parts, 2);

			assert_true(count > 0);
			for (size_t i = 0; i < (size_t)count; i++, done++)
				assert_int_equal(i < sizeof(a) ? a[i] : b[i - sizeof(a)], byte_at(done));
		}
		async_cancel(writer, NULL);
		intptr_t ended = async_await(writer);
		assert_true(ended == 0 || ended == -ECANCELED);
		close_ends(ends);
	}
	return 0;
}

static void much_arrives_in_order(void **state)
{
	(void)state;
	run(pass_much);
}

static intptr_t use_file(void *arg)
{
	char path[] = "/tmp/test_vectored.XXXXXX", a[4] = "", b[8] = "";
	int fd = mkstemp(path);

	(void)arg;
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(async_writev(fd, (struct iovec[]){{(char[]){"abc"}, 3}, {(char[]){"defg"}, 4}}, 2), 7);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 7);
	assert_int_equal(lseek(fd, 1, SEEK_SET), 1);
	const struct iovec parts[] = {{a, 3}, {b, 7}};
	assert_int_equal(async_readv(fd, parts, 2), 6);
	assert_string_equal(a, "bcd");
	assert_string_equal(b, "efg");
	assert_int_equal(async_readv(fd, parts, 2), 0);
	assert_int_equal(async_close(fd), 0);
	return 0;
}

static void files_have_a_position(void **state)
{
	(void)state;
	run(use_file);
}

/* A reader that is cancelled in the tick in which bytes arrive loses none. */
static intptr_t cancel_readers(void *arg)
{
	(void)arg;
	for (int round = 0; round < 30; round++) {
		int ends[2];

		open_ends(round % 2 ? SOCKET : PIPE, ends);
		struct reading reading = {.fd = ends[0], .count = -ECANCELED};
		async_task *reader = async_create_task(read_parts, &reading);
		give_way(round % 5);
		assert_int_equal(write(ends[1], "hello", 5), 5);
		give_way(round % 3);
		async_cancel(reader, NULL);
		intptr_t ended = async_await(reader);

		assert_true(ended == reading.count || ended == -ECANCELED);
		if (reading.count == -ECANCELED)
			assert_int_equal(read_parts(&reading), 5);
		assert_int_equal(reading.count, 5);
		assert_string_equal(reading.b, "lo");
		close_ends(ends);
	}
	return 0;
}

static void cancelled_readers_lose_nothing(void **state)
{
	(void)state;
	run(cancel_readers);
}

static intptr_t use_wrongly(void *arg)
{
	static struct iovec many[IOV_MAX + 1];
	char byte;
	const struct iovec one = {&byte, 1};
	int ends[2];

	(void)arg;
	for (int kind = PIPE; kind <= SOCKET; kind++) {
		open_ends(kind, ends);
		assert_int_equal(async_readv(ends[0], many, IOV_MAX + 1), -EINVAL);
		assert_int_equal(async_writev(ends[1], many, IOV_MAX + 1), -EINVAL);
		assert_int_equal(async_readv(ends[0], many, -1), -EINVAL);
		assert_int_equal(async_readv(ends[0], NULL, 1), -EINVAL);
		assert_int_equal(async_readv(-1, &one, 1), -EBADF);
		/* What asks for nothing does not wait. */
		assert_int_equal(async_readv(ends[0], NULL, 0), 0);
		assert_int_equal(async_readv(ends[0], many, IOV_MAX), 0);
		assert_int_equal(async_read(ends[0], &byte, 0), 0);
		assert_int_equal(async_writev(ends[1], many, IOV_MAX), 0);
		/* No reader: an error and no signal. */
		assert_int_equal(async_close(ends[0]), 0);
		assert_int_equal(async_writev(ends[1], (struct iovec[]){{(char[]){"x"}, 1}}, 1), -EPIPE);
		assert_int_equal(async_close(ends[1]), 0);
	}
	return 0;
}

static void wrong_use_is_an_error(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_DFL);
	run(use_wrongly);
}

static intptr_t work(void *arg)
{
	int ends[2];
	intptr_t error = 0;

	(void)arg;
	for (int kind = PIPE; kind < KINDS; kind++) {
		open_ends(kind, ends);
		struct reading reading = {.fd = ends[0]};
		async_task *reader = async_create_task(read_parts, &reading);
		int slept = async_sleep(0);
		ssize_t written = async_writev(ends[1], (struct iovec[]){{(char[]){"ab"}, 2}, {(char[]){"cde"}, 3}}, 2);

		if (written < 0 || slept < 0)
			async_cancel(reader, NULL);
		intptr_t count = async_await(reader);
		error = error < 0 ? error : written < 0 ? written : count;
		for (int i = 0; i < 2; i++) {
			int closed = async_close(ends[i]);

			if (closed == -EPERM || closed == -EBADF || closed == -ENOMEM)
				close(ends[i]);
		}
	}
	return error < 0 ? error : 0;
}

static intptr_t work_once(void)
{
	return run_to_the_end(work);
}

static void every_failure_is_survived(void **state)
{
	static const int errors[] = {-ENOMEM, -EINTR, -EAGAIN, -EIO};

	(void)state;
	fail_every_call(work_once, errors, countof(errors));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(bytes_arrive),
		TEST(much_arrives_in_order),
		TEST(files_have_a_position),
		TEST(cancelled_readers_lose_nothing),
		TEST(wrong_use_is_an_error),
		TEST(every_failure_is_survived),
	};
	struct async_system_info info = {.size = sizeof(info)};

	/* What the kernel offers is found out once for the process: not while something fails. */
	if (async_get_system_info(&info) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
