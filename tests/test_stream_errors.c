/* SPDX-License-Identifier: MIT */
/* Streams: wrong use, and every call failing once. */
#include "stream_peer.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Wrong use */

static async_stream *foreign;

static intptr_t from_another_loop(void *arg)
{
	char byte, *line;

	(void)arg;
	assert_int_equal(async_stream_read(foreign, &byte, 1), -EPERM);
	assert_int_equal(async_stream_readexactly(foreign, &byte, 1), -EPERM);
	assert_int_equal(async_stream_readline(foreign, &line), -EPERM);
	assert_int_equal(async_stream_drain(foreign), -EPERM);
	assert_int_equal(async_stream_write(foreign, "x", 1), -EPERM);
	assert_int_equal(async_stream_printf(foreign, "x"), -EPERM);
	assert_int_equal(async_stream_writev(foreign, NULL, 0), -EPERM);
	assert_int_equal(async_stream_write_eof(foreign), -EPERM);
	assert_int_equal(async_stream_close(foreign), -EPERM);
	return 0;
}

static void in_another_thread(void *arg)
{
	struct async_options options = test_options();
	async_loop *loop;

	(void)arg;
	assert_int_equal(async_loop_new(&options, &loop), 0);
	assert_int_equal(
		async_loop_run_until_complete(loop, async_loop_create_task(loop, from_another_loop, NULL, NULL)), 0);
	async_loop_close(loop);
	async_loop_free(loop);
}

static void refused(int fd, struct async_stream_options options, int error)
{
	async_stream *stream = (void *)1;

	options.size = options.size ? options.size : sizeof(options);
	assert_int_equal(async_stream_open(fd, &options, &stream), error);
	assert_ptr_equal(stream, (void *)1);
}

static intptr_t wrong(void *arg)
{
	struct peer reading, writing;
	struct iovec bad = {.iov_base = NULL, .iov_len = 1}, huge = {.iov_base = &bad, .iov_len = SIZE_MAX};
	char byte, *line;

	(void)arg;
	refused(0, (struct async_stream_options){.size = 1}, -EINVAL);
	refused(0, (struct async_stream_options){.limit = ((size_t)1 << 30) + 1}, -EINVAL);
	refused(0, (struct async_stream_options){.high_water = 10, .low_water = 11}, -EINVAL);
	refused(-1, (struct async_stream_options){0}, -EBADF);
	refused(12345, (struct async_stream_options){0}, -EBADF);
	assert_int_equal(async_stream_open(0, NULL, NULL), -EINVAL);
	peer_open(&reading, PEER_PIPE, NULL);
	peer_open_writing(&writing, NULL);
	assert_int_equal(async_stream_write(reading.stream, "x", 1), -EBADF);
	assert_int_equal(async_stream_write_eof(reading.stream), -EBADF);
	assert_int_equal(async_stream_drain(reading.stream), 0);
	assert_int_equal(async_stream_read(writing.stream, &byte, 1), -EBADF);
	assert_int_equal(async_stream_readline(writing.stream, &line), -EBADF);
	assert_int_equal(async_stream_read(reading.stream, NULL, 1), -EINVAL);
	assert_int_equal(async_stream_readexactly(reading.stream, NULL, 1), -EINVAL);
	assert_int_equal(async_stream_readexactly(reading.stream, &byte, SIZE_MAX), -EINVAL);
	assert_int_equal(async_stream_readuntil(reading.stream, "", 0, &line), -EINVAL);
	assert_int_equal(async_stream_readuntil(reading.stream, NULL, 1, &line), -EINVAL);
	assert_int_equal(async_stream_readline(reading.stream, NULL), -EINVAL);
	assert_int_equal(async_stream_write(writing.stream, NULL, 1), -EINVAL);
	assert_int_equal(async_stream_write(writing.stream, NULL, 0), 0);
	assert_int_equal(async_stream_writev(writing.stream, &bad, 1), -EINVAL);
	assert_int_equal(async_stream_writev(writing.stream, &huge, 1), -EINVAL);
	assert_int_equal(async_stream_writev(writing.stream, NULL, 1), -EINVAL);
	assert_int_equal(async_stream_writev(writing.stream, &bad, -1), -EINVAL);
	assert_int_equal(async_stream_writev(writing.stream, NULL, 0), 0);
	foreign = writing.stream;
	in_thread(in_another_thread, NULL);
	peer_end(&reading);
	peer_end(&writing);
	return 0;
}

static void wrong_use_is_an_error(void **state)
{
	char byte, *line;
	async_stream *stream;

	(void)state;
	assert_int_equal(async_stream_open(0, NULL, &stream), -EPERM);
	assert_int_equal(async_stream_read(NULL, &byte, 1), -EINVAL);
	assert_int_equal(async_stream_readexactly(NULL, &byte, 1), -EINVAL);
	assert_int_equal(async_stream_readline(NULL, &line), -EINVAL);
	assert_int_equal(async_stream_write(NULL, "x", 1), -EINVAL);
	assert_int_equal(async_stream_writev(NULL, NULL, 0), -EINVAL);
	assert_int_equal(async_stream_printf(NULL, "x"), -EINVAL);
	assert_int_equal(async_stream_drain(NULL), -EINVAL);
	assert_int_equal(async_stream_write_eof(NULL), -EINVAL);
	assert_int_equal(async_stream_close(NULL), -EINVAL);
	assert_int_equal(async_stream_fd(NULL), -EINVAL);
	assert_int_equal(async_stream_buffered(NULL), 0);
	assert_int_equal(async_stream_unsent(NULL), 0);
	assert_false(async_stream_at_eof(NULL));
	stream_run(wrong);
}

/* Every failure */

static intptr_t answer(void *arg)
{
	async_stream *stream = arg;
	char word[3000], *line;
	ssize_t size = async_stream_readline(stream, &line);

	if (size > 0)
		size = async_stream_printf(stream, "%.*s", (int)size, line);
	if (size >= 0)
		size = async_stream_drain(stream);
	if (size >= 0)
		size = async_stream_readexactly(stream, word, sizeof(word));
	if (size > 0)
		size = async_stream_write(stream, word, (size_t)size);
	int closed_with = async_stream_close(stream);

	return size < 0 ? size : closed_with;
}

static intptr_t ask(async_stream *stream)
{
	static const char word[3000] = "word";
	char answered[5 + 3000];
	int error = async_stream_write(stream, "line", 4);

	if (!error)
		error = async_stream_write(stream, "\n", 1);
	if (!error)
		error = async_stream_write(stream, word, sizeof(word));
	if (!error)
		error = async_stream_write_eof(stream);
	if (error)
		return error;
	ssize_t size = async_stream_readexactly(stream, answered, sizeof(answered));
	if (size == (ssize_t)sizeof(answered))
		return memcmp(answered, "line\nword", 9) == 0 ? 0 : -EBADMSG;
	return size < 0 ? size : -EPIPE;
}

static intptr_t converse(void *arg)
{
	async_stream *streams[2];
	int fds[2];

	(void)arg;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	int error = async_stream_open(fds[0], NULL, &streams[0]);
	if (error) {
		close(fds[0]);
		close(fds[1]);
		return error;
	}
	error = async_stream_open(fds[1], NULL, &streams[1]);
	if (error) {
		close(fds[1]);
		async_stream_abort(streams[0]);
		return error;
	}
	async_task *task = async_create_task(answer, streams[0]);
	if (async_done(task))
		async_stream_abort(streams[0]);
	intptr_t result = ask(streams[1]);
	int closed_with = async_stream_close(streams[1]);
	intptr_t answered = async_await(task);
	return result ? result : closed_with ? closed_with : answered;
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

	return cmocka_run_group_tests_name("stream_errors", tests, NULL, NULL);
}
