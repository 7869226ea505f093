/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. The rings say at which moment something changed; whoever looks at a trace wants to know what each task did
 * from when to when. So the events of all rings are merged by time and run through a table of what every task, loop
 * and worker is doing: each change ends a span. The table is mapped once, before anything is recorded, and nothing
 * here allocates or calls stdio: a process that crashes can still tell how it came to that.
 */
#include "introspect/trace.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread_guard.h"
#include "base/trace.h"
#include "context/exceptions.h"
#include "core/observe.h"
#include "introspect/rows.h"
#include "introspect/safe_text.h"

#define NAME_SIZE 192

struct reader {
	async_trace_visitor *visit;
	void *arg;
	bool in_signal;
	int result;
	uint32_t tracks;
	uint64_t lost;
	int64_t now;
};

int trace_read_prepare(void)
{
	return rows_prepare();
}

/* What it is told of is lost if there are too many. */
static struct row *row_add(struct reader *reader, uint64_t key)
{
	struct row *row = rows_add(key);

	reader->lost += !row;
	return row;
}

static void tell(struct reader *reader, struct async_trace_record *record)
{
	record->size = sizeof(*record);
	if (reader->result == 0)
		reader->result = FENCED_VALUE(reader->visit(record, reader->arg));
}

static const char *name_of(const struct row *row, char *buffer, const char *thread)
{
	const char *name = trace_interned(row->name);
	struct safe_text text;

	if (name)
		return name;
	if (row_kind(row) == ROW_WORKER)
		return thread;
	text_init(&text, buffer, NAME_SIZE);
	text_add(&text, row_id(row) ? "Task-" : "loop ");
	text_add_number(&text, row_id(row) ? row_id(row) : row_loop(row));
	return buffer;
}

static void tell_new(struct reader *reader, struct row *row, const char *thread)
{
	char buffer[NAME_SIZE];
	struct async_trace_record record = {
		.type = ASYNC_TRACE_NEW,
		.kind = row_kind(row) == ROW_WORKER ? ASYNC_TRACE_WORKER
			: row_id(row)               ? ASYNC_TRACE_TASK
						    : ASYNC_TRACE_LOOP,
		.loop = row_loop(row),
		.track = row->track,
		.id = row_id(row),
		.begin = reader->now,
		.end = reader->now,
		.name = name_of(row, buffer, thread),
	};

	tell(reader, &record);
}

/* The row of a task, or with id 0 of the loop. `name` 0: not known. */
static struct row *row_of(struct reader *reader, unsigned loop, uint64_t id, uint16_t name)
{
	struct row *row = row_add(reader, row_key(ROW_TASK, loop, id));

	if (row && (!row->track || (name && row->name != name))) {
		row->name = name ? name : row->name;
		if (!row->track)
			row->track = ++reader->tracks;
		tell_new(reader, row, NULL);
	}
	return row;
}

static const char *describe_call(struct reader *reader, uint64_t function, char *buffer)
{
	struct safe_text text;
	Dl_info info = {0};

	text_init(&text, buffer, NAME_SIZE);
	if (!reader->in_signal && dladdr((void *)(uintptr_t)function, &info) && info.dli_sname) {
		text_add(&text, info.dli_sname);
		return buffer;
	}
	if (info.dli_fname) {
		const char *slash = strrchr(info.dli_fname, '/');

		text_add(&text, slash ? slash + 1 : info.dli_fname);
		text_add(&text, "+");
		function -= (uintptr_t)info.dli_fbase;
	}
	text_add_hex(&text, function);
	return buffer;
}

static const char *describe(struct reader *reader, const struct row *row, char *buffer)
{
	char task[NAME_SIZE];
	struct safe_text text;

	if (row_kind(row) == ROW_WORKER)
		return row->what_is_id ? describe_call(reader, row->what, buffer) : (const char *)(uintptr_t)row->what;
	if (row_id(row) == 0)
		return row->state == ASYNC_TRACE_PARKED ? "the kernel" : NULL;
	if (row->state != ASYNC_TRACE_PARKED)
		return NULL;
	if (!row->what_is_id)
		return (const char *)(uintptr_t)row->what;
	const struct row *awaited = rows_find(row_key(ROW_TASK, row_loop(row), row->what));
	struct row unknown = {.key = row_key(ROW_TASK, row_loop(row), row->what)};

	text_init(&text, buffer, NAME_SIZE);
	text_add(&text, name_of(awaited->key ? awaited : &unknown, task, NULL));
	return buffer;
}

/* What it did until now is over. */
static void change(struct reader *reader, struct row *row, unsigned state)
{
	char buffer[NAME_SIZE];

	/* Nobody had to wait at all. */
	bool nothing = row->state == ASYNC_TRACE_READY && row->since == reader->now;
	if (row->state != STATE_NONE && !nothing) {
		struct async_trace_record record = {
			.type = ASYNC_TRACE_SPAN,
			.state = (enum async_trace_state)row->state,
			.loop = row_loop(row),
			.track = row->track,
			.begin = row->since,
			.end = reader->now,
			.name = describe(reader, row, buffer),
		};
		tell(reader, &record);
	}
	row->state = (uint8_t)state;
	row->since = reader->now;
}

static void flow(struct reader *reader, uint32_t from, unsigned from_loop, int64_t begin, const struct row *to,
		 const char *name)
{
	struct async_trace_record record = {
		.type = ASYNC_TRACE_FLOW,
		.loop = row_loop(to),
		.track = to->track,
		.other = from,
		.other_loop = from_loop,
		.begin = begin,
		.end = reader->now,
		.name = name,
	};

	if (from)
		tell(reader, &record);
}

static void counter(struct reader *reader, uint32_t track, const char *name, uint64_t value)
{
	struct async_trace_record record = {
		.type = ASYNC_TRACE_COUNTER,
		.track = track,
		.begin = reader->now,
		.end = reader->now,
		.name = name,
		.value = value,
	};

	tell(reader, &record);
}

static void on_switch(struct reader *reader, const struct trace_event *event)
{
	static const uint8_t states[] = {
		[OBSERVE_READY] = ASYNC_TRACE_READY,
		[OBSERVE_PARKED] = ASYNC_TRACE_PARKED,
		[OBSERVE_ENDED] = STATE_NONE,
	};
	unsigned loop = event->small2 & 0xffff, left = event->small2 >> 16;
	struct row *row = row_of(reader, loop, event->other, 0);

	if (row && event->other) {
		/* If it awaits a task, it was told just before. */
		bool awaits = row->what_is_id;

		row->what_is_id = false;
		change(reader, row, states[left]);
		row->what_is_id = awaits && left == OBSERVE_PARKED;
		if (!row->what_is_id)
			row->what = event->word;
		if (left == OBSERVE_ENDED)
			rows_remove(row);
	} else if (row && event->id) {
		change(reader, row, STATE_NONE);
	}
	row = row_of(reader, loop, event->id, event->small);
	if (!row || (!event->id && row->state == ASYNC_TRACE_RUNNING))
		return;
	change(reader, row, ASYNC_TRACE_RUNNING);
	row->what_is_id = false;
}

static void on_ready(struct reader *reader, const struct trace_event *event)
{
	struct row *row = row_of(reader, event->small2, event->id, event->small);
	struct row *by = row ? row_of(reader, event->small2, event->other, 0) : NULL;

	/* What comes before the loop runs is nobody's doing that has a track. */
	if (by && by->state != STATE_NONE)
		flow(reader, by->track, event->small2, reader->now, row,
		     event->kind == TRACE_CREATE ? "creates" : "wakes");
	if (row)
		change(reader, row, ASYNC_TRACE_READY);
}

static void on_task(struct reader *reader, const struct trace_event *event)
{
	struct row *row = row_of(reader, event->small2, event->id, event->small);

	if (!row)
		return;
	if (event->kind == TRACE_AWAIT) {
		row->what = event->other;
		row->what_is_id = true;
		return;
	}
	change(reader, row, STATE_NONE);
	rows_remove(row);
}

static void on_loop(struct reader *reader, const struct trace_event *event)
{
	struct row *row = row_of(reader, event->small2, 0, 0);

	if (!row)
		return;
	switch (event->kind) {
	case TRACE_CALLBACK:
		change(reader, row, ASYNC_TRACE_CALLBACK);
		break;
	case TRACE_POLL:
		change(reader, row, ASYNC_TRACE_PARKED);
		break;
	case TRACE_REST:
		change(reader, row, STATE_NONE);
		break;
	case TRACE_COUNTERS:
		counter(reader, row->track, "ready tasks", event->id);
		counter(reader, row->track, "timers", event->other);
		counter(reader, row->track, "operations in flight", event->word >> 32);
		counter(reader, row->track, "jobs", event->word & 0xffffffff);
		break;
	case TRACE_TASKS:
		counter(reader, row->track, "tasks", event->word);
		break;
	default: /* TRACE_CALLBACK_END, TRACE_POLL_END */
		change(reader, row, ASYNC_TRACE_RUNNING);
	}
}

static struct row *worker_row(struct reader *reader, const struct trace_ring *ring)
{
	struct row *row = row_add(reader, row_key(ROW_WORKER, 0, (uint64_t)ring->thread));

	if (row && !row->track) {
		row->track = ++reader->tracks;
		tell_new(reader, row, ring->name);
	}
	return row;
}

static void on_worker(struct reader *reader, const struct trace_event *event, const struct trace_ring *ring)
{
	struct row *job = rows_find(row_key(ROW_JOB, 0, event->id)), *row = worker_row(reader, ring);
	struct row asked = job->key ? *job : (struct row){.what = (uintptr_t)"job"};

	if (!row)
		return;
	uint32_t track = row->track;
	if (event->kind == TRACE_JOB) {
		change(reader, row, ASYNC_TRACE_RUNNING);
		row->what = asked.what;
		row->what_is_id = asked.what_is_id;
		flow(reader, asked.track, asked.name, asked.since, row, "submits");
		if (job->key)
			rows_remove(job);
		return;
	}
	int64_t began = row->since;
	change(reader, row, STATE_NONE);
	struct row *done = event->id ? row_add(reader, row_key(ROW_DONE, 0, event->id)) : NULL;
	if (done) {
		done->track = track;
		/* Inside the span, to which it belongs. */
		done->since = reader->now > began ? reader->now - 1 : began;
	}
}

static void on_job(struct reader *reader, const struct trace_event *event)
{
	struct row *done = rows_find(row_key(ROW_DONE, 0, event->id)), *row, *job;

	if (event->kind == TRACE_JOB_TAKEN) {
		struct row by = *done;

		row = by.key ? row_of(reader, event->small2, 0, 0) : NULL;
		if (row)
			flow(reader, by.track, 0, by.since, row, "ends");
		done = rows_find(by.key);
		if (by.key)
			rows_remove(done);
		return;
	}
	row = event->small2 ? row_of(reader, event->small2, event->other, 0) : NULL;
	uint32_t track = row ? row->track : 0;
	job = row_add(reader, row_key(ROW_JOB, 0, event->id));
	if (!job)
		return;
	job->track = track;
	job->name = (uint16_t)event->small2;
	job->since = reader->now;
	job->what = event->word;
	job->what_is_id = event->kind == TRACE_JOB_CALL;
}

static void take(struct reader *reader, const struct trace_ring *ring)
{
	const struct trace_event *event = &ring->event;

	reader->now = event->when;
	switch (event->kind) {
	case TRACE_SWITCH:
		on_switch(reader, event);
		break;
	case TRACE_CREATE:
	case TRACE_WAKE:
		on_ready(reader, event);
		break;
	case TRACE_AWAIT:
	case TRACE_GONE:
		on_task(reader, event);
		break;
	case TRACE_JOB:
	case TRACE_JOB_END:
		on_worker(reader, event, ring);
		break;
	case TRACE_JOB_CALL:
	case TRACE_JOB_WORK:
	case TRACE_JOB_TAKEN:
		on_job(reader, event);
		break;
	case TRACE_QUEUE:
		counter(reader, 0, "jobs that wait for a worker", event->word);
		break;
	default:
		on_loop(reader, event);
	}
}

/* Of the first events of all rings the earliest; NULL when there is none left. */
static struct trace_ring *earliest(struct trace_ring *first)
{
	struct trace_ring *best = NULL;

	for (struct trace_ring *ring = first; ring; ring = ring->next)
		if (ring->cursor < ring->end && (!best || ring->event.when < best->event.when))
			best = ring;
	return best;
}

static void take_all(struct reader *reader, struct trace_ring *first)
{
	struct trace_ring *ring;

	for (ring = first; ring; ring = ring->next)
		if (!trace_ring_current(ring) || !trace_ring_get(ring, &reader->lost))
			ring->end = ring->cursor;
	while (reader->result == 0 && (ring = earliest(first))) {
		take(reader, ring);
		ring->cursor++;
		(void)trace_ring_get(ring, &reader->lost);
	}
}

/* What goes on is told as far as it is known. */
static void end_all(struct reader *reader)
{
	struct async_trace_record record = {.type = ASYNC_TRACE_LOST};

	if (trace_on())
		reader->now = clock_now();
	for (struct row *row = rows_next(NULL); row; row = rows_next(row))
		if (row_kind(row) == ROW_TASK || row_kind(row) == ROW_WORKER)
			change(reader, row, STATE_NONE);
	record.begin = record.end = reader->now;
	record.value = reader->lost;
	tell(reader, &record);
}

int trace_read(async_trace_visitor *visit, void *arg, bool in_signal)
{
	struct reader reader = {.visit = visit, .arg = arg, .in_signal = in_signal};
	struct trace_ring *first;
	int error = trace_read_begin(in_signal, &first, &reader.lost);

	if (error)
		return error;
	take_all(&reader, first);
	if (reader.tracks == 0 && reader.result == 0)
		reader.result = -ENODATA;
	if (reader.result == 0)
		end_all(&reader);
	rows_clear();
	if (!in_signal)
		trace_read_end();
	return reader.result;
}

int async_trace_read(async_trace_visitor *visit, void *arg)
{
	struct thread_guard guard;

	if (!visit)
		return -EINVAL;
	thread_guard_enter(&guard, "what reads a trace");
	int error = trace_read(visit, arg, false);
	thread_guard_leave(&guard);
	return error;
}
