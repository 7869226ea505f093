/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. What is interrupted here may be the library itself, and what belongs to other threads changes meanwhile. So
 * everything is read with peek(), which takes a wrong pointer for an error, and every walk has an end: a list that was
 * cut or that leads in a circle costs some tasks.
 */
#include <async/dump.h>

#include <errno.h>
#include <unistd.h>

#include "base/fault.h"
#include "core/loop.h"
#include "core/registry.h"
#include "core/task.h"
#include "introspect/locate.h"
#include "introspect/peek.h"
#include "introspect/safe_text.h"
#include "reactor/op.h"

/* More loops than a process has. */
#define LOOPS_MAX 100000

struct dump {
	int fd;
	struct safe_text text;
	intptr_t tasks;
	int error;
	async_time now;
	const struct async_loop *loop;
	struct task *running;
	async_time loop_now;
	/* Tasks that were created in the same place often follow one another. */
	const void *creator;
	char where[300];
	char buffer[1024];
};

static void flush(struct dump *dump)
{
	size_t at = 0;

	while (!dump->error && at < dump->text.length) {
		ssize_t written = SYS("write", write(dump->fd, dump->buffer + at, dump->text.length - at));

		if (written < 0 && written != -EINTR)
			dump->error = (int)written;
		at += written > 0 ? (size_t)written : 0;
	}
	dump->text.length = 0;
}

/* "Task-7", or "Task-7 (worker)". False if this is no task. */
static bool add_task_name(struct dump *dump, const struct task *task)
{
	char name[ASYNC_TASK_NAME_MAX];
	const char *given;
	uint64_t id;

	if (!PEEK(&id, &task->id) || !PEEK(&given, &task->name))
		return false;
	text_add(&dump->text, "Task-");
	text_add_number(&dump->text, id);
	if (!given || !peek_string(name, given, sizeof(name)))
		return true;
	text_add(&dump->text, " (");
	text_add_name(&dump->text, name);
	text_add(&dump->text, ")");
	return true;
}

static void add_future(struct dump *dump, const async_future *future)
{
	struct future_class class;
	char name[64];
	const struct future_class *which;

	if (!PEEK(&which, &future->class) || !PEEK(&class, which)) {
		text_add(&dump->text, "a future");
		return;
	}
	if (class.is_task && add_task_name(dump, (const struct task *)future))
		return;
	text_add(&dump->text, "a ");
	text_add(&dump->text, peek_string(name, class.name, sizeof(name)) ? name : "future");
}

static void add_time_left(struct dump *dump, const struct task *task)
{
	const struct heap_slot *slots;
	uint32_t index;
	int64_t when;

	if (!PEEK(&index, &task->timer.node.index) || index == HEAP_NOWHERE ||
	    !PEEK(&slots, &dump->loop->timers.slots) || !PEEK(&when, &slots[index].key))
		return;
	text_add(&dump->text, ", ");
	text_add_seconds(&dump->text, when - dump->loop_now);
	text_add(&dump->text, " left");
}

static void add_descriptor(struct dump *dump, const int *address)
{
	int fd;

	if (!PEEK(&fd, address) || fd < 0)
		return;
	text_add(&dump->text, " on descriptor ");
	text_add_number(&dump->text, (uint64_t)fd);
}

static void add_holder(struct dump *dump, const uint64_t *address)
{
	uint64_t id;

	if (!PEEK(&id, address) || id == 0)
		return;
	text_add(&dump->text, " that Task-");
	text_add_number(&dump->text, id);
	text_add(&dump->text, " holds");
}

static void add_wait(struct dump *dump, const struct task *task, const struct task *copy)
{
	struct wait_class class;
	char name[64];

	text_add(&dump->text, "waits for ");
	if (!PEEK(&class, copy->wait_class)) {
		text_add(&dump->text, "?");
		return;
	}
	if (wait_forwards(&class)) {
		add_future(dump, copy->wait_object);
		return;
	}
	text_add(&dump->text, peek_string(name, class.name, sizeof(name)) ? name : "?");
	add_time_left(dump, task);
	const char *detail = (const char *)copy->wait_object + class.detail;
	if (class.on == ASYNC_LAYOUT_ON_OPERATION)
		add_descriptor(dump, &((const struct op *)(const void *)detail)->fd);
	else if (class.on == ASYNC_LAYOUT_ON_DESCRIPTOR)
		add_descriptor(dump, (const int *)(const void *)detail);
	else if (class.on == ASYNC_LAYOUT_ON_LOCK)
		add_holder(dump, (const uint64_t *)(const void *)detail);
}

/* When its state began: from its accounts if they are kept, else a waiting task's is the time of the service before. */
static async_time state_began(struct dump *dump, const struct task *task, const struct task *copy)
{
	struct stack_header accounts;
	uint8_t observed;

	if (copy->state == TASK_CREATED || (copy->state == TASK_ACTIVE && task != dump->running))
		return 0;
	if (PEEK(&observed, &dump->loop->observed) && (observed & OBSERVE_ACCOUNTS) && PEEK(&accounts, copy->stack))
		return accounts.since;
	return copy->state == TASK_PARKED ? copy->word : 0;
}

static void add_creator(struct dump *dump, const void *creator)
{
	if (creator != dump->creator) {
		dump->creator = creator;
		/* The call is before where it returns to. */
		locate_code((const char *)creator - 1, dump->where, sizeof(dump->where));
	}
	text_add(&dump->text, ", created at ");
	text_add(&dump->text, dump->where);
}

static void dump_task(struct dump *dump, const struct task *task)
{
	struct task copy;

	/* Those that were never handed out are zero; those that are free have no reference. */
	if (!PEEK(&copy, task) || copy.future.refs == 0 || copy.state == TASK_ENDED)
		return;
	text_add(&dump->text, "  ");
	if (!add_task_name(dump, task))
		return;
	text_add(&dump->text, ": ");
	if (copy.state == TASK_PARKED)
		add_wait(dump, task, &copy);
	else if (copy.state == TASK_CREATED)
		text_add(&dump->text, "has not begun");
	else
		text_add(&dump->text, task == dump->running ? "runs" : "is ready");
	async_time began = state_began(dump, task, &copy);
	if (began > 0) {
		text_add(&dump->text, ", since ");
		text_add_seconds(&dump->text, dump->now - began);
	}
	add_creator(dump, copy.creator);
	text_add(&dump->text, "\n");
	dump->tasks++;
	flush(dump);
}

static void dump_chunk(struct dump *dump, const struct slab_chunk *chunk, const struct slab *slab)
{
	struct slab_chunk head;

	if ((uintptr_t)chunk % SLAB_CHUNK_SIZE != 0 || !PEEK(&head, chunk))
		return;
	for (uint32_t i = 0; i < head.fresh && i < slab->capacity && !dump->error; i++)
		dump_task(dump, (const struct task *)(const void *)(chunk->objects + slab->object_size * i));
}

static void dump_chunks(struct dump *dump, const struct list *chunks, const struct slab *slab)
{
	const struct list *node = chunks;

	for (size_t i = 0; i <= slab->chunks && !dump->error; i++) {
		if (!PEEK(&node, &node->next) || node == chunks)
			return;
		dump_chunk(dump, list_entry((struct list *)(uintptr_t)node, struct slab_chunk, link), slab);
	}
}

static void add_loop(struct dump *dump, const struct async_loop *loop)
{
	enum async_clock clock = ASYNC_CLOCK_REAL;
	size_t tasks = 0, timers = 0, jobs = 0;
	bool running = false;
	pid_t thread = 0;

	(void)!(PEEK(&running, (const bool *)&loop->running) && PEEK(&thread, &loop->thread) &&
		PEEK(&tasks, &loop->tasks) && PEEK(&jobs, &loop->jobs) && PEEK(&clock, &loop->options.clock));
	uint32_t count = 0;
	timers = PEEK(&count, &loop->timers.count) ? count : 0;
	dump->loop = loop;
	dump->running = NULL;
	if (running && !PEEK(&dump->running, &loop->current))
		dump->running = NULL;
	dump->loop_now = dump->now;
	if (clock == ASYNC_CLOCK_VIRTUAL && !PEEK(&dump->loop_now, &loop->now))
		dump->loop_now = 0;
	text_add(&dump->text, running ? "async: loop that thread " : "async: loop that does not run, of thread ");
	text_add_number(&dump->text, (uint64_t)thread);
	text_add(&dump->text, running ? " runs: " : ": ");
	text_add_number(&dump->text, tasks);
	text_add(&dump->text, tasks == 1 ? " task, " : " tasks, ");
	text_add_number(&dump->text, timers);
	text_add(&dump->text, timers == 1 ? " timer, " : " timers, ");
	text_add_number(&dump->text, jobs);
	text_add(&dump->text, jobs == 1 ? " job\n" : " jobs\n");
	flush(dump);
}

static void dump_loop(struct dump *dump, const struct async_loop *loop)
{
	struct slab slab;

	add_loop(dump, loop);
	if (!PEEK(&slab, &loop->task_slab))
		return;
	dump_chunks(dump, &loop->task_slab.full, &slab);
	dump_chunks(dump, &loop->task_slab.partial, &slab);
}

intptr_t async_dump_tasks(int fd)
{
	struct dump dump = {.fd = fd, .now = clock_now()};
	const struct async_loop *loop;
	int saved = errno, loops = 0;

	text_init(&dump.text, dump.buffer, sizeof(dump.buffer));
	for (bool more = PEEK(&loop, &registry_loops); more && loop && loops < LOOPS_MAX && !dump.error; loops++) {
		dump_loop(&dump, loop);
		more = PEEK(&loop, &loop->next_loop);
	}
	if (loops == 0) {
		text_add(&dump.text, "async: there is no loop\n");
		flush(&dump);
	}
	errno = saved;
	return dump.error ? dump.error : dump.tasks;
}
