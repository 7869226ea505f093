/* SPDX-License-Identifier: MIT */
/* Terminals: lines, and how one that is full does not hold up the loop. */
#include "io_peers.h"

#include <unistd.h>

static intptr_t pass_through_terminals(void *arg)
{
	(void)arg;
	pass(TERMINAL, 100000);
	pass(TERMINAL_MASTER, 100000);
	return 0;
}

static void much_passes_through_terminals(void **state)
{
	(void)state;
	assert_int_equal(run(pass_through_terminals), 0);
}

/* A terminal has no flag for a single call, and a write to a full one must not hold up the loop all the same. */
static intptr_t write_endlessly(void *arg)
{
	static char large[1 << 20];
	ssize_t count;

	do
		count = async_write(*(int *)arg, large, sizeof(large));
	while (count > 0);
	return count;
}

static intptr_t fill_terminals(void *arg)
{
	(void)arg;
	for (int kind = TERMINAL; kind <= TERMINAL_MASTER; kind++) {
		struct channel channel = open_channel(kind);
		async_task *writer = async_create_task(write_endlessly, &channel.out);

		give_way(100);
		assert_false(async_done(writer));
		async_cancel(writer, NULL);
		assert_int_equal(async_await(writer), -ECANCELED);
		close_channel(&channel);
	}
	return 0;
}

static void full_terminals_hold_up_their_writer_only(void **state)
{
	(void)state;
	assert_int_equal(run(fill_terminals), 0);
}

static intptr_t type_lines(void *arg)
{
	int ends[2];
	char buffer[16] = "";

	(void)arg;
	assert_int_equal(open_terminal(ends, false), 0);
	struct transfer reading = {ends[1], buffer, sizeof(buffer)};
	async_task *reader = async_create_task(read_once, &reading);
	/* A line is there when it has ended. */
	put(ends[0], "ab");
	settle();
	assert_false(async_done(reader));
	put(ends[0], "c\n");
	assert_int_equal(async_await(reader), 4);
	assert_string_equal(buffer, "abc\n");
	put(ends[0], "\4");
	assert_int_equal(async_read(ends[1], buffer, sizeof(buffer)), 0);
	close_now(ends[0]);
	close_now(ends[1]);
	return 0;
}

static void terminal_gives_lines(void **state)
{
	(void)state;
	assert_int_equal(run(type_lines), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(terminal_gives_lines),
		/* Last, as a loop that is held up ends the program. */
		TEST(much_passes_through_terminals),
		TEST(full_terminals_hold_up_their_writer_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
