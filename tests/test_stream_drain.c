/* SPDX-License-Identifier: MIT */
/* Back-pressure: who drains a stream waits for its water marks. */
#include "stream_peer.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/stream.h"

static intptr_t drain(void *arg)
{
	struct peer *peer = arg;
	int error = async_stream_drain(peer->stream);

	note("%d:%zu", error, async_stream_unsent(peer->stream));
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_drain_waits_above_high_water),
		TEST(a_drain_waits_until_low_water),
	};

	return cmocka_run_group_tests_name("stream_drain", tests, NULL, NULL);
}
