/* SPDX-License-Identifier: MIT */
/*
 * DESIGN: two tasks. The clock ticks on stderr and notes how late it was; the reader answers lines. How late the
 * clock ever was tells how responsive the program stayed while it read. Only lengths of lines are kept, so a line
 * may be of any length and hold any bytes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "scenario.h"
#include "stop.h"

struct reader {
	struct run *run;
	uint64_t lines;
	uint64_t bytes;
	uint64_t length; /* of the line that has begun */
	uint64_t ticks;
	async_time next_tick;
	async_time largest_delay;
	bool ended;
	char buffer[65536];
};

static void note_delay(struct reader *reader, async_time delay)
{
	if (delay > reader->largest_delay)
		reader->largest_delay = delay;
}

static intptr_t tick(void *arg)
{
	struct reader *reader = arg;
	async_time interval = reader->run->settings->interval;

	for (;;) {
		async_time delay, wait = reader->next_tick - run_elapsed(reader->run);

		if (async_sleep(wait > 0 ? wait : 0) < 0)
			return -ECANCELED;
		delay = run_elapsed(reader->run) - reader->next_tick;
		note_delay(reader, delay);
		note_line("tick %" PRIu64 " at %.3f s, %.3f s late", ++reader->ticks,
			  (double)run_elapsed(reader->run) / (double)ASYNC_S, (double)delay / (double)ASYNC_S);
		/* Ticks that were missed are not made up for. */
		reader->next_tick += interval * (1 + delay / interval);
	}
}

static void answer(struct reader *reader)
{
	run_answered(reader->run);
	reader->lines++;
	if (!reader->run->settings->json)
		output_printf("line %" PRIu64 ": %" PRIu64 " characters\n", reader->lines, reader->length);
	reader->length = 0;
}

static void take(struct reader *reader, const char *bytes, size_t size)
{
	reader->bytes += size;
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n')
			answer(reader);
		else
			reader->length++;
	}
	output_flush();
}

/* Without the pool and without giving way; but between two reads the clock gets its turn, for else it would never
 * tick at all. */
static ssize_t read_blocking(struct reader *reader)
{
	int error = async_sleep(0);

	return error < 0 ? error : stop_read(STDIN_FILENO, reader->buffer, sizeof(reader->buffer));
}

static ssize_t read_giving_way(struct reader *reader)
{
	return async_read(STDIN_FILENO, reader->buffer, sizeof(reader->buffer));
}

static intptr_t read_job(void *arg)
{
	struct reader *reader = arg;

	return stop_read(STDIN_FILENO, reader->buffer, sizeof(reader->buffer));
}

static ssize_t read_on_pool(struct reader *reader)
{
	return async_to_thread(read_job, reader);
}

static intptr_t read_lines(struct reader *reader, ssize_t (*read_some)(struct reader *))
{
	ssize_t count;

	while ((count = read_some(reader)) > 0)
		take(reader, reader->buffer, (size_t)count);
	if (count < 0)
		return count;
	if (reader->length)
		answer(reader);
	reader->ended = true;
	return 0;
}

static void report(struct reader *reader)
{
	/* A tick that was due and never came is late as well. */
	note_delay(reader, run_elapsed(reader->run) - reader->next_tick);
	run_line(reader->run, "%" PRIu64 " %s, %" PRIu64 " bytes; largest delay of a tick %.6f s", reader->lines,
		 reader->lines == 1 ? "line" : "lines", reader->bytes, (double)reader->largest_delay / (double)ASYNC_S);
}

static intptr_t read_beside_clock(const struct item *item, ssize_t (*read_some)(struct reader *))
{
	struct reader *reader = item->run->state;
	async_task *clock;
	intptr_t result, ticked;

	reader->next_tick = run_elapsed(reader->run) + reader->run->settings->interval;
	clock = async_create_task(tick, reader);
	if (async_done(clock))
		return async_await(clock);
	result = read_lines(reader, read_some);
	async_cancel(clock, "the input has ended");
	ticked = async_await(clock);
	if (result == 0)
		report(reader);
	return result < 0 || ticked == -ECANCELED ? result : ticked;
}

static intptr_t run_blocking(void *arg)
{
	return read_beside_clock(arg, read_blocking);
}

static intptr_t run_giving_way(void *arg)
{
	return read_beside_clock(arg, read_giving_way);
}

static intptr_t run_on_pool(void *arg)
{
	return read_beside_clock(arg, read_on_pool);
}

static int prepare(struct run *run, int argc, const char *const *argv)
{
	struct reader *reader;

	if (argc) {
		complain_line("argument 1: '%s' is not expected; stdin takes no arguments", argv[0]);
		return STATUS_USAGE;
	}
	run->count = 1;
	run->state = reader = calloc(1, sizeof(*reader));
	if (!reader) {
		complain_line("out of memory for a buffer");
		return STATUS_FAILED;
	}
	reader->run = run;
	return STATUS_DONE;
}

static void dispose(struct run *run)
{
	free(run->state);
}

static const char *name_item(void *arg, size_t index, char *buffer, size_t size)
{
	const struct reader *reader = ((const struct run *)arg)->state;

	(void)index;
	snprintf(buffer, size, "standard input after line %" PRIu64, reader->lines);
	return buffer;
}

static void write_results(struct run *run, struct json *json)
{
	const struct reader *reader = run->state;

	json_open(json, '{');
	json_name(json, "lines");
	json_uint(json, reader->lines);
	json_name(json, "bytes");
	json_uint(json, reader->bytes);
	json_name(json, "complete");
	json_bool(json, reader->ended);
	json_name(json, "ticks");
	json_uint(json, reader->ticks);
	json_name(json, "largest_delay_s");
	json_real(json, (double)reader->largest_delay / (double)ASYNC_S, 6);
	json_close(json, '}');
}

const struct scenario stdin_scenario = {
	.name = "stdin",
	.arguments = "",
	.summary = "a clock ticks while lines are read from standard input and answered",
	.details = "      Lines are counted in bytes. On the virtual clock ticks do not wait for the input.\n",
	.items = "inputs",
	.body = {NULL, run_blocking, run_giving_way, run_on_pool},
	.prepare = prepare,
	.dispose = dispose,
	.name_item = name_item,
	.write_results = write_results,
};
