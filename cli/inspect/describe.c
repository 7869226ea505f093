/* SPDX-License-Identifier: MIT */
#include "inspect/describe.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <async.h>

#include "inspect/children.h"
#include "output.h"

#define CASES_MAX 6
#define SIGNALS_MAX 8

/* Text that is cut where it is full. */
struct text {
	char *buffer;
	size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *text, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	int length = vsnprintf(text->buffer + text->used, text->size - text->used, format, list);
	va_end(list);
	text->used += length > 0 ? (size_t)length : 0;
	if (text->used >= text->size)
		text->used = text->size - 1;
}

const char *describe_state(const struct task_view *task)
{
	static const char *const states[] = {"new", "ready", "running", "waiting"};

	return states[task->state];
}

const char *describe_time(int64_t ns, char *buffer, size_t size)
{
	double seconds = (double)ns / (double)ASYNC_S;

	if (ns < ASYNC_MS)
		snprintf(buffer, size, "%lld us", (long long)(ns / ASYNC_US));
	else if (ns < ASYNC_S)
		snprintf(buffer, size, "%lld ms", (long long)(ns / ASYNC_MS));
	else if (ns < 120 * ASYNC_S)
		snprintf(buffer, size, "%.1f s", seconds);
	else if (ns < 7200 * ASYNC_S)
		snprintf(buffer, size, "%.0f min", seconds / 60);
	else
		snprintf(buffer, size, "%.1f h", seconds / 3600);
	return buffer;
}

static int64_t loop_time(const struct loop_view *loop)
{
	return loop->virtual_clock ? loop->virtual_now : loop->read_at;
}

static void say_left(struct text *text, const struct loop_view *loop, int64_t deadline)
{
	int64_t left = deadline - loop_time(loop);
	char time[24];

	if (left <= 0)
		say(text, "due");
	else
		say(text, "%s left%s", describe_time(left, time, sizeof(time)),
		    loop->virtual_clock ? " on the virtual clock" : "");
}

static void say_task(struct text *text, const struct task_view *task)
{
	char name[ASYNC_TASK_NAME_MAX];

	say(text, "task %llu", (unsigned long long)task->id);
	if (task->name)
		say(text, " (%s)", task_view_name(task, name, sizeof(name)));
}

static void say_descriptor(struct text *text, const struct snapshot *snapshot, int fd)
{
	char path[64], to[100];

	say(text, "fd %d", fd);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", snapshot->target->pid, fd);
	ssize_t length = readlink(path, to, sizeof(to) - 1);
	if (length <= 0)
		return;
	to[length] = '\0';
	for (char *c = to; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	say(text, " (%s)", to);
}

static void say_future(struct text *text, const struct snapshot *snapshot, struct loop_view *loop, uint64_t address)
{
	struct future_view future;

	if (!future_view_get(snapshot, loop, address, &future))
		say(text, "a future 0x%llx", (unsigned long long)address);
	else if (future.task)
		say_task(text, future.task);
	else
		say(text, "a %s 0x%llx", future.class->name, (unsigned long long)address);
	if (!future.task && future.class && future.class->children.kind)
		say(text, " of %zu pending", children_count(snapshot, loop, future.class, address));
}

static void say_operation(struct text *text, const struct snapshot *snapshot, const struct task_view *task,
			  uint64_t op)
{
	const struct async_layout *layout = task->loop->layout;
	int fd = (int)TARGET_U32(snapshot->target, op, layout->op_fd);
	unsigned events = TARGET_U16(snapshot->target, op, layout->op_events);

	if (TARGET_U8(snapshot->target, op, layout->op_code) == 0) {
		say(text, "%s%s%s ", events & (POLLIN | POLLPRI) ? "reading" : "",
		    events & (POLLIN | POLLPRI) && events & POLLOUT ? " or " : "", events & POLLOUT ? "writing" : "");
		say_descriptor(text, snapshot, fd);
		return;
	}
	say(text, "%s", task->wait->name);
	if (fd >= 0) {
		say(text, ", ");
		say_descriptor(text, snapshot, fd);
	}
}

static void say_lock(struct text *text, const struct snapshot *snapshot, const struct task_view *task, uint64_t holder)
{
	uint64_t id = TARGET_U64(snapshot->target, holder, 0);
	const struct task_view *owner = snapshot_find_id(snapshot, task->loop, id);

	say(text, "%s 0x%llx, held by ", task->wait->name, (unsigned long long)task->wait_object);
	if (owner)
		say_task(text, owner);
	else
		say(text, "task %llu, which has ended", (unsigned long long)id);
}

static void say_case(struct text *text, const struct snapshot *snapshot, const struct task_view *task, uint64_t which)
{
	const struct async_layout *layout = task->loop->layout;
	const struct target *target = snapshot->target;
	uint32_t kind = TARGET_U32(target, which, layout->case_kind);

	switch ((enum async_select_kind)kind) {
	case ASYNC_SELECT_GET:
	case ASYNC_SELECT_PUT:
		say(text, "%s 0x%llx", kind == ASYNC_SELECT_GET ? "an item of queue" : "room in queue",
		    (unsigned long long)TARGET_U64(target, which, layout->case_queue));
		break;
	case ASYNC_SELECT_FUTURE:
		say_future(text, snapshot, task->loop, TARGET_U64(target, which, task->wait->children.future));
		break;
	case ASYNC_SELECT_POLL:
		say_descriptor(text, snapshot, (int)TARGET_U32(target, which, layout->case_fd));
		break;
	case ASYNC_SELECT_DEADLINE:
		say_left(text, task->loop, (int64_t)TARGET_U64(target, which, layout->case_when));
		break;
	case ASYNC_SELECT_NEVER:
	case ASYNC_SELECT_DEFAULT:
		say(text, "nothing");
		break;
	}
}

static void say_select(struct text *text, const struct snapshot *snapshot, const struct task_view *task)
{
	const struct async_layout_children *children = &task->wait->children;
	uint64_t cases = TARGET_U64(snapshot->target, task->wait_object, children->first);
	uint64_t count = TARGET_U64(snapshot->target, task->wait_object, children->count);

	say(text, "one of: ");
	for (uint64_t i = 0; i < count && i < CASES_MAX; i++) {
		say(text, "%s", i ? "; " : "");
		say_case(text, snapshot, task, cases + i * children->stride);
	}
	if (count > CASES_MAX)
		say(text, "; …");
}

static void say_signals(struct text *text, const struct snapshot *snapshot, uint64_t detail)
{
	uint64_t numbers = TARGET_U64(snapshot->target, detail, 0), count = TARGET_U64(snapshot->target, detail, 8);

	for (uint64_t i = 0; i < count && i < SIGNALS_MAX; i++) {
		int number = (int)TARGET_U32(snapshot->target, numbers + i * sizeof(int), 0);
		const char *name = sigabbrev_np(number);

		if (name)
			say(text, " SIG%s", name);
		else
			say(text, " %d", number);
	}
}

static void say_job(struct text *text, const struct snapshot *snapshot, uint64_t job, const struct async_layout *layout)
{
	static const char *const states[] = {"not queued", "queued", "running", "done"};
	uint32_t state = TARGET_U32(snapshot->target, job, layout->job_state);

	say(text, " (%s)", states[state < 3 ? state : 3]);
}

static void say_wait(struct text *text, const struct snapshot *snapshot, const struct task_view *task)
{
	struct loop_view *loop = task->loop;
	uint64_t detail = task->wait_object + task->wait->detail;

	switch ((enum async_layout_wait)task->wait->on) {
	case ASYNC_LAYOUT_ON_TIME:
		say(text, "sleep, ");
		say_left(text, loop, task->deadline);
		return;
	case ASYNC_LAYOUT_ON_FUTURE:
		say_future(text, snapshot, loop, task->wait_object);
		return;
	case ASYNC_LAYOUT_ON_OPERATION:
		say_operation(text, snapshot, task, detail);
		return;
	case ASYNC_LAYOUT_ON_LOCK:
		say_lock(text, snapshot, task, detail);
		return;
	case ASYNC_LAYOUT_ON_SELECT:
		say_select(text, snapshot, task);
		return;
	default:
		break;
	}
	say(text, "%s", task->wait->name);
	switch ((enum async_layout_wait)task->wait->on) {
	case ASYNC_LAYOUT_ON_FUTURES:
	case ASYNC_LAYOUT_ON_ANY:
	case ASYNC_LAYOUT_ON_GROUP:
		say(text, ", %zu pending", children_count(snapshot, loop, task->wait, task->wait_object));
		break;
	case ASYNC_LAYOUT_ON_DESCRIPTOR:
		say(text, " on ");
		say_descriptor(text, snapshot, (int)TARGET_U32(snapshot->target, detail, 0));
		break;
	case ASYNC_LAYOUT_ON_OBJECT:
		say(text, " 0x%llx", (unsigned long long)task->wait_object);
		break;
	case ASYNC_LAYOUT_ON_JOB:
		say_job(text, snapshot, detail, loop->layout);
		break;
	case ASYNC_LAYOUT_ON_PROCESS:
		say(text, " %u", TARGET_U32(snapshot->target, detail, 0));
		break;
	case ASYNC_LAYOUT_ON_SIGNAL:
		say_signals(text, snapshot, detail);
		break;
	default:
		break;
	}
}

const char *describe_wait(const struct snapshot *snapshot, const struct task_view *task, char *buffer, size_t size)
{
	struct text text = {buffer, size, 0};

	*buffer = '\0';
	if (task->state == TASK_VIEW_WAITING && task->wait)
		say_wait(&text, snapshot, task);
	else if (task->state == TASK_VIEW_WAITING)
		say(&text, "?");
	else if (task->state != TASK_VIEW_RUNNING)
		say(&text, "its turn");
	return buffer;
}

static const char *kind_of(const struct task_view *task)
{
	static const char *const kinds[] = {
		[ASYNC_LAYOUT_ON_OTHER] = "other",
		[ASYNC_LAYOUT_ON_TIME] = "time",
		[ASYNC_LAYOUT_ON_FUTURE] = "future",
		[ASYNC_LAYOUT_ON_FUTURES] = "futures",
		[ASYNC_LAYOUT_ON_ANY] = "any",
		[ASYNC_LAYOUT_ON_GROUP] = "group",
		[ASYNC_LAYOUT_ON_SELECT] = "select",
		[ASYNC_LAYOUT_ON_OPERATION] = "operation",
		[ASYNC_LAYOUT_ON_DESCRIPTOR] = "descriptor",
		[ASYNC_LAYOUT_ON_LOCK] = "lock",
		[ASYNC_LAYOUT_ON_OBJECT] = "object",
		[ASYNC_LAYOUT_ON_JOB] = "job",
		[ASYNC_LAYOUT_ON_PROCESS] = "process",
		[ASYNC_LAYOUT_ON_SIGNAL] = "signal",
	};

	return task->wait->on < sizeof(kinds) / sizeof(kinds[0]) ? kinds[task->wait->on] : "other";
}

void describe_wait_json(const struct snapshot *snapshot, const struct task_view *task, struct json *json)
{
	const struct async_layout *layout = task->loop->layout;
	uint64_t detail = task->wait_object + (task->wait ? task->wait->detail : 0);
	char text[WAIT_TEXT_MAX];

	json_name(json, "waits_for");
	if (task->state == TASK_VIEW_RUNNING)
		json_null(json);
	else
		json_string(json, describe_wait(snapshot, task, text, sizeof(text)));
	if (task->state != TASK_VIEW_WAITING || !task->wait)
		return;
	json_name(json, "on");
	json_string(json, kind_of(task));
	if (task->wait_object) {
		snprintf(text, sizeof(text), "0x%llx", (unsigned long long)task->wait_object);
		json_name(json, "object");
		json_string(json, text);
	}
	if (task->wait->on == ASYNC_LAYOUT_ON_TIME) {
		json_name(json, "left_s");
		json_real(json, (double)(task->deadline - loop_time(task->loop)) / (double)ASYNC_S, 6);
	} else if (task->wait->on == ASYNC_LAYOUT_ON_OPERATION || task->wait->on == ASYNC_LAYOUT_ON_DESCRIPTOR) {
		uint32_t at = task->wait->on == ASYNC_LAYOUT_ON_OPERATION ? layout->op_fd : 0;
		int fd = (int)TARGET_U32(snapshot->target, detail, at);

		json_name(json, "fd");
		json_real(json, fd, 0);
	} else if (task->wait->on == ASYNC_LAYOUT_ON_LOCK) {
		json_name(json, "holder");
		json_uint(json, TARGET_U64(snapshot->target, detail, 0));
	}
}
