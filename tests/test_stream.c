/* SPDX-License-Identifier: MIT */
/* Reading through streams: every read, its limit, one reader at a time, resets, want of memory. */
#include "stream_peer.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "io/stream.h"

static void assert_read(async_stream *stream, size_t size, const char *expected)
{
	char buffer[256];

	assert_true(size <= sizeof(buffer));
	assert_int_equal(async_stream_read(stream, buffer, size), strlen(expected));
	assert_memory_equal(buffer, expected, strlen(expected));
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(every_read_on_every_kind),
		TEST(lines_come_byte_by_byte),
		TEST(exactly_so_many_however_small_the_limit),
		TEST(limits_are_those_of_asyncio),
		TEST(a_line_without_end_takes_no_more_than_the_limit),
		TEST(one_reader_at_a_time),
		TEST(a_reset_is_told_again_and_again),
		TEST(without_memory_reading_ends_or_loses_nothing),
		TEST(a_peer_that_says_no_more_may_listen),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
