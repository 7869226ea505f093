/* SPDX-License-Identifier: MIT */
/* Closing and aborting streams, at any moment. */
#include "stream_peer.h"

#include <stdlib.h>

#include "io/stream.h"

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

/* With the loop, or outside of it */

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

/* With bytes unsent */

static intptr_t close_it(void *stream)
{
	int error = async_stream_close(stream);

	note("%d", error);
	return error;
}

static intptr_t close_unsent(void *arg)
{
	size_t size = 1000000, had = 0;
	static char got[65536];
	char *data = pattern(size);
	struct peer peer;
	ssize_t count;

	(void)arg;
	for (int kind = 0; kind < PEER_KINDS; kind++) {
		if (kind == PEER_PIPE)
			peer_open_writing(&peer, NULL);
		else
			peer_open(&peer, kind, NULL);
		if (kind == PEER_TCP)
			had = peer_fill(async_stream_fd(peer.stream));
		size_t skip = kind == PEER_TCP ? had : 0;
		had = 0;
		assert_int_equal(async_stream_write(peer.stream, data, size), 0);
		async_task *drainer = async_create_task(drain_and_note, peer.stream);
		give_way(3);
		async_task *closer = async_create_task(close_it, peer.stream);
		assert_int_equal(async_await(drainer), -EBADF);
		assert_noted("-9");
		assert_false(async_done(closer));
		assert_int_equal(async_stream_write(peer.stream, "x", 1), -ESHUTDOWN);
		assert_int_equal(async_stream_write_eof(peer.stream), -ESHUTDOWN);
		assert_int_equal(async_stream_drain(peer.stream), -EBADF);
		assert_int_equal(async_stream_close(peer.stream), -EBUSY);
		while ((count = peer_receive(&peer, got, sizeof(got))) != 0) {
			if (count == -EAGAIN) {
				give_way(1);
				continue;
			}
			assert_true(count > 0);
			for (ssize_t i = 0; i < count; i++, had++)
				if (had >= skip)
					assert_int_equal(got[i], data[had - skip]);
		}
		assert_int_equal(had, skip + size);
		assert_int_equal(async_await(closer), 0);
		assert_noted("0");
		peer_close(&peer);
	}
	free(data);
	return 0;
}

static void closing_sends_the_rest(void **state)
{
	(void)state;
	stream_run(close_unsent);
}

enum way {
	CANCEL_CLOSE,
	ABORT_CLOSE,
	ABORT_DRAIN,
	BREAK_CLOSE,
	WAYS,
};

/* As long as the operation is with the reactor, so is the buffer. */
static void abort_now(async_stream *stream)
{
	const struct reactor *reactor = stream->streams->loop->reactor;

	assert_true(stream->writing);
	assert_int_equal(reactor_pending(reactor), 1);
	async_stream_abort(stream);
	if (reactor_pending(reactor) > 0)
		assert_non_null(stream->sending.data);
}

/* The kernel has a buffer of ours when it ends. */
static void end_in_flight(enum peer_kind kind, enum way way, int turns)
{
	size_t size = 5000000;
	static char got[65536];
	char *data = pattern(size);
	struct peer peer;
	ssize_t count;

	if (kind == PEER_PIPE)
		peer_open_writing(&peer, NULL);
	else
		peer_open(&peer, kind, NULL);
	assert_int_equal(async_stream_write(peer.stream, data, size), 0);
	free(data);
	write_text(peer.stream, "more");
	async_task *task = async_create_task(way == ABORT_DRAIN ? drain_and_note : close_it, peer.stream);
	give_way(turns);
	if (way == CANCEL_CLOSE)
		async_cancel(task, NULL);
	else if (way == BREAK_CLOSE)
		peer_close(&peer);
	else
		abort_now(peer.stream);
	intptr_t result = async_await(task);
	if (way == CANCEL_CLOSE)
		assert_int_equal(result, -ECANCELED);
	else if (way == BREAK_CLOSE)
		assert_true(result == -EPIPE || result == -ECONNRESET);
	else
		assert_int_equal(result, -EBADF);
	forget_notes();
	if (peer.fd < 0)
		return;
	do {
		count = peer_receive(&peer, got, sizeof(got));
		if (count == -EAGAIN)
			give_way(1);
	} while (count > 0 || count == -EAGAIN);
	assert_int_equal(count, kind == PEER_TCP ? -ECONNRESET : 0);
	peer_close(&peer);
}

static intptr_t in_flight(void *arg)
{
	(void)arg;
	for (int kind = 0; kind < PEER_KINDS; kind++)
		for (int way = 0; way < WAYS; way++)
			for (int turns = 2; turns < 5; turns++)
				end_in_flight(kind, way, turns);
	return 0;
}

static void aborting_while_the_kernel_has_a_buffer(void **state)
{
	(void)state;
	stream_run(in_flight);
}

/* Everything was sent, and the task that closes was woken, when somebody aborts or cancels. */
static void end_at_the_last_moment(bool cancel, int turns)
{
	char got[4096];
	struct peer peer;

	peer_open(&peer, PEER_UNIX, NULL);
	peer_fill(async_stream_fd(peer.stream));
	write_text(peer.stream, "x");
	async_task *closer = async_create_task(close_it, peer.stream);
	give_way(3);
	while (peer_receive(&peer, got, sizeof(got)) > 0)
		;
	give_way(turns);
	/* That is the last one. */
	while (turns == 0 && !async_done(closer) && peer.stream->writing)
		give_way(1);
	bool sent = async_done(closer) || !peer.stream->writing;
	if (cancel)
		async_cancel(closer, NULL);
	else if (!async_done(closer))
		async_stream_abort(peer.stream);
	intptr_t result = async_await(closer);
	int noted_result = atoi(noted());
	forget_notes();
	/* The call, and what the task makes of a cancellation that came too late for it. */
	if (cancel)
		assert_int_equal(noted_result, sent ? 0 : -ECANCELED);
	else
		assert_true(noted_result == 0 || noted_result == -EBADF);
	assert_true(result == noted_result || (cancel && result == -ECANCELED));
	peer_close(&peer);
}

static intptr_t at_the_last_moment(void *arg)
{
	(void)arg;
	for (int turns = 0; turns < 5; turns++) {
		end_at_the_last_moment(true, turns);
		end_at_the_last_moment(false, turns);
	}
	return 0;
}

static void closing_and_aborting_at_once(void **state)
{
	(void)state;
	stream_run(at_the_last_moment);
	for_each_seed(at_the_last_moment, 10);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(whoever_reads_is_told_of_the_close),
		TEST(closing_at_any_moment),
		TEST(a_loop_that_closes_takes_its_streams_along),
		TEST(aborting_outside_of_tasks),
		TEST(closing_sends_the_rest),
		TEST(aborting_while_the_kernel_has_a_buffer),
		TEST(closing_and_aborting_at_once),
	};

	return cmocka_run_group_tests_name("stream_close", tests, NULL, NULL);
}
