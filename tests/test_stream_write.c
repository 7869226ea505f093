/* SPDX-License-Identifier: MIT */
/* Writing through streams: what goes together, how it fails, how it ends. */
#include "stream_peer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fault.h"
#include "io/stream.h"

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(writes_of_a_turn_go_together),
		TEST(much_is_written_in_order),
		TEST(what_is_large_need_not_wait),
		TEST(a_broken_connection_is_told_by_every_call),
		TEST(without_memory_nothing_is_written),
		TEST(the_peer_sees_the_end_after_the_last_byte),
		TEST(the_end_waits_for_what_is_unsent),
	};

	return cmocka_run_group_tests_name("stream_write", tests, NULL, NULL);
}
