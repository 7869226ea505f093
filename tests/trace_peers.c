/* SPDX-License-Identifier: MIT */
#include "trace_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct seen seen;

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
}

int look(const struct async_trace_record *record, void *arg)
{
	static const char *const states[] = {"running", "ready", "waits", "callback"};
	struct track *track = &seen.tracks[record->track];

	(void)arg;
	assert_true(record->track < TRACKS_MAX && record->other < TRACKS_MAX);
	assert_false(seen.ended);
	seen.records++;
	seen.backwards += record->end < record->begin;
	switch (record->type) {
	case ASYNC_TRACE_NEW:
		assert_true(record->track <= seen.count + 1);
		seen.count = record->track > seen.count ? record->track : seen.count;
		track->kind = record->kind;
		snprintf(track->name, sizeof(track->name), "%s", record->name);
		break;
	case ASYNC_TRACE_SPAN:
		assert_true(record->track > 0 && record->track <= seen.count);
		seen.overlaps += record->begin < track->end;
		track->end = record->end;
		track->longest = record->end - record->begin > track->longest ? record->end - record->begin
									       : track->longest;
		append(track->spans, sizeof(track->spans), "%s%s", *track->spans ? ", " : "", states[record->state]);
		if (record->name && record->state == ASYNC_TRACE_PARKED)
			append(track->spans, sizeof(track->spans), " for %s", record->name);
		break;
	case ASYNC_TRACE_FLOW:
		append(seen.flows, sizeof(seen.flows), "%s %s %s; ", seen.tracks[record->other].name, record->name,
		       track->name);
		break;
	case ASYNC_TRACE_COUNTER:
		append(seen.counters, sizeof(seen.counters), "%s %llu; ", record->name,
		       (unsigned long long)record->value);
		break;
	case ASYNC_TRACE_LOST:
		seen.lost = record->value;
		seen.ended = true;
	}
	return 0;
}

void forget_seen(void)
{
	struct track *tracks = seen.tracks;

	if (!tracks)
		tracks = calloc(TRACKS_MAX, sizeof(*tracks));
	assert_non_null(tracks);
	/* They are large, so only those that were used are cleared. */
	memset(tracks, 0, (seen.count + 1) * sizeof(*tracks));
	seen = (struct seen){.tracks = tracks};
}

void read_all(void)
{
	forget_seen();
	assert_int_equal(async_trace_read(look, NULL), 0);
	assert_true(seen.ended);
	assert_int_equal(seen.overlaps, 0);
	assert_int_equal(seen.backwards, 0);
}

void trace(async_fn *fn)
{
	start();
	assert_int_equal(run_virtual(fn, NULL), 0);
	async_trace_stop();
	read_all();
}

async_task *named(const char *name, async_fn *fn, void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.name = name;
	return async_create_task_with(fn, arg, &options);
}

intptr_t nothing(void *arg)
{
	(void)arg;
	return 0;
}

static intptr_t rename_task(void *arg)
{
	(void)arg;
	async_task_set_name(async_current_task(), "\"after\"\n\xff");
	return async_sleep(1);
}

intptr_t rename_and_end(void *arg)
{
	(void)arg;
	return async_await(named("before", rename_task, NULL));
}

void in_child(void (*fn)(const char *path), const char *path, char *said, size_t size, int *status)
{
	stderr_capture();
	pid_t pid = fork();
	if (pid == 0) {
		fn(path);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, status, 0), pid);
	stderr_release(said, size);
}
