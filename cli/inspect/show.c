/* SPDX-License-Identifier: MIT */
#include "inspect/show.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <async.h>

#include "command.h"

/* Bits of an entry of /proc/PID/pagemap: the page is in memory, or swapped out. */
#define PAGEMAP_USED (UINT64_C(3) << 62)
#define PAGEMAP_ENTRIES 512

int view_open(struct view *view, int argc, char **argv, const char *command, bool stacks)
{
	char path[40];

	*view = (struct view){.pagemap = -1};
	if (argc != 1) {
		if (argc == 0)
			complain_line("the id of the process is missing; expected: asyncctl %s PID", command);
		else
			complain_line("argument 2: '%s' is not expected; %s takes one process", argv[1], command);
		return STATUS_USAGE;
	}
	int status = target_open(&view->target, argv[0]);
	if (status != STATUS_DONE)
		return status;
	if (!snapshot_take(&view->snapshot, &view->target))
		return STATUS_FAILED;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", view->target.pid);
	view->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (stacks)
		view->stacks = stacks_open(&view->target);
	return STATUS_DONE;
}

void view_close(struct view *view)
{
	stacks_close(view->stacks);
	snapshot_free(&view->snapshot);
	if (view->pagemap >= 0)
		close(view->pagemap);
}

static struct thread_view thread_of(const struct view *view, const struct loop_view *loop)
{
	return thread_view_get(view->target.pid, loop->thread);
}

static const char *loop_state(const struct view *view, const struct loop_view *loop, char *buffer, size_t size)
{
	struct thread_view thread = thread_of(view, loop);
	const char *stopped = thread.state == 'T' || thread.state == 't' ? ", stopped" : "";

	snprintf(buffer, size, "%s%s", !loop->running ? "not running" : loop->asleep ? "asleep" : "running", stopped);
	return buffer;
}

void show_loop(const struct view *view, const struct loop_view *loop)
{
	char state[40];

	output_printf("loop 0x%llx: thread %d, %s, %s; %zu tasks, %llu timers, %llu operations, %llu jobs; "
		      "%llu iterations, %llu switches, %llu polls\n",
		      (unsigned long long)loop->address, loop->thread, loop->backend,
		      loop_state(view, loop, state, sizeof(state)), loop->count, (unsigned long long)loop->timers,
		      (unsigned long long)loop->operations, (unsigned long long)loop->jobs,
		      (unsigned long long)loop->iterations, (unsigned long long)loop->switches,
		      (unsigned long long)loop->polls);
}

void show_torn(const struct view *view)
{
	bool torn = false;

	for (size_t i = 0; i < view->snapshot.loops_count; i++)
		torn |= view->snapshot.loops[i]->torn;
	if (torn)
		note_line("asyncctl: the loop is running: this picture may be torn");
}

const char *show_wait(const struct view *view, const struct task_view *task, char *buffer, size_t size)
{
	if (task->state != TASK_VIEW_RUNNING)
		return describe_wait(&view->snapshot, task, buffer, size);
	struct thread_view thread = thread_of(view, task->loop);
	return thread_view_describe(&thread, buffer, size);
}

/* Stacks */

/* The lowest page of a slot that was ever touched. 0: unknown. */
static uint64_t lowest_page(const struct view *view, uint64_t low, uint64_t high)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), entries[PAGEMAP_ENTRIES];

	while (low < high) {
		uint64_t want = (high - low) / page;
		size_t bytes = (want < PAGEMAP_ENTRIES ? want : PAGEMAP_ENTRIES) * sizeof(entries[0]);
		ssize_t got = pread(view->pagemap, entries, bytes, (off_t)(low / page * sizeof(entries[0])));

		if (got < (ssize_t)sizeof(entries[0]))
			return 0;
		for (size_t i = 0; i < (size_t)got / sizeof(entries[0]); i++, low += page)
			if (entries[i] & PAGEMAP_USED)
				return low;
	}
	return 0;
}

/* The lowest word that is not painted any more. */
static uint64_t lowest_word(const struct view *view, const struct task_view *task, uint64_t low, uint64_t high)
{
	uint64_t words[1024];

	for (; low < high; low += sizeof(words)) {
		size_t got = target_read_some(&view->target, low, words, sizeof(words));

		if (got < sizeof(words))
			return 0;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (words[i] != task->loop->layout->stack_paint)
				return low + i * sizeof(words[0]);
	}
	return 0;
}

struct stack_use show_stack_use(const struct view *view, const struct task_view *task)
{
	uint64_t size = (uint64_t)task->loop->layout->stack_least << (task->stack_class & 31);
	uint64_t low = task->stack & ~(size - 1), end = low + size, top = task->stack, lowest = 0;
	uint64_t sp = task->sp & ~UINT64_C(1);
	struct stack_use use = {-1, -1, (int64_t)size};

	if (task->state == TASK_VIEW_NEW || !task->stack)
		return use;
	if (task->state == TASK_VIEW_RUNNING)
		sp = thread_of(view, task->loop).sp;
	if (sp > low && sp < top)
		use.used = (int64_t)(top - sp);
	/* The guard below is no memory of the stack's. */
	low += (uint64_t)sysconf(_SC_PAGESIZE);
	if (task->loop->measures)
		lowest = lowest_word(view, task, low, top);
	else if (view->pagemap >= 0)
		lowest = lowest_page(view, low, end);
	if (lowest)
		use.high = (int64_t)(top - lowest);
	return use;
}

struct frames {
	const struct view *view;
	const char *indent;
	struct json *json; /* NULL: text */
};

static void show_frame(const struct frame_view *frame, unsigned level, void *arg)
{
	const struct frames *frames = arg;

	output_printf("%s#%-2u 0x%012llx %s", frames->indent, level, (unsigned long long)frame->pc,
		      frame->function ? frame->function : "?");
	if (frame->file)
		output_printf(" at %s:%d\n", frame->file, frame->line);
	else if (frame->object)
		output_printf(" (%s+0x%llx)\n", frame->object, (unsigned long long)frame->offset);
	else
		output_printf("\n");
}

void show_frames(const struct view *view, const struct task_view *task, const char *indent)
{
	struct frames frames = {.view = view, .indent = indent};
	struct thread_view thread = thread_of(view, task->loop);
	const char *why = stacks_walk(view->stacks, &view->snapshot, task, &thread, show_frame, &frames);

	if (why)
		output_printf("%s(%s)\n", indent, why);
}

/* JSON */

static void json_address(struct json *json, const char *name, uint64_t address)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address);
	json_name(json, name);
	json_string(json, text);
}

static void json_count(struct json *json, const char *name, uint64_t value)
{
	json_name(json, name);
	json_uint(json, value);
}

static void json_seconds(struct json *json, const char *name, int64_t ns, bool known)
{
	json_name(json, name);
	if (known)
		json_real(json, (double)ns / (double)ASYNC_S, 9);
	else
		json_null(json);
}

static void json_bytes(struct json *json, const char *name, int64_t bytes)
{
	json_name(json, name);
	if (bytes >= 0)
		json_uint(json, (uint64_t)bytes);
	else
		json_null(json);
}

static void json_frame(const struct frame_view *frame, unsigned level, void *arg)
{
	struct json *json = ((struct frames *)arg)->json;

	(void)level;
	json_open(json, '{');
	json_address(json, "pc", frame->pc);
	if (frame->function) {
		json_name(json, "function");
		json_string(json, frame->function);
	}
	if (frame->file) {
		json_name(json, "file");
		json_string(json, frame->file);
		json_count(json, "line", (uint64_t)frame->line);
	}
	if (frame->object) {
		json_name(json, "object");
		json_string(json, frame->object);
		json_address(json, "offset", frame->offset);
	}
	json_close(json, '}');
}

static void json_frames(struct view *view, const struct task_view *task)
{
	struct frames frames = {.view = view, .json = &view->json};
	struct thread_view thread = thread_of(view, task->loop);

	json_name(&view->json, "stack_frames");
	json_open(&view->json, '[');
	const char *why = stacks_walk(view->stacks, &view->snapshot, task, &thread, json_frame, &frames);
	json_close(&view->json, ']');
	if (why) {
		json_name(&view->json, "stack_frames_note");
		json_string(&view->json, why);
	}
}

static void json_task(struct view *view, const struct task_view *task)
{
	struct json *json = &view->json;
	struct stack_use stack = show_stack_use(view, task);
	char name[ASYNC_TASK_NAME_MAX], text[WAIT_TEXT_MAX];

	json_count(json, "task", task->id);
	json_name(json, "name");
	json_string(json, task_view_name(task, name, sizeof(name)));
	json_name(json, "state");
	json_string(json, describe_state(task));
	describe_wait_json(&view->snapshot, task, json);
	if (task->state == TASK_VIEW_RUNNING) {
		json_name(json, "thread");
		json_string(json, show_wait(view, task, text, sizeof(text)));
	}
	json_seconds(json, "since_s", task->loop->read_at - task->since, task->since != 0);
	json_seconds(json, "cpu_s", task->ran, task->ran >= 0);
	json_name(json, "switches");
	if (task->ran >= 0)
		json_uint(json, task->switches);
	else
		json_null(json);
	json_bytes(json, "stack_used", stack.used);
	json_bytes(json, "stack_high", stack.high);
	json_bytes(json, "stack_size", stack.size);
	if (view->stacks)
		json_frames(view, task);
}

static void json_loop(struct view *view, const struct loop_view *loop)
{
	struct json *json = &view->json;
	char text[40];

	json_address(json, "address", loop->address);
	json_count(json, "thread", (uint64_t)loop->thread);
	json_name(json, "backend");
	json_string(json, loop->backend);
	json_name(json, "switch");
	json_string(json, !(loop->switch_kind & 1) ? "asm" : "ucontext");
	json_name(json, "state");
	json_string(json, loop_state(view, loop, text, sizeof(text)));
	json_name(json, "torn");
	json_bool(json, loop->torn);
	json_count(json, "iterations", loop->iterations);
	json_count(json, "switches", loop->switches);
	json_count(json, "polls", loop->polls);
	json_count(json, "tasks_created", loop->created);
	json_count(json, "timers", loop->timers);
	json_count(json, "operations", loop->operations);
	json_count(json, "jobs", loop->jobs);
}

void json_begin(struct view *view)
{
	json_open(&view->json, '{');
	json_count(&view->json, "pid", (uint64_t)view->target.pid);
	json_name(&view->json, "library");
	json_string(&view->json, view->target.layouts[0].library);
	json_count(&view->json, "layout", view->target.layouts[0].version);
}

void json_loops(struct view *view, void (*more)(struct view *view, const struct task_view *task, void *arg), void *arg)
{
	const struct snapshot *snapshot = &view->snapshot;
	struct json *json = &view->json;

	json_name(json, "loops");
	json_open(json, '[');
	for (size_t i = 0; i < snapshot->loops_count; i++) {
		const struct loop_view *loop = snapshot->loops[i];

		json_open(json, '{');
		json_loop(view, loop);
		json_name(json, "tasks");
		json_open(json, '[');
		for (size_t k = 0; k < loop->count; k++) {
			json_open(json, '{');
			json_task(view, &snapshot->tasks[loop->first + k]);
			if (more)
				more(view, &snapshot->tasks[loop->first + k], arg);
			json_close(json, '}');
		}
		json_close(json, ']');
		json_close(json, '}');
	}
	json_close(json, ']');
}

void json_end(struct view *view)
{
	json_close(&view->json, '}');
	output_printf("\n");
}
