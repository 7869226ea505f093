/* SPDX-License-Identifier: MIT */
/* Streams on descriptors of others, which stay as they are, and on files. */
#include "stream_peer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static intptr_t standard_input(void *arg)
{
	int in[2], out[2];
	async_stream *input, *output, *beside;
	struct async_stream_options options = ASYNC_STREAM_OPTIONS_INIT;

	(void)arg;
	options.keep_fd = true;
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	int in_flags = fcntl(in[0], F_GETFL), out_flags = fcntl(out[1], F_GETFL);
	assert_int_equal(async_stream_open(in[0], &options, &input), 0);
	assert_int_equal(async_stream_open(out[1], &options, &output), 0);
	assert_int_equal(async_stream_open(out[1], &options, &beside), 0);
	struct peer peer = {.stream = input}, sink = {.fd = out[0]};
	assert_int_equal(fcntl(out[0], F_SETFL, O_NONBLOCK), 0);
	async_task *reader = async_create_task(note_lines, &peer);
	give_way(3);
	assert_int_equal(fcntl(in[0], F_GETFL), in_flags);
	assert_int_equal(write(in[1], "line\n", 5), 5);
	assert_int_equal(async_stream_write(output, "ab", 2), 0);
	peer_expect(&sink, "ab");
	assert_int_equal(async_stream_write(beside, "cd", 2), 0);
	assert_int_equal(async_stream_write_eof(beside), 0);
	peer_expect(&sink, "cd");
	assert_int_equal(async_stream_fd(beside), out[1]);
	async_stream_abort(beside);
	assert_int_equal(fcntl(out[1], F_GETFL), out_flags);
	close(in[1]);
	assert_int_equal(async_await(reader), 0);
	assert_noted("line 0");
	assert_int_equal(async_stream_close(input), 0);
	assert_int_equal(async_stream_close(output), 0);
	/* They are still there, as they were. */
	assert_int_equal(fcntl(in[0], F_GETFL), in_flags);
	assert_int_equal(fcntl(out[1], F_GETFL), out_flags);
	close(in[0]);
	close(out[0]);
	close(out[1]);
	return 0;
}

static void standard_input_and_output_stay_as_they_are(void **state)
{
	(void)state;
	stream_run(standard_input);
}

static intptr_t files(void *arg)
{
	char path[] = "/tmp/test_stream.XXXXXX";
	int fd = mkstemp(path);
	async_stream *stream;

	(void)arg;
	assert_int_equal(async_stream_open(fd, NULL, &stream), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(async_stream_printf(stream, "line %d\n", i), 0);
	assert_int_equal(async_stream_write_eof(stream), 0);
	assert_int_equal(async_stream_close(stream), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(async_stream_open(fd, NULL, &stream), 0);
	assert_int_equal(async_stream_write(stream, "x", 1), -EBADF);
	for (int i = 0; i < 1000; i++) {
		char line[32];

		snprintf(line, sizeof(line), "line %d\n", i);
		assert_line(stream, line);
	}
	assert_line(stream, "");
	assert_int_equal(async_stream_close(stream), 0);
	assert_int_equal(unlink(path), 0);
	return 0;
}

static void files_are_read_and_written(void **state)
{
	(void)state;
	stream_run(files);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(standard_input_and_output_stay_as_they_are),
		TEST(files_are_read_and_written),
	};

	return cmocka_run_group_tests_name("stream_descriptors", tests, NULL, NULL);
}
