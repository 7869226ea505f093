/* SPDX-License-Identifier: MIT */
/* Tasks in words, and what can be asked of them. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "core/loop.h"
#include "core/schedule.h"

const char *task_name(const struct task *task, char *buffer, size_t size)
{
	if (task->name)
		snprintf(buffer, size, "%s", task->name);
	else
		snprintf(buffer, size, "Task-%llu", (unsigned long long)task->id);
	return buffer;
}

const char *task_waits_for(const struct task *task, char *buffer, size_t size)
{
	char name[ASYNC_TASK_NAME_MAX];

	if (task->state != TASK_PARKED)
		snprintf(buffer, size, "its turn");
	else if (!wait_forwards(task->wait_class))
		snprintf(buffer, size, "%s", task->wait_class->name);
	else if (((async_future *)task->wait_object)->class->is_task)
		snprintf(buffer, size, "%s", task_name(task->wait_object, name, sizeof(name)));
	else
		snprintf(buffer, size, "a %s", ((async_future *)task->wait_object)->class->name);
	return buffer;
}

/* Where an address is, in a form that addr2line understands. */
static void locate(const void *address, char *text, size_t size)
{
	Dl_info info;

	if (!dladdr(address, &info) || !info.dli_fname)
		snprintf(text, size, "%p", address);
	else if (info.dli_sname)
		snprintf(text, size, "%s+0x%zx (%s+0x%zx)", info.dli_sname,
			 (size_t)((const char *)address - (const char *)info.dli_saddr), info.dli_fname,
			 (size_t)((const char *)address - (const char *)info.dli_fbase));
	else
		snprintf(text, size, "%s+0x%zx", info.dli_fname,
			 (size_t)((const char *)address - (const char *)info.dli_fbase));
}

void task_describe(const void *label, char *line, size_t size)
{
	const struct task *task = label;
	char name[ASYNC_TASK_NAME_MAX], where[192];

	locate(task->creator, where, sizeof(where));
	snprintf(line, size, "task %s, created at %s", task_name(task, name, sizeof(name)), where);
}

async_task *async_current_task(void)
{
	struct task *task = task_current();

	return task ? &task->future : NULL;
}

bool async_is_task(const async_future *future)
{
	return future && future->class->is_task;
}

/* NULL with the reason in *ret_error: -EINVAL (no task), -EPERM (another thread's). */
static struct task *as_task(const async_task *task, int *ret_error)
{
	*ret_error = async_is_task(task) ? future_check(task) : -EINVAL;
	return *ret_error ? NULL : (struct task *)(uintptr_t)task;
}

const char *async_task_get_name(const async_task *future, char *buffer, size_t size)
{
	int error;
	struct task *task = as_task(future, &error);

	if (!buffer || size == 0)
		return "";
	buffer[0] = '\0';
	return task ? task_name(task, buffer, size) : buffer;
}

int async_task_set_name(async_task *future, const char *name)
{
	int error;
	struct task *task = as_task(future, &error);
	char *copy;

	if (!task || !name)
		return task ? -EINVAL : error;
	if (!(copy = mem_strndup(name, ASYNC_TASK_NAME_MAX - 1)))
		return -ENOMEM;
	char *old = task->name;
	futex_mutex_lock(&task->future.loop->slow.naming);
	task->name = copy;
	futex_mutex_unlock(&task->future.loop->slow.naming);
	mem_free(old);
	task->trace_name = 0;
	return 0;
}

int async_cancelling(const async_task *future)
{
	int error;
	struct task *task = as_task(future, &error);

	return task ? task->cancels : error;
}

int async_uncancel(async_task *future)
{
	int error;
	struct task *task = as_task(future, &error);

	if (!task)
		return error;
	if (task->cancels > 0 && task->undelivered >= task->cancels--)
		task->undelivered = (uint8_t)task->cancels & TASK_UNDELIVERED_MAX;
	return task->cancels;
}

intptr_t async_task_stack_size(const async_task *future)
{
	int error;
	struct task *task = as_task(future, &error);

	if (!task || task->state == TASK_ENDED)
		return task ? -EINVAL : error;
	return (intptr_t)stack_class_size(task->stack_class);
}

intptr_t async_task_stack_used(const async_task *future)
{
	int error;
	struct task *task = as_task(future, &error);

	if (!task || task->state == TASK_ENDED)
		return task ? -EINVAL : error;
	if (task->state == TASK_CREATED)
		return 0;
	return (intptr_t)stack_used(task->stack, task->stack_class, task->future.loop->options.measure_stacks);
}

struct task_array {
	async_task **tasks;
	size_t capacity, count;
};

static void collect(struct task *task, void *arg)
{
	struct task_array *array = arg;

	if (array->count++ < array->capacity)
		array->tasks[array->count - 1] = &task->future;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = task_of(*(async_task *const *)a)->id, y = task_of(*(async_task *const *)b)->id;

	return (x > y) - (x < y);
}

intptr_t async_all_tasks(async_loop *loop, async_task **tasks, size_t capacity)
{
	struct task_array array = {tasks, tasks ? capacity : 0, 0};
	int error;

	if (!loop)
		loop = loop_running;
	if (!loop)
		return -EPERM;
	if ((error = loop_check(loop)) == -EPERM)
		return error;
	loop_visit_tasks(loop, collect, &array);
	size_t stored = array.count < array.capacity ? array.count : array.capacity;
	if (stored > 0)
		qsort(array.tasks, stored, sizeof(*array.tasks), by_id);
	return (intptr_t)array.count;
}
