/* SPDX-License-Identifier: MIT */
/* Writing through streams: what goes together, who waits for whom, how it ends. */
#include "stream_peer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "io/stream.h"

#define WATER(high, low) \
	(&(struct async_stream_options){ \
		.size = sizeof(struct async_stream_options), .high_water = (high), .low_water = (low)})

static bool holds_nothing(const async_stream *stream)
{
	return !stream->input.data && !stream->sending.data && !stream->pending.data;
}

static void write_text(async_stream *stream, const char *text)
{
	assert_int_equal(async_stream_write(stream, text, strlen(text)), 0);
}

/* Bytes that tell where they belong. */
static char *pattern(size_t size)
{
	char *data = malloc(size);

	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i ^ (i >> 8) ^ (i >> 16));
	return data;
}

/* A socket on which what is sent together stays together. */
static void open_records(struct peer *peer)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(async_stream_open(fds[0], NULL, &peer->stream), 0);
	peer->fd = fds[1];
}

static void expect_record(struct peer *peer, const char *text)
{
	char got[256];
	ssize_t count;

	while ((count = peer_receive(peer, got, sizeof(got))) == -EAGAIN)
		give_way(1);
	assert_int_equal(count, strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static intptr_t write_part(void *arg)
{
	return async_stream_write(arg, "!", 1);
}

static intptr_t records(void *arg)
{
	char data[] = "cde";
	struct iovec parts[] = {{.iov_base = data, .iov_len = 1}, {.iov_len = 0}, {.iov_base = data + 1, .iov_len = 2}};
	struct peer peer;
	char byte;

	(void)arg;
	open_records(&peer);
	write_text(peer.stream, "a");
	assert_int_equal(async_stream_printf(peer.stream, "%c%s", 'b', ""), 0);
	assert_int_equal(async_stream_writev(peer.stream, parts, 3), 0);
	assert_int_equal(async_stream_unsent(peer.stream), 5);
	expect_record(&peer, "abcde");
	assert_int_equal(async_stream_unsent(peer.stream), 0);
	/* So do those of several tasks, in one turn. */
	for (int i = 0; i < 3; i++)
		async_release(async_create_task(write_part, peer.stream));
	expect_record(&peer, "!!!");
	/* And what is written before its writer waits for more. */
	write_text(peer.stream, "an");
	write_text(peer.stream, "swer");
	assert_int_equal(async_cancel(async_current_task(), NULL), 1);
	assert_int_equal(async_stream_read(peer.stream, &byte, 1), -ECANCELED);
	assert_true(list_empty(&peer.stream->dirty));
	expect_record(&peer, "answer");
	assert_true(holds_nothing(peer.stream));
	write_text(peer.stream, "the ");
	write_text(peer.stream, "end");
	assert_int_equal(async_stream_close(peer.stream), 0);
	expect_record(&peer, "the end");
	peer_close(&peer);
	return 0;
}

static void writes_of_a_turn_go_together(void **state)
{
	(void)state;
	stream_run(records);
}

struct transfer {
	struct peer peer;
	char *data;
	size_t size, written;
};

static intptr_t write_all(void *arg)
{
	struct transfer *transfer = arg;
	size_t part = 1;

	while (transfer->written < transfer->size) {
		if (part > transfer->size - transfer->written)
			part = transfer->size - transfer->written;
		int error = async_stream_write(transfer->peer.stream, transfer->data + transfer->written, part);
		if (!error)
			error = async_stream_drain(transfer->peer.stream);
		if (error)
			return error;
		transfer->written += part;
		part = part * 5 % 300007 + 1;
	}
	return async_stream_write_eof(transfer->peer.stream);
}

static void move_much(struct transfer *transfer)
{
	char *got = malloc(transfer->size + 1);
	size_t had = 0;
	ssize_t count = 1;

	transfer->written = 0;
	async_task *writer = async_create_task(write_all, transfer);
	while (count != 0) {
		count = peer_receive(&transfer->peer, got + had, transfer->size + 1 - had);
		if (count > 0)
			had += (size_t)count;
		else if (count == -EAGAIN)
			give_way(1);
		else
			assert_int_equal(count, 0);
	}
	assert_int_equal(async_await(writer), 0);
	assert_int_equal(had, transfer->size);
	assert_memory_equal(got, transfer->data, had);
	assert_true(holds_nothing(transfer->peer.stream));
	free(got);
}

static intptr_t much(void *arg)
{
	struct transfer transfer = {.size = test_many(5000000)};

	(void)arg;
	transfer.data = pattern(transfer.size);
	for (int kind = 0; kind < PEER_KINDS; kind++) {
		if (kind == PEER_PIPE)
			peer_open_writing(&transfer.peer, WATER(100000, 1));
		else
			peer_open(&transfer.peer, kind, NULL);
		move_much(&transfer);
		peer_end(&transfer.peer);
	}
	free(transfer.data);
	return 0;
}

static void much_is_written_in_order(void **state)
{
	(void)state;
	stream_run(much);
}

static intptr_t large(void *arg)
{
	size_t size = 40000;
	char *data = pattern(3 * size), *got = malloc(3 * size);
	struct peer peer;
	size_t had = 0;

	(void)arg;
	peer_open(&peer, PEER_UNIX, NULL);
	assert_int_equal(async_stream_write(peer.stream, data, size), 0);
	assert_int_equal(async_stream_unsent(peer.stream), 0);
	assert_true(holds_nothing(peer.stream));
	/* Who goes on in the same slice shall come to wait some day. */
	assert_int_equal(async_stream_write(peer.stream, data + size, size), 0);
	assert_int_equal(async_stream_unsent(peer.stream), size);
	assert_int_equal(async_stream_write(peer.stream, data + 2 * size, size), 0);
	uint64_t before = peer.stream->streams->loop->switches;
	assert_int_equal(async_stream_drain(peer.stream), 0);
	assert_true(peer.stream->streams->loop->switches > before);
	while (had < 3 * size) {
		ssize_t count = peer_receive(&peer, got + had, 3 * size - had);

		assert_true(count > 0 || count == -EAGAIN);
		had += count > 0 ? (size_t)count : 0;
		give_way(1);
	}
	assert_memory_equal(got, data, had);
	free(got);
	free(data);
	peer_end(&peer);
	return 0;
}

static void what_is_large_need_not_wait(void **state)
{
	(void)state;
	stream_run(large);
}

/* Back-pressure */

static intptr_t drain(void *arg)
{
	struct peer *peer = arg;
	int error = async_stream_drain(peer->stream);

	note("%d:%zu", error, async_stream_unsent(peer->stream));
	return error;
}

static intptr_t drain_and_note(void *stream)
{
	int error = async_stream_drain(stream);

	note("%d", error);
	return error;
}

/* Nothing fits into the kernel, so every byte is unsent. */
static intptr_t high_water(void *arg)
{
	struct peer peer;
	char got[4096];

	(void)arg;
	peer_open(&peer, PEER_UNIX, WATER(100, 40));
	peer_fill(async_stream_fd(peer.stream));
	for (int i = 0; i < 100; i++)
		write_text(peer.stream, "x");
	uint64_t before = peer.stream->streams->loop->switches;
	assert_int_equal(async_stream_drain(peer.stream), 0);
	assert_int_equal(peer.stream->streams->loop->switches, before);
	write_text(peer.stream, "y");
	async_task *drainers[3];
	for (int i = 0; i < 3; i++)
		drainers[i] = async_create_task(drain, &peer);
	give_way(10);
	assert_string_equal(noted(), "");
	async_cancel(drainers[1], NULL);
	assert_int_equal(async_await(drainers[1]), -ECANCELED);
	assert_noted("-125:101");
	while (!*noted())
		if (peer_receive(&peer, got, sizeof(got)) < 0)
			give_way(1);
	assert_int_equal(async_await(drainers[0]), 0);
	assert_int_equal(async_await(drainers[2]), 0);
	assert_noted("0:0 0:0");
	peer_end(&peer);
	return 0;
}

static void a_drain_waits_above_high_water(void **state)
{
	(void)state;
	stream_run(high_water);
}

/* A pipe takes what the peer has read, piece by piece. */
static intptr_t low_water(void *arg)
{
	size_t page = 4096, size = 80 * page, low = 20 * page, steps = 0;
	char *data = pattern(size), got[4096];
	struct peer peer;

	(void)arg;
	peer_open_writing(&peer, WATER(40 * page, low));
	assert_int_equal(async_stream_write(peer.stream, data, size), 0);
	async_task *drainer = async_create_task(drain, &peer);
	give_way(1);
	while (async_stream_unsent(peer.stream) > 0) {
		size_t before = async_stream_unsent(peer.stream);

		assert_int_equal(async_done(drainer), before <= low);
		assert_int_equal(peer_receive(&peer, got, page), page);
		while (async_stream_unsent(peer.stream) == before)
			give_way(1);
		/* Who was woken has run by the next turn. */
		give_way(1);
		steps++;
	}
	assert_true(steps > 20);
	assert_int_equal(async_await(drainer), 0);
	char expected[32];
	snprintf(expected, sizeof(expected), "0:%zu", low);
	assert_noted(expected);
	free(data);
	peer_end(&peer);
	return 0;
}

static void a_drain_waits_until_low_water(void **state)
{
	(void)state;
	stream_run(low_water);
}

/* Failures */

static intptr_t broken(void *arg)
{
	struct peer peer;
	char *data = pattern(3000000);

	(void)arg;
	/* Nothing must raise a signal: its action is the default. */
	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	for (int kind = 0; kind < PEER_KINDS; kind++) {
		if (kind == PEER_PIPE)
			peer_open_writing(&peer, NULL);
		else
			peer_open(&peer, kind, NULL);
		assert_int_equal(async_stream_write(peer.stream, data, 3000000), 0);
		async_task *first = async_create_task(drain_and_note, peer.stream);
		async_task *second = async_create_task(drain_and_note, peer.stream);
		give_way(4);
		if (kind == PEER_TCP)
			peer_reset(&peer);
		else
			peer_close(&peer);
		intptr_t error = async_await(first);
		assert_true(error == -EPIPE || error == -ECONNRESET);
		assert_int_equal(async_await(second), error);
		forget_notes();
		assert_int_equal(async_stream_write(peer.stream, "x", 1), error);
		assert_int_equal(async_stream_drain(peer.stream), error);
		assert_int_equal(async_stream_write_eof(peer.stream), error);
		assert_true(!peer.stream->sending.data && !peer.stream->pending.data);
		assert_int_equal(async_stream_close(peer.stream), error);
	}
	peer_open(&peer, PEER_UNIX, NULL);
	peer_close(&peer);
	assert_int_equal(async_stream_write(peer.stream, data, 3000000), -EPIPE);
	assert_int_equal(async_stream_drain(peer.stream), -EPIPE);
	assert_int_equal(async_stream_close(peer.stream), -EPIPE);
	free(data);
	return 0;
}

static void a_broken_connection_is_told_by_every_call(void **state)
{
	(void)state;
	stream_run(broken);
}

static intptr_t without_memory(void *arg)
{
	char data[] = "1234";
	struct iovec parts[] = {{.iov_base = data, .iov_len = 2}, {.iov_base = data + 2, .iov_len = 2}};
	struct peer peer;

	(void)arg;
	open_records(&peer);
	for (int way = 0; way < 3; way++) {
		fault_arm("malloc", 1, -ENOMEM);
		int error = way == 0   ? async_stream_write(peer.stream, "12", 2)
			    : way == 1 ? async_stream_writev(peer.stream, parts, 2)
				       : async_stream_printf(peer.stream, "%d", 12);
		fault_disarm();
		assert_int_equal(error, -ENOMEM);
		assert_int_equal(async_stream_unsent(peer.stream), 0);
		write_text(peer.stream, "ok");
		expect_record(&peer, "ok");
	}
	peer_end(&peer);
	return 0;
}

static void without_memory_nothing_is_written(void **state)
{
	(void)state;
	stream_run(without_memory);
}

/* Ends */

static intptr_t ends(void *arg)
{
	struct peer peer;
	char got[8];

	(void)arg;
	for (int kind = 0; kind < PEER_KINDS; kind++) {
		if (kind == PEER_PIPE)
			peer_open_writing(&peer, NULL);
		else
			peer_open(&peer, kind, NULL);
		write_text(peer.stream, "bye");
		assert_int_equal(async_stream_write_eof(peer.stream), 0);
		assert_int_equal(async_stream_write_eof(peer.stream), 0);
		assert_int_equal(async_stream_write(peer.stream, "x", 1), -ESHUTDOWN);
		peer_expect(&peer, "bye");
		ssize_t count;
		while ((count = peer_receive(&peer, got, 1)) == -EAGAIN)
			give_way(1);
		assert_int_equal(count, 0);
		assert_true((async_stream_fd(peer.stream) == -EBADF) == (kind == PEER_PIPE));
		if (kind != PEER_PIPE) {
			peer_say(&peer, "still");
			assert_int_equal(async_stream_read(peer.stream, got, sizeof(got)), 5);
		}
		assert_int_equal(async_stream_write_eof(peer.stream), 0);
		peer_end(&peer);
	}
	/* Nobody is there to be told. */
	peer_open(&peer, PEER_TCP, NULL);
	peer_reset(&peer);
	assert_int_equal(async_stream_write_eof(peer.stream), 0);
	assert_int_equal(async_stream_close(peer.stream), 0);
	return 0;
}

static void the_peer_sees_the_end_after_the_last_byte(void **state)
{
	(void)state;
	stream_run(ends);
}

static intptr_t end_behind_much(void *arg)
{
	struct transfer transfer = {.size = 1000000};
	static char got[65536];
	size_t had = 0;
	ssize_t count;

	(void)arg;
	transfer.data = pattern(transfer.size);
	for (int kind = 0; kind < PEER_KINDS; kind++) {
		if (kind == PEER_PIPE)
			peer_open_writing(&transfer.peer, NULL);
		else
			peer_open(&transfer.peer, kind, NULL);
		assert_int_equal(async_stream_write(transfer.peer.stream, transfer.data, transfer.size), 0);
		assert_int_equal(async_stream_write_eof(transfer.peer.stream), 0);
		had = 0;
		while ((count = peer_receive(&transfer.peer, got, sizeof(got))) != 0) {
			if (count == -EAGAIN) {
				give_way(1);
				continue;
			}
			assert_memory_equal(got, transfer.data + had, count);
			had += (size_t)count;
		}
		assert_int_equal(had, transfer.size);
		peer_end(&transfer.peer);
	}
	free(transfer.data);
	return 0;
}

static void the_end_waits_for_what_is_unsent(void **state)
{
	(void)state;
	stream_run(end_behind_much);
}

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

/* A callback may write. */
static void write_from_callback(void *stream)
{
	assert_int_equal(async_stream_write(stream, "called", 6), 0);
	assert_int_equal(async_stream_drain(stream), -EPERM);
	assert_int_equal(async_stream_close(stream), -EPERM);
}

static intptr_t callbacks(void *arg)
{
	struct peer peer;

	(void)arg;
	peer_open(&peer, PEER_UNIX, NULL);
	assert_int_equal(async_loop_call_soon(async_get_running_loop(), write_from_callback, peer.stream, NULL), 0);
	peer_expect(&peer, "called");
	peer_end(&peer);
	return 0;
}

static void callbacks_may_write(void **state)
{
	(void)state;
	stream_run(callbacks);
}

/* A loop within another one: what is written there shows, be it in a task or between two runs. */
static intptr_t write_and_stay(void *arg)
{
	struct peer *peer = arg;
	char byte;

	peer_open(peer, PEER_UNIX, NULL);
	assert_int_equal(async_sleep(0), 0);
	write_text(peer->stream, "inside");
	ssize_t count = async_stream_read(peer->stream, &byte, 1);
	write_text(peer->stream, "too");
	return count;
}

static bool run_if_wanted(async_loop *loop, int timeout)
{
	struct pollfd wanted = {.fd = async_loop_fd(loop), .events = POLLIN};

	if (poll(&wanted, 1, timeout) == 0)
		return false;
	assert_true(async_loop_run_once(loop) >= 0);
	return true;
}

static void expect_now(struct peer *peer, const char *text)
{
	char got[16];

	assert_int_equal(peer_receive(peer, got, sizeof(got)), strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static void embedded_loops_show_what_is_to_be_sent(void **state)
{
	async_loop *loop = loop_real();
	struct peer peer;

	(void)state;
	assert_true(async_loop_fd(loop) >= 0);
	async_task *task = async_loop_create_task(loop, write_and_stay, &peer, NULL);
	while (run_if_wanted(loop, 0))
		;
	expect_now(&peer, "inside");
	write_text(peer.stream, "outside");
	while (run_if_wanted(loop, 0))
		;
	expect_now(&peer, "outside");
	peer_say(&peer, "x");
	while (!async_done(task))
		assert_true(run_if_wanted(loop, 20000));
	while (run_if_wanted(loop, 0))
		;
	expect_now(&peer, "too");
	async_release(task);
	async_stream_abort(peer.stream);
	peer_close(&peer);
	loop_end(loop);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(writes_of_a_turn_go_together),
		TEST(much_is_written_in_order),
		TEST(what_is_large_need_not_wait),
		TEST(a_drain_waits_above_high_water),
		TEST(a_drain_waits_until_low_water),
		TEST(a_broken_connection_is_told_by_every_call),
		TEST(without_memory_nothing_is_written),
		TEST(the_peer_sees_the_end_after_the_last_byte),
		TEST(the_end_waits_for_what_is_unsent),
		TEST(closing_sends_the_rest),
		TEST(aborting_while_the_kernel_has_a_buffer),
		TEST(closing_and_aborting_at_once),
		TEST(callbacks_may_write),
		TEST(embedded_loops_show_what_is_to_be_sent),
	};

	return cmocka_run_group_tests_name("stream_write", tests, NULL, NULL);
}
