/* SPDX-License-Identifier: MIT */
/* Random chunks, random reads, and a model that has all in one piece. */
#include "stream_peer.h"

#include <string.h>

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(whatever_the_chunks_are),
		TEST(cancellation_loses_no_byte),
	};

	return cmocka_run_group_tests_name("stream_chunks", tests, NULL, NULL);
}
