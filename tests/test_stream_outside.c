/* SPDX-License-Identifier: MIT */
/* Streams that are written outside of tasks: by callbacks, and between two runs of a loop within another one. */
#include "stream_peer.h"

#include <poll.h>
#include <string.h>

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
		TEST(callbacks_may_write),
		TEST(embedded_loops_show_what_is_to_be_sent),
	};

	return cmocka_run_group_tests_name("stream_outside", tests, NULL, NULL);
}
