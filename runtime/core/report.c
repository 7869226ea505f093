/* SPDX-License-Identifier: MIT */
/* What a loop says when something went wrong where nobody was waiting. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "context/exceptions.h"
#include "core/loop.h"
#include "core/task.h"
#include "reactor/call.h"

/* Tasks that are named in one message. */
#define NAMED_MAX 32
#define MESSAGE_MAX 8192

static void print(const struct async_error_context *context)
{
	char name[ASYNC_TASK_NAME_MAX + 8] = "";

	if (context->future)
		snprintf(name, sizeof(name), "%s", context->future->class->name);
	if (context->future && context->future->class->is_task)
		task_name(task_of(context->future), name, sizeof(name));
	fprintf(stderr, "async: %s%s%s", name, *name ? " " : "", context->message);
	if (context->error < 0)
		fprintf(stderr, ": %s", strerror((int)-context->error));
	fputc('\n', stderr);
}

void loop_report(struct async_loop *loop, const char *message, async_future *future, intptr_t error)
{
	struct async_error_context context = {sizeof(context), loop, message, future, error};
	async_error_handler *handler = loop ? loop->error_handler : NULL;

	if (!handler || FENCED_VALUE(handler(&context, loop->error_handler_arg)) < 0)
		print(&context);
}

struct task_visit {
	void (*visit)(struct task *task, void *arg);
	void *arg;
};

static void visit_if_alive(void *object, void *arg)
{
	struct task *task = object;
	const struct task_visit *each = arg;

	if (task->future.refs > 0 && task->state != TASK_ENDED)
		each->visit(task, each->arg);
}

void loop_visit_tasks(struct async_loop *loop, void (*visit)(struct task *task, void *arg), void *arg)
{
	struct task_visit each = {visit, arg};

	slab_visit(&loop->task_slab, visit_if_alive, &each);
}

/* A message that grows until it is full. */
struct message {
	char text[MESSAGE_MAX];
	size_t length;
	size_t named, total;
};

static void say(struct message *message, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int length = vsnprintf(message->text + message->length, sizeof(message->text) - message->length, format, args);
	va_end(args);
	message->length += (size_t)length;
	if (message->length >= sizeof(message->text))
		message->length = sizeof(message->text) - 1;
}

static void name_waiting(struct task *task, void *arg)
{
	struct message *message = arg;
	char name[ASYNC_TASK_NAME_MAX], what[ASYNC_TASK_NAME_MAX + 32];

	message->total++;
	if (message->named == NAMED_MAX)
		return;
	say(message, "%s %s waits for %s", message->named++ ? ";" : ":", task_name(task, name, sizeof(name)),
	    task_waits_for(task, what, sizeof(what)));
}

void loop_report_deadlock(struct async_loop *loop)
{
	struct message *message = mem_zalloc(sizeof(*message));

	if (!message) {
		loop_report(loop, "deadlock: nothing can ever wake a task of this loop", NULL, 0);
		return;
	}
	say(message, "deadlock: nothing can ever wake a task of this loop");
	loop_visit_tasks(loop, name_waiting, message);
	if (message->total > message->named)
		say(message, "; and %zu more", message->total - message->named);
	loop_report(loop, message->text, NULL, -EDEADLK);
	mem_free(message);
}

struct leaks {
	async_loop *loop;
	size_t named, total;
};

static void name_leak(void *object, void *arg)
{
	async_future *future = object;
	struct leaks *leaks = arg;

	if (future->refs == 0)
		return;
	if (leaks->total++ < NAMED_MAX)
		loop_report(leaks->loop, "leaked: the loop closes, and a reference was not released", future, 0);
}

void loop_report_leaks(struct async_loop *loop)
{
	struct leaks leaks = {.loop = loop};

	slab_visit(&loop->task_slab, name_leak, &leaks);
	slab_visit(&loop->future_slab, name_leak, &leaks);
	if (leaks.total > NAMED_MAX) {
		char more[80];

		snprintf(more, sizeof(more), "and %zu more leaked", leaks.total - NAMED_MAX);
		loop_report(loop, more, NULL, 0);
	}
}

static const char *locate_bare(const void *address, char *text, size_t size)
{
	snprintf(text, size, "%p", address);
	return text;
}

const char *(*loop_locate_code)(const void *address, char *text, size_t size) = locate_bare;

void loop_leave_behind(struct async_loop *loop, const char *what, async_future *future, async_time since)
{
	char message[512], after[48] = "";

	if (since > 0)
		snprintf(after, sizeof(after), " after %.1f s", (double)(clock_now() - since) / (double)ASYNC_S);
	snprintf(message, sizeof(message), "%s has not ended%s and is left behind", what, after);
	loop_report(loop, message, future, 0);
}

struct operations {
	struct async_loop *loop;
	size_t named;
};

/* What waits for an operation is the best name for it. */
static void name_operation(struct task *task, void *arg)
{
	struct operations *operations = arg;
	char what[320];

	if (task->state != TASK_PARKED || task->wait_class->on != ASYNC_LAYOUT_ON_OPERATION)
		return;
	const struct op *op = (const void *)((const char *)task->wait_object + task->wait_class->detail);
	const struct call *call = op->code == OP_CALL ? op->buffer : NULL;
	if (op->state != OP_PENDING)
		return;
	if (call && call->path && *call->path)
		snprintf(what, sizeof(what), "waits for %s of \"%s\", which", call_name(call), call->path);
	else
		snprintf(what, sizeof(what), "waits for %s on descriptor %d, which",
			 call ? call_name(call) : task->wait_class->name, op->fd);
	operations->named++;
	loop_leave_behind(operations->loop, what, &task->future, task->word);
}

void loop_report_operations(struct async_loop *loop)
{
	struct operations operations = {.loop = loop};

	loop_visit_tasks(loop, name_operation, &operations);
	if (operations.named == 0)
		loop_leave_behind(loop, "an operation on a descriptor", NULL, 0);
}
