/* SPDX-License-Identifier: MIT */
/*
 * The JSON of Chrome's trace events. Each loop is a "process" of its own, and so are the workers together; each task
 * is a "thread" of its loop. A task's spans follow one another without overlapping, so what it does at a moment is one
 * slice.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "base/thread_guard.h"
#include "introspect/safe_text.h"
#include "introspect/trace.h"

/* One reader at a time has the buffer. */
static struct {
	int fd;
	struct safe_text text;
	uint64_t flows;
	unsigned told; /* of the loops up to this one the name was told; the workers' if `workers` */
	bool workers;
	bool separate;
	async_time first;
	char memory[8192];
} out;

static int flush(void)
{
	size_t done = 0;

	while (done < out.text.length) {
		long written = SYS("write", write(out.fd, out.memory + done, out.text.length - done));

		if (written < 0 && written != -EINTR)
			return (int)written;
		if (written > 0)
			done += (size_t)written;
	}
	text_init(&out.text, out.memory, sizeof(out.memory));
	return 0;
}

static void put(const char *text)
{
	text_add(&out.text, text);
}

static void put_number(uint64_t number)
{
	text_add_number(&out.text, number);
}

/* Microseconds with all digits. */
static void put_time(async_time time)
{
	char digits[5] = {'.', (char)('0' + time / 100 % 10), (char)('0' + time / 10 % 10), (char)('0' + time % 10), 0};

	put_number((uint64_t)time / 1000);
	put(digits);
}

/* The length of the UTF-8 sequence at `text`; 0 if it is none. */
static int sequence(const unsigned char *text)
{
	int length = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;

	if (text[0] > 0xf4)
		return 0;
	for (int i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] >= 0xa0) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] >= 0x90))
		return 0;
	return length;
}

static void put_string(const char *text)
{
	put("\"");
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		char piece[8] = "";
		int length = sequence(p);

		if (*p == '"' || *p == '\\') {
			piece[0] = '\\';
			piece[1] = (char)*p;
		} else if (*p < 0x20) {
			memcpy(piece, "\\u00", 4);
			piece[4] = "01"[*p >> 4];
			piece[5] = "0123456789abcdef"[*p & 15];
		} else if (length) {
			memcpy(piece, p, (size_t)length);
		} else {
			memcpy(piece, "\\ufffd", 6);
		}
		put(piece);
		p += length ? length : 1;
	}
	put("\"");
}

/* The numbers of "processes": 1 has the workers. */
static void begin(const char *phase, unsigned loop, uint32_t track)
{
	put(out.separate ? ",\n{\"ph\":\"" : "{\"ph\":\"");
	out.separate = true;
	put(phase);
	put("\",\"pid\":");
	put_number(loop + 1);
	put(",\"tid\":");
	put_number(track);
}

static void put_at(async_time time)
{
	put(",\"ts\":");
	put_time(time);
}

static void put_meta(unsigned loop, uint32_t track, const char *what, const char *name, uint64_t place)
{
	begin("M", loop, track);
	put(",\"name\":\"");
	put(what);
	put("_name\",\"args\":{\"name\":");
	put_string(name);
	put("}}");
	begin("M", loop, track);
	put(",\"name\":\"");
	put(what);
	put("_sort_index\",\"args\":{\"sort_index\":");
	put_number(place);
	put("}}");
}

static void put_group(unsigned loop)
{
	char name[160];
	struct safe_text text;

	if (loop ? loop <= out.told : out.workers)
		return;
	text_init(&text, name, sizeof(name));
	text_add(&text, loop ? "loop " : "workers");
	if (loop)
		text_add_number(&text, loop);
	text_add(&text, " of ");
	text_add(&text, program_invocation_short_name);
	text_add(&text, " (");
	text_add_number(&text, (uint64_t)getpid());
	text_add(&text, ")");
	if (loop)
		out.told = loop;
	else
		out.workers = true;
	/* The workers come last. */
	put_meta(loop, 0, "process", name, loop ? loop : 100000);
}

static void put_span(const struct async_trace_record *record)
{
	static const struct {
		const char *name, *colour;
	} states[] = {
		[ASYNC_TRACE_RUNNING] = {"running", "thread_state_running"},
		[ASYNC_TRACE_READY] = {"ready", "thread_state_runnable"},
		[ASYNC_TRACE_PARKED] = {"parked", "thread_state_sleeping"},
		[ASYNC_TRACE_CALLBACK] = {"callback", "thread_state_iowait"},
	};
	struct safe_text text;
	char name[256];

	begin("X", record->loop, record->track);
	put_at(record->begin);
	put(",\"dur\":");
	put_time(record->end - record->begin);
	put(",\"cat\":\"");
	put(states[record->state].name);
	put("\",\"cname\":\"");
	put(states[record->state].colour);
	put("\",\"name\":");
	if (record->state == ASYNC_TRACE_PARKED) {
		text_init(&text, name, sizeof(name));
		text_add(&text, "waits for ");
		text_add(&text, record->name ? record->name : "something");
		put_string(name);
	} else {
		put_string(record->name ? record->name : states[record->state].name);
	}
	put("}");
}

static void put_flow(const struct async_trace_record *record)
{
	out.flows++;
	for (int end = 0; end < 2; end++) {
		begin(end ? "f\",\"bp\":\"e" : "s", end ? record->loop : record->other_loop,
		      end ? record->track : record->other);
		put_at(end ? record->end : record->begin);
		put(",\"id\":");
		put_number(out.flows);
		put(",\"cat\":\"flow\",\"name\":");
		put_string(record->name);
		put("}");
	}
}

static void put_counter(const struct async_trace_record *record)
{
	begin("C", record->loop, 0);
	put_at(record->begin);
	put(",\"name\":");
	put_string(record->name);
	put(",\"args\":{\"count\":");
	put_number(record->value);
	put("}}");
}

static void put_lost(const struct async_trace_record *record)
{
	if (record->value > 0) {
		char message[80];
		struct safe_text text;

		text_init(&text, message, sizeof(message));
		text_add_number(&text, record->value);
		text_add(&text, " earlier events were lost: the rings were too small");
		begin("i", 0, 0);
		put_at(out.first);
		put(",\"s\":\"g\",\"name\":");
		put_string(message);
		put("}");
	}
	put("\n],\"otherData\":{\"lost\":");
	put_number(record->value);
	put("}}\n");
}

static void put_record(const struct async_trace_record *record)
{
	if (!out.separate)
		out.first = record->begin;
	switch (record->type) {
	case ASYNC_TRACE_NEW:
		put_group(record->loop);
		put_meta(record->loop, record->track, "thread", record->name, record->track);
		break;
	case ASYNC_TRACE_SPAN:
		put_span(record);
		break;
	case ASYNC_TRACE_FLOW:
		put_flow(record);
		break;
	case ASYNC_TRACE_COUNTER:
		put_group(record->loop);
		put_counter(record);
		break;
	case ASYNC_TRACE_LOST:
		put_lost(record);
		break;
	}
}

struct json_target {
	int fd;
	bool begun;
};

/* The buffer is this reader's from the first record on. */
static int write_record(const struct async_trace_record *record, void *arg)
{
	struct json_target *target = arg;

	if (!target->begun) {
		target->begun = true;
		out.fd = target->fd;
		text_init(&out.text, out.memory, sizeof(out.memory));
		out.flows = out.told = 0;
		out.workers = out.separate = false;
		put("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
	}
	put_record(record);
	/* Half of the buffer is room for what one record can take. */
	bool full = out.text.length > sizeof(out.memory) / 2;
	return full || record->type == ASYNC_TRACE_LOST ? flush() : 0;
}

int trace_write_json(int fd, bool in_signal)
{
	struct json_target target = {.fd = fd};

	return trace_read(write_record, &target, in_signal);
}

int async_trace_write(int fd)
{
	struct thread_guard guard;

	thread_guard_enter(&guard, "the writing of a trace");
	int error = trace_write_json(fd, false);
	thread_guard_leave(&guard);
	return error;
}
