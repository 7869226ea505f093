/* SPDX-License-Identifier: MIT */
/* Reading through streams; opening, closing, aborting them. */
#include "stream_peer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "io/stream.h"

#define LIMITED(n) (&(struct async_stream_options){.size = sizeof(struct async_stream_options), .limit = (n)})

/* What a read gave, compared with a text. */
static void assert_line(async_stream *stream, const char *expected)
{
	char *line = NULL;
	ssize_t size = async_stream_readline(stream, &line);

	assert_int_equal(size, strlen(expected));
	if (size > 0)
		assert_memory_equal(line, expected, size);
}

static void assert_read(async_stream *stream, size_t size, const char *expected)
{
	char buffer[256];

	assert_true(size <= sizeof(buffer));
	assert_int_equal(async_stream_read(stream, buffer, size), strlen(expected));
	assert_memory_equal(buffer, expected, strlen(expected));
}

static bool holds_nothing(const async_stream *stream)
{
	return !stream->input.data && !stream->sending.data && !stream->pending.data;
}

static void read_one_kind(enum peer_kind kind)
{
	char buffer[8];
	struct peer peer;

	peer_open(&peer, kind, NULL);
	peer_say(&peer, "one\ntwo\nthree");
	assert_read(peer.stream, 2, "on");
	assert_line(peer.stream, "e\n");
	assert_int_equal(async_stream_buffered(peer.stream), strlen("two\nthree"));
	assert_line(peer.stream, "two\n");
	assert_int_equal(async_stream_readexactly(peer.stream, buffer, 3), 3);
	assert_memory_equal(buffer, "thr", 3);
	assert_int_equal(async_stream_read(peer.stream, buffer, 0), 0);
	assert_false(async_stream_at_eof(peer.stream));
	assert_read(peer.stream, 8, "ee");
	peer_say(&peer, "the end");
	peer_close(&peer);
	assert_line(peer.stream, "the end");
	assert_true(async_stream_at_eof(peer.stream));
	assert_line(peer.stream, "");
	assert_int_equal(async_stream_readexactly(peer.stream, buffer, 8), 0);
	assert_int_equal(async_stream_read(peer.stream, buffer, 8), 0);
	peer_end(&peer);
}

static intptr_t reads(void *arg)
{
	(void)arg;
	for (int kind = 0; kind < PEER_KINDS; kind++)
		read_one_kind(kind);
	return 0;
}

static void every_read_on_every_kind(void **state)
{
	(void)state;
	stream_run(reads);
}

/* A reader as a task: the lines that it gets are noted, separated by blanks. */
static intptr_t note_lines(void *arg)
{
	struct peer *peer = arg;
	char *line;
	ssize_t size;

	while ((size = async_stream_readline(peer->stream, &line)) > 0)
		note("%.*s", (int)size - 1, line);
	note("%d", (int)size);
	return size;
}

static intptr_t byte_by_byte(void *arg)
{
	static const char text[] = "a\nbcd\n\nefghijklmnopqrstuvwxyz\n";
	struct peer peer;

	(void)arg;
	for (int kind = 0; kind < PEER_KINDS; kind++) {
		peer_open(&peer, kind, NULL);
		async_task *reader = async_create_task(note_lines, &peer);
		for (size_t i = 0; i < strlen(text); i++) {
			peer_send(&peer, text + i, 1);
			give_way(3);
		}
		peer_close(&peer);
		assert_int_equal(async_await(reader), 0);
		assert_noted("a bcd  efghijklmnopqrstuvwxyz 0");
		peer_end(&peer);
	}
	return 0;
}

static void lines_come_byte_by_byte(void **state)
{
	(void)state;
	stream_run(byte_by_byte);
}

static intptr_t exact(void *arg)
{
	static char sent[50000], got[100000];
	struct peer peer;

	(void)arg;
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 7 + i / 256);
	peer_open(&peer, PEER_UNIX, LIMITED(16));
	peer_say(&peer, "x");
	assert_read(peer.stream, 1, "x");
	peer_send(&peer, sent, sizeof(sent));
	assert_int_equal(async_stream_readexactly(peer.stream, got, sizeof(sent)), sizeof(sent));
	assert_memory_equal(got, sent, sizeof(sent));
	/* The end comes before: what was left. */
	peer_send(&peer, sent, 5000);
	peer_close(&peer);
	assert_int_equal(async_stream_readexactly(peer.stream, got, sizeof(got)), 5000);
	assert_memory_equal(got, sent, 5000);
	assert_true(async_stream_at_eof(peer.stream));
	peer_end(&peer);
	return 0;
}

static void exactly_so_many_however_small_the_limit(void **state)
{
	(void)state;
	stream_run(exact);
}

/* What CPython's StreamReader says to the same. */
static intptr_t limits(void *arg)
{
	static const struct {
		size_t limit;
		const char *data, *separator;
		ssize_t result;
	} cases[] = {
		{4, "abcd\n", "\n", 5},       {4, "abcde\n", "\n", -EMSGSIZE}, {4, "abcd", "\n", 4},
		{4, "abcde", "\n", -EMSGSIZE}, {4, "abcd\r\n", "\r\n", 6},      {4, "abcde\r", "\r\n", -EMSGSIZE},
		{4, "abcd\r", "\r\n", 5},      {4, "abcde\r\n", "\r\n", -EMSGSIZE}, {1, "\n\n", "\n", 1},
		{1, "a\n", "\n", 2},           {1, "ab\n", "\n", -EMSGSIZE},    {4, "", "\n", 0},
		{1 << 30, "abc", "abc", 3},    {4, "ab", "abc", 2},
	};

	(void)arg;
	for (size_t i = 0; i < countof(cases); i++) {
		struct peer peer;
		char *data, all[16];
		size_t size = strlen(cases[i].data);

		peer_open(&peer, PEER_UNIX, LIMITED(cases[i].limit));
		peer_say(&peer, cases[i].data);
		peer_close(&peer);
		const char *separator = cases[i].separator;
		ssize_t result = async_stream_readuntil(peer.stream, separator, strlen(separator), &data);
		if (result != cases[i].result)
			fail_msg("limit %zu, \"%s\": %zd", cases[i].limit, cases[i].data, result);
		if (result == -EMSGSIZE) {
			/* They stay. */
			assert_int_equal(async_stream_readexactly(peer.stream, all, sizeof(all)), size);
			assert_memory_equal(all, cases[i].data, size);
		}
		peer_end(&peer);
	}
	return 0;
}

static void limits_are_those_of_asyncio(void **state)
{
	(void)state;
	stream_run(limits);
}

static intptr_t endless(void *arg)
{
	static char block[4096];
	struct peer peer;
	char *line;
	size_t sent = 0, got = 0;

	(void)arg;
	memset(block, 'x', sizeof(block));
	peer_open(&peer, PEER_UNIX, LIMITED(10000));
	for (int i = 0; i < 100; i++) {
		ssize_t count;

		while ((count = write(peer.fd, block, sizeof(block))) > 0)
			sent += (size_t)count;
		assert_int_equal(async_stream_readline(peer.stream, &line), -EMSGSIZE);
		assert_true(peer.stream->input.room <= 2 * 10000 + 2048);
		assert_true((count = async_stream_read(peer.stream, block, sizeof(block))) > 0);
		got += (size_t)count;
	}
	peer_close(&peer);
	while (!async_stream_at_eof(peer.stream)) {
		ssize_t count = async_stream_read(peer.stream, block, sizeof(block));

		assert_true(count >= 0);
		got += (size_t)count;
	}
	assert_int_equal(got, sent);
	assert_true(holds_nothing(peer.stream));
	peer_end(&peer);
	return 0;
}

static void a_line_without_end_takes_no_more_than_the_limit(void **state)
{
	(void)state;
	stream_run(endless);
}

/* Random chunks, random reads, and a model that has all in one piece */

struct model {
	struct peer peer;
	unsigned seed;
	size_t limit, size, sent, read;
	bool cancels;
	char text[6000];
};

static unsigned dice(struct model *model, unsigned sides)
{
	model->seed = model->seed * 1103515245 + 12345;
	return (model->seed >> 16) % sides;
}

static ssize_t model_until(const struct model *model, const char *separator, size_t size)
{
	const char *from = model->text + model->read;
	size_t left = model->size - model->read;
	const char *found = memmem(from, left, separator, size);

	if (found)
		return (size_t)(found - from) > model->limit ? -EMSGSIZE : found - from + (ssize_t)size;
	return left >= size && left - size + 1 > model->limit ? -EMSGSIZE : (ssize_t)left;
}

static void expect(struct model *model, ssize_t result, ssize_t expected, const char *data)
{
	if (result == -ECANCELED && model->cancels)
		return;
	if (result != expected)
		fail_msg("at %zu: %zd, not %zd", model->read, result, expected);
	if (result <= 0)
		return;
	assert_memory_equal(data, model->text + model->read, result);
	model->read += (size_t)result;
}

static void read_something(struct model *model)
{
	char buffer[3000], separator[4], *data = NULL;
	size_t left = model->size - model->read, size = 1 + dice(model, 4);
	ssize_t result;

	switch (dice(model, 5)) {
	case 0:
		result = async_stream_read(model->peer.stream, buffer, 1 + dice(model, 300));
		expect(model, result, result > 0 || left == 0 ? result : 1, buffer);
		break;
	case 1:
		size = dice(model, dice(model, 4) ? 40 : sizeof(buffer));
		result = async_stream_readexactly(model->peer.stream, buffer, size);
		expect(model, result, (ssize_t)(size < left ? size : left), buffer);
		break;
	default:
		for (size_t i = 0; i < size; i++)
			separator[i] = (char)('a' + dice(model, 2));
		result = async_stream_readuntil(model->peer.stream, separator, size, &data);
		expect(model, result, model_until(model, separator, size), data);
		/* It may be changed there. */
		if (result > 0)
			memset(data, '!', (size_t)result);
	}
}

static intptr_t read_all(void *arg)
{
	struct model *model = arg;

	while (model->read < model->size)
		read_something(model);
	return 0;
}

static void send_some(struct model *model)
{
	size_t size = 1 + dice(model, dice(model, 8) ? 12 : 2500);

	if (size > model->size - model->sent)
		size = model->size - model->sent;
	peer_send(&model->peer, model->text + model->sent, size);
	model->sent += size;
}

static void compare_with_model(unsigned seed, bool cancels)
{
	static struct model model;

	model = (struct model){.seed = seed, .cancels = cancels};
	model.size = dice(&model, sizeof(model.text));
	model.limit = 1 + dice(&model, dice(&model, 2) ? 30 : 2000);
	/* Mostly one letter, so that separators begin often and end seldom. */
	for (size_t i = 0; i < model.size; i++)
		model.text[i] = dice(&model, 6) ? 'a' : 'b';
	peer_open(&model.peer, dice(&model, PEER_KINDS), LIMITED(model.limit));
	async_task *reader = async_create_task(read_all, &model);
	while (model.sent < model.size) {
		send_some(&model);
		if (cancels && dice(&model, 2))
			async_cancel(reader, NULL);
		give_way((int)dice(&model, 3));
		if (cancels && dice(&model, 4) == 0)
			async_cancel(reader, NULL);
	}
	peer_close(&model.peer);
	async_ref(reader);
	intptr_t result = async_await(reader);
	assert_true(result == 0 || (cancels && result == -ECANCELED));
	/* The last cancellation came when nothing was waited for any more. */
	assert_int_equal(read_all(&model), 0);
	async_release(reader);
	assert_line(model.peer.stream, "");
	peer_end(&model.peer);
}

static intptr_t chunks(void *arg)
{
	unsigned count = (unsigned)test_many(500);

	(void)arg;
	for (unsigned seed = 1; seed <= count; seed++)
		compare_with_model(seed, false);
	return 0;
}

static void whatever_the_chunks_are(void **state)
{
	(void)state;
	stream_run(chunks);
}

static intptr_t cancelled_chunks(void *arg)
{
	unsigned count = (unsigned)test_many(500);

	(void)arg;
	for (unsigned seed = 1; seed <= count; seed++)
		compare_with_model(seed, true);
	return 0;
}

static void cancellation_loses_no_byte(void **state)
{
	(void)state;
	stream_run(cancelled_chunks);
}

/* Two at once, errors */

static intptr_t two(void *arg)
{
	struct peer peer;
	char buffer[4], *line;

	(void)arg;
	peer_open(&peer, PEER_TCP, NULL);
	async_task *first = async_create_task(note_lines, &peer);
	give_way(2);
	assert_true(holds_nothing(peer.stream));
	assert_int_equal(async_stream_read(peer.stream, buffer, 4), -EBUSY);
	assert_int_equal(async_stream_readexactly(peer.stream, buffer, 4), -EBUSY);
	assert_int_equal(async_stream_readline(peer.stream, &line), -EBUSY);
	/* Writing goes on beside. */
	assert_int_equal(async_stream_write(peer.stream, "hi", 2), 0);
	peer_expect(&peer, "hi");
	peer_say(&peer, "one\n");
	while (!*noted())
		give_way(1);
	/* It waits again. */
	assert_true(peer.stream->reading && holds_nothing(peer.stream));
	async_cancel(first, NULL);
	assert_int_equal(async_await(first), -ECANCELED);
	assert_noted("one -125");
	peer_say(&peer, "two\n");
	assert_line(peer.stream, "two\n");
	peer_end(&peer);
	return 0;
}

static void one_reader_at_a_time(void **state)
{
	(void)state;
	stream_run(two);
}

static intptr_t resets(void *arg)
{
	struct peer peer;
	char buffer[16], *line;

	(void)arg;
	peer_open(&peer, PEER_TCP, NULL);
	peer_say(&peer, "abc\nde");
	assert_line(peer.stream, "abc\n");
	peer_reset(&peer);
	/* What came before is not lost, and the reason stays. */
	assert_int_equal(async_stream_readline(peer.stream, &line), -ECONNRESET);
	assert_int_equal(async_stream_readexactly(peer.stream, buffer, 3), -ECONNRESET);
	assert_read(peer.stream, sizeof(buffer), "de");
	assert_int_equal(async_stream_read(peer.stream, buffer, 1), -ECONNRESET);
	assert_int_equal(async_stream_readline(peer.stream, &line), -ECONNRESET);
	assert_false(async_stream_at_eof(peer.stream));
	assert_int_equal(async_stream_close(peer.stream), 0);
	return 0;
}

static void a_reset_is_told_again_and_again(void **state)
{
	(void)state;
	stream_run(resets);
}

static intptr_t half_closed(void *arg)
{
	struct peer peer;

	(void)arg;
	for (int kind = 0; kind < PEER_PIPE; kind++) {
		peer_open(&peer, kind, NULL);
		assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
		assert_line(peer.stream, "");
		assert_int_equal(async_stream_printf(peer.stream, "still %s", "here"), 0);
		peer_expect(&peer, "still here");
		peer_end(&peer);
	}
	return 0;
}

static void a_peer_that_says_no_more_may_listen(void **state)
{
	(void)state;
	stream_run(half_closed);
}

/* What came and could not be kept is a hole, after which nothing can be read. */
static intptr_t holes(void *arg)
{
	struct peer peer;
	char buffer[4], *line;

	(void)arg;
	peer_open(&peer, PEER_UNIX, NULL);
	/* The descriptor becomes known to the reactor. */
	peer_say(&peer, "x");
	assert_read(peer.stream, 1, "x");
	peer_say(&peer, "abc\n");
	fault_arm("malloc", 1, -ENOMEM);
	assert_int_equal(async_stream_readline(peer.stream, &line), -ENOMEM);
	assert_int_equal(fault_disarm(), 1);
	peer_say(&peer, "def\n");
	assert_int_equal(async_stream_readline(peer.stream, &line), -ENOMEM);
	assert_int_equal(async_stream_read(peer.stream, buffer, 4), -ENOMEM);
	assert_int_equal(async_stream_readexactly(peer.stream, buffer, 4), -ENOMEM);
	peer_end(&peer);
	/* Without a hole it can go on. */
	peer_open(&peer, PEER_UNIX, NULL);
	peer_say(&peer, "abc\nde");
	assert_line(peer.stream, "abc\n");
	fault_arm("malloc", 1, -ENOMEM);
	assert_int_equal(async_stream_readline(peer.stream, &line), -ENOMEM);
	assert_int_equal(fault_disarm(), 1);
	peer_say(&peer, "f\n");
	assert_line(peer.stream, "def\n");
	peer_end(&peer);
	return 0;
}

static void without_memory_reading_ends_or_loses_nothing(void **state)
{
	(void)state;
	stream_run(holes);
}

/* Descriptors of others */

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

/* Closing and aborting */

static intptr_t closed(void *arg)
{
	struct peer peer;
	char byte;

	(void)arg;
	for (int kind = 0; kind < PEER_KINDS; kind++) {
		for (int abort = 0; abort < 2; abort++) {
			peer_open(&peer, kind, NULL);
			async_task *reader = async_create_task(note_lines, &peer);
			give_way(3);
			if (abort && kind != PEER_PIPE)
				assert_int_equal(async_stream_write(peer.stream, "lost", 4), 0);
			if (abort)
				async_stream_abort(peer.stream);
			else
				assert_int_equal(async_stream_close(peer.stream), 0);
			assert_int_equal(async_await(reader), -EBADF);
			assert_noted("-9");
			ssize_t end = abort && kind == PEER_TCP ? -ECONNRESET : 0;
			if (kind != PEER_PIPE)
				assert_int_equal(peer_receive(&peer, &byte, 1), end);
			peer_close(&peer);
		}
	}
	async_stream_abort(NULL);
	return 0;
}

static void whoever_reads_is_told_of_the_close(void **state)
{
	(void)state;
	stream_run(closed);
}

/* A reader whose data has come, but who did not run yet. */
static intptr_t closed_late(void *arg)
{
	struct peer peer;

	(void)arg;
	for (int turns = 0; turns < 12; turns++) {
		peer_open(&peer, PEER_UNIX, NULL);
		async_task *reader = async_create_task(note_lines, &peer);
		give_way(3);
		peer_say(&peer, "partial");
		give_way(turns / 2);
		async_stream_abort(peer.stream);
		if (turns % 2)
			async_cancel(reader, NULL);
		intptr_t result = async_await(reader);
		assert_true(result == -EBADF || (turns % 2 && result == -ECANCELED));
		forget_notes();
		peer_close(&peer);
	}
	return 0;
}

static void closing_at_any_moment(void **state)
{
	(void)state;
	stream_run(closed_late);
	for_each_seed(closed_late, 20);
}

static void abort_stream(void *stream)
{
	async_stream_abort(stream);
}

static intptr_t never(void *arg)
{
	(void)arg;
	return 0;
}

static intptr_t wait_in_drain(void *stream)
{
	return async_stream_drain(stream);
}

static intptr_t wait_in_close(void *stream)
{
	return async_stream_close(stream);
}

struct left {
	struct peer reading, partly, sending, closing, dirty, unused;
};

/* Streams in every state. */
static intptr_t leave(void *arg)
{
	struct left *left = arg;
	struct async_task_options options = {.size = sizeof(options), .destroy = abort_stream};
	static char big[1 << 20];
	char *line;

	peer_open(&left->reading, PEER_TCP, NULL);
	async_release(async_create_task(note_lines, &left->reading));
	peer_open(&left->partly, PEER_UNIX, NULL);
	peer_say(&left->partly, "line\nhalf");
	async_release(async_create_task(note_lines, &left->partly));
	peer_open(&left->sending, PEER_UNIX, NULL);
	assert_int_equal(async_stream_write(left->sending.stream, big, sizeof(big)), 0);
	async_release(async_create_task(wait_in_drain, left->sending.stream));
	async_release(async_create_task(wait_in_drain, left->sending.stream));
	peer_open(&left->closing, PEER_TCP, NULL);
	peer_fill(async_stream_fd(left->closing.stream));
	assert_int_equal(async_stream_write(left->closing.stream, big, sizeof(big)), 0);
	async_release(async_create_task(wait_in_close, left->closing.stream));
	give_way(6);
	peer_open(&left->dirty, PEER_UNIX, NULL);
	assert_int_equal(async_stream_write(left->dirty.stream, "lost", 4), 0);
	peer_open(&left->unused, PEER_PIPE, NULL);
	peer_say(&left->unused, "1\n2\n");
	assert_true(async_stream_readline(left->unused.stream, &line) == 2);
	async_release(async_loop_create_task(NULL, never, left->unused.stream, &options));
	return 0;
}

static void a_loop_that_closes_takes_its_streams_along(void **state)
{
	size_t before = open_descriptors();
	async_loop *loop = loop_virtual();
	struct left left;

	(void)state;
	assert_int_equal(async_loop_run_until_complete(loop, async_loop_create_task(loop, leave, &left, NULL)), 0);
	loop_end(loop);
	forget_notes();
	struct peer *peers = (struct peer *)&left;
	for (size_t i = 0; i < sizeof(left) / sizeof(*peers); i++)
		peer_close(&peers[i]);
	assert_int_equal(open_descriptors(), before);
}

/* Aborted between two runs, with operations under way. */
static void aborting_outside_of_tasks(void **state)
{
	size_t before = open_descriptors();
	async_loop *loop = loop_virtual();
	struct left left;

	(void)state;
	assert_int_equal(async_loop_run_until_complete(loop, async_loop_create_task(loop, leave, &left, NULL)), 0);
	async_stream_abort(left.reading.stream);
	async_stream_abort(left.partly.stream);
	async_stream_abort(left.sending.stream);
	async_stream_abort(left.closing.stream);
	async_stream_abort(left.dirty.stream);
	loop_end(loop);
	forget_notes();
	struct peer *peers = (struct peer *)&left;
	for (size_t i = 0; i < sizeof(left) / sizeof(*peers); i++)
		peer_close(&peers[i]);
	assert_int_equal(open_descriptors(), before);
}

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
		TEST(every_read_on_every_kind),
		TEST(lines_come_byte_by_byte),
		TEST(exactly_so_many_however_small_the_limit),
		TEST(limits_are_those_of_asyncio),
		TEST(a_line_without_end_takes_no_more_than_the_limit),
		TEST(whatever_the_chunks_are),
		TEST(cancellation_loses_no_byte),
		TEST(one_reader_at_a_time),
		TEST(a_reset_is_told_again_and_again),
		TEST(without_memory_reading_ends_or_loses_nothing),
		TEST(a_peer_that_says_no_more_may_listen),
		TEST(standard_input_and_output_stay_as_they_are),
		TEST(files_are_read_and_written),
		TEST(whoever_reads_is_told_of_the_close),
		TEST(closing_at_any_moment),
		TEST(a_loop_that_closes_takes_its_streams_along),
		TEST(aborting_outside_of_tasks),
		TEST(wrong_use_is_an_error),
		TEST(every_failure_is_survived),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
