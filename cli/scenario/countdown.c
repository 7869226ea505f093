/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "number.h"
#include "progress.h"
#include "scenario.h"
#include "stop.h"

#define STEPS 3
#define NAME_MAX_BYTES 32
#define INDENT_MAX 10
#define DELAY_MAX (24 * 3600 * ASYNC_S)

struct countdown {
	struct run *run;
	size_t index;
	char name[NAME_MAX_BYTES + 1];
	async_time delay;
	async_time finished;
	bool done;
};

static struct countdown *countdown_of(const struct run *run, size_t index)
{
	return &((struct countdown *)run->state)[index];
}

/* A line, indented by task, with the time it came at. */
static void say(struct countdown *countdown, const char *text)
{
	size_t indent = countdown->index < INDENT_MAX ? countdown->index : INDENT_MAX;

	run_line(countdown->run, "%8.4f  %*s%s%s", (double)run_elapsed(countdown->run) / (double)ASYNC_S,
		 (int)indent * 8, "", countdown->name, text);
}

/* What all modes share but the way to sleep. */
static intptr_t count(struct countdown *countdown, int (*sleep_for)(async_time))
{
	for (int n = STEPS; n; n--) {
		char text[16];
		int error = sleep_for(countdown->delay);

		if (error < 0)
			return error;
		snprintf(text, sizeof(text), " = %d", n);
		say(countdown, text);
		run_answered(countdown->run);
		progress_update(countdown->index, (uint64_t)(STEPS + 1 - n), STEPS);
	}
	countdown->finished = run_elapsed(countdown->run);
	countdown->done = true;
	say(countdown, " done");
	return 0;
}

static int sleep_on_loop(async_time delay)
{
	return async_sleep(delay);
}

static intptr_t count_blocking(void *arg)
{
	const struct item *item = arg;

	return count(countdown_of(item->run, item->index), stop_sleep);
}

static intptr_t count_giving_way(void *arg)
{
	const struct item *item = arg;

	return count(countdown_of(item->run, item->index), sleep_on_loop);
}

static intptr_t count_on_pool(void *arg)
{
	const struct item *item = arg;
	intptr_t result = async_to_thread(count_blocking, arg);

	/* The worker may have been done just before the cancellation came. */
	return result == -ECANCELED && countdown_of(item->run, item->index)->done ? 0 : result;
}

static bool is_printable(const char *name, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	return true;
}

/* Returns: NULL, or what is wrong with NAME:SECONDS. */
static const char *parse_countdown(const char *text, struct countdown *countdown)
{
	const char *colon = strrchr(text, ':');
	const char *wrong = "has no name";
	size_t length;

	if (!colon)
		return *text ? "has no colon" : "is empty";
	length = (size_t)(colon - text);
	if (length > NAME_MAX_BYTES)
		return "has too long a name";
	if (length && is_printable(text, length)) {
		memcpy(countdown->name, text, length);
		wrong = number_parse_time(colon + 1, &countdown->delay);
	}
	if (!wrong && countdown->delay > DELAY_MAX)
		wrong = "takes too long";
	return wrong;
}

static int prepare(struct run *run, int argc, const char *const *argv)
{
	static const char *const defaults[] = {"A:1", "B:0.8", "C:0.5"};
	struct countdown *countdowns;

	if (!argc) {
		argc = sizeof(defaults) / sizeof(defaults[0]);
		argv = defaults;
	}
	run->count = (size_t)argc;
	run->state = countdowns = calloc(run->count, sizeof(*countdowns));
	if (!countdowns) {
		complain_line("out of memory for %zu countdowns", run->count);
		return STATUS_FAILED;
	}
	for (size_t i = 0; i < run->count; i++) {
		const char *wrong = parse_countdown(argv[i], &countdowns[i]);

		if (wrong) {
			complain_line("argument %zu: '%s' %s; expected NAME:SECONDS with a name of 1 to %d bytes "
				      "and a time from 0 to 24h, such as A:0.5",
				      i + 1, argv[i], wrong, NAME_MAX_BYTES);
			return STATUS_USAGE;
		}
		countdowns[i].run = run;
		countdowns[i].index = i;
	}
	/* A worker for each, or some would begin only when others have ended. */
	if (!run->workers)
		run->workers = run->count < ASYNC_WORKERS_MAX ? run->count : ASYNC_WORKERS_MAX;
	return STATUS_DONE;
}

static void dispose(struct run *run)
{
	free(run->state);
}

static const char *name_item(void *arg, size_t index, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s", countdown_of(arg, index)->name);
	return buffer;
}

static void write_results(struct run *run, struct json *json)
{
	for (size_t i = 0; i < run->count; i++) {
		const struct countdown *countdown = countdown_of(run, i);

		json_open(json, '{');
		json_name(json, "name");
		json_string(json, countdown->name);
		json_name(json, "delay_s");
		json_real(json, (double)countdown->delay / (double)ASYNC_S, 6);
		json_name(json, "finished_s");
		if (run_item_done(run, i))
			json_real(json, (double)countdown->finished / (double)ASYNC_S, 6);
		else
			json_null(json);
		json_close(json, '}');
	}
}

const struct scenario countdown_scenario = {
	.name = "countdown",
	.arguments = "[NAME:SECONDS...]",
	.summary = "each counts 3, 2, 1 with a delay of its own before each number",
	.details = "      Default: A:1 B:0.8 C:0.5; NAME has up to 32 bytes, SECONDS may have a unit.\n",
	.items = "countdowns",
	.body = {count_blocking, count_blocking, count_giving_way, count_on_pool},
	.prepare = prepare,
	.dispose = dispose,
	.name_item = name_item,
	.write_results = write_results,
};
