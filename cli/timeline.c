/* SPDX-License-Identifier: MIT */
#include "timeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lane *timeline_lane(struct timeline *timeline, size_t index, enum async_trace_track kind, const char *name)
{
	if (index >= timeline->count) {
		size_t count = index + 1;
		struct lane *lanes = realloc(timeline->lanes, (count + count / 2) * sizeof(*lanes));

		if (!lanes) {
			timeline->no_memory = true;
			return NULL;
		}
		memset(lanes + timeline->count, 0, (count - timeline->count) * sizeof(*lanes));
		timeline->lanes = lanes;
		timeline->count = count;
	}
	struct lane *lane = &timeline->lanes[index];
	char *copy = name ? strdup(name) : NULL;
	if (copy) {
		free(lane->name);
		lane->name = copy;
		lane->kind = kind;
	}
	timeline->no_memory |= name && !copy;
	return lane;
}

/* The same text at the same place, so that a span only points at it. There are few different ones. */
static const char *keep_name(struct timeline *timeline, const char *name)
{
	for (size_t i = 0; name && i < timeline->name_count; i++)
		if (strcmp(timeline->names[i], name) == 0)
			return timeline->names[i];
	/* Who awaits thousands of tasks one after the other is not told their names. */
	if (!name || timeline->name_count == 1000)
		return NULL;
	char **names = realloc(timeline->names, (timeline->name_count + 1) * sizeof(*names));
	if (!names)
		return NULL;
	timeline->names = names;
	names[timeline->name_count] = strdup(name);
	return names[timeline->name_count] ? names[timeline->name_count++] : NULL;
}

static void add_span(struct timeline *timeline, struct lane *lane, struct span span)
{
	struct span *last = lane->count ? &lane->spans[lane->count - 1] : NULL;

	if (span.begin < timeline->origin)
		span.begin = timeline->origin;
	if (span.end < span.begin)
		return;
	if (span.end > timeline->end)
		timeline->end = span.end;
	if (span.state == ASYNC_TRACE_RUNNING || span.state == ASYNC_TRACE_CALLBACK)
		lane->ran += span.end - span.begin;
	/* A turn that comes straight after the last one is the same to whoever looks. */
	if (last && last->end == span.begin && last->state == span.state && last->name == span.name) {
		last->end = span.end;
		return;
	}
	if (lane->count == lane->capacity) {
		size_t capacity = lane->capacity ? 2 * lane->capacity : 16;
		struct span *spans = realloc(lane->spans, capacity * sizeof(*spans));

		if (!spans) {
			timeline->no_memory = true;
			return;
		}
		lane->spans = spans;
		lane->capacity = capacity;
	}
	lane->spans[lane->count++] = span;
}

void timeline_add_span(struct timeline *timeline, size_t lane, enum async_trace_state state, async_time begin,
		       async_time end)
{
	if (lane < timeline->count)
		add_span(timeline, &timeline->lanes[lane], (struct span){begin, end, state, NULL});
}

static int collect(const struct async_trace_record *record, void *arg)
{
	struct timeline *timeline = arg;
	struct lane *lane;

	switch (record->type) {
	case ASYNC_TRACE_NEW:
		timeline_lane(timeline, record->track - 1, record->kind, record->name);
		break;
	case ASYNC_TRACE_SPAN:
		lane = timeline_lane(timeline, record->track - 1, record->kind, NULL);
		if (lane)
			add_span(timeline, lane, (struct span){record->begin, record->end, record->state,
							       keep_name(timeline, record->name)});
		break;
	case ASYNC_TRACE_LOST:
		timeline->lost = record->value;
		break;
	default:
		break;
	}
	return timeline->no_memory ? -ENOMEM : 0;
}

int timeline_collect(struct timeline *timeline, async_time origin)
{
	timeline->origin = timeline->end = origin;
	return async_trace_read(collect, timeline);
}

void timeline_dispose(struct timeline *timeline)
{
	for (size_t i = 0; i < timeline->count; i++) {
		free(timeline->lanes[i].name);
		free(timeline->lanes[i].spans);
	}
	for (size_t i = 0; i < timeline->name_count; i++)
		free(timeline->names[i]);
	free(timeline->names);
	free(timeline->lanes);
	*timeline = (struct timeline){0};
}

size_t timeline_order(const struct timeline *timeline, size_t *order)
{
	static const enum async_trace_track kinds[] = {ASYNC_TRACE_LOOP, ASYNC_TRACE_TASK, ASYNC_TRACE_WORKER};
	size_t count = 0;

	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		for (size_t i = 0; i < timeline->count; i++) {
			const struct lane *lane = &timeline->lanes[i];

			if (lane->kind == kinds[kind] && lane->count && lane->name)
				order[count++] = i;
		}
	}
	return count;
}

struct shares timeline_shares(const struct lane *lane, async_time begin, async_time end, size_t *cursor)
{
	struct shares shares = {0};

	while (*cursor < lane->count && lane->spans[*cursor].end <= begin && lane->spans[*cursor].begin < begin)
		++*cursor;
	for (size_t i = *cursor; i < lane->count && lane->spans[i].begin < end; i++) {
		const struct span *span = &lane->spans[i];
		async_time from = span->begin > begin ? span->begin : begin, to = span->end < end ? span->end : end;
		async_time part = to > from ? to - from : 0;

		shares.spans++;
		if (span->state == ASYNC_TRACE_READY)
			shares.ready += part;
		else if (span->state == ASYNC_TRACE_PARKED)
			shares.parked += part;
		else
			shares.running += part ? part : 1;
	}
	return shares;
}

async_time timeline_step(async_time length, size_t marks)
{
	async_time step = 1;

	for (;;) {
		static const int factors[] = {1, 2, 5};

		for (size_t i = 0; i < 3; i++)
			if (length / (step * factors[i]) <= (async_time)marks)
				return step * factors[i];
		step *= 10;
	}
}

const char *timeline_format(async_time time, async_time step, char *buffer, size_t size)
{
	static const struct {
		async_time scale;
		const char *name;
	} units[] = {{ASYNC_S, "s"}, {ASYNC_MS, "ms"}, {ASYNC_US, "us"}, {ASYNC_NS, "ns"}};
	size_t unit = 0;
	int digits = 0;

	/* Steps from 10 ms on are told in seconds. */
	while (unit < 3 && step * 100 < units[unit].scale)
		unit++;
	for (async_time part = units[unit].scale; part > step && digits < 3; part /= 10)
		digits++;
	snprintf(buffer, size, "%.*f %s", digits, (double)time / (double)units[unit].scale, units[unit].name);
	return buffer;
}
