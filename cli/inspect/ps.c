/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include <async.h>

#include "command.h"
#include "inspect/show.h"
#include "options.h"

static struct ps_settings {
	bool stacks;
	bool json;
} settings;

static const struct option options[] = {
	{.name = "stacks",
	 .parse = option_flag,
	 .offset = offsetof(struct ps_settings, stacks),
	 .help = "the C call stack of each task too"},
	{.name = "json", .parse = option_flag, .offset = offsetof(struct ps_settings, json), .help = "one JSON object"},
	{.name = NULL},
};

static const char *size_text(int64_t bytes, char *buffer, size_t size)
{
	if (bytes < 0)
		snprintf(buffer, size, "-");
	else if (bytes < 10 * 1024)
		snprintf(buffer, size, "%.1fk", (double)bytes / 1024);
	else if (bytes < 1024 * 1024)
		snprintf(buffer, size, "%lldk", (long long)bytes / 1024);
	else
		snprintf(buffer, size, "%lldM", (long long)bytes / 1024 / 1024);
	return buffer;
}

static void show_task(const struct view *view, const struct task_view *task)
{
	struct stack_use use = show_stack_use(view, task);
	char name[ASYNC_TASK_NAME_MAX], since[24] = "-", cpu[24] = "-", switches[24] = "-";
	char used[16], high[16], all[16], stack[56], wait[WAIT_TEXT_MAX];

	if (task->since)
		describe_time(task->loop->read_at - task->since, since, sizeof(since));
	if (task->ran >= 0) {
		describe_time(task->ran, cpu, sizeof(cpu));
		snprintf(switches, sizeof(switches), "%llu", (unsigned long long)task->switches);
	}
	snprintf(stack, sizeof(stack), "%s/%s of %s", size_text(use.used, used, sizeof(used)),
		 size_text(use.high, high, sizeof(high)), size_text(use.size, all, sizeof(all)));
	output_printf("%6llu  %-20s %-8s %8s %8s %9s  %-16s  %s\n", (unsigned long long)task->id,
		      task_view_name(task, name, sizeof(name)), describe_state(task), since, cpu, switches, stack,
		      show_wait(view, task, wait, sizeof(wait)));
	if (view->stacks)
		show_frames(view, task, "          ");
}

static void show_tasks(const struct view *view, const struct loop_view *loop)
{
	show_loop(view, loop);
	if (loop->count > 0)
		output_printf("%6s  %-20s %-8s %8s %8s %9s  %-16s  %s\n", "TASK", "NAME", "STATE", "SINCE", "CPU",
			      "SWITCHES", "STACK", "WAITS-FOR");
	for (size_t i = 0; i < loop->count; i++)
		show_task(view, &view->snapshot.tasks[loop->first + i]);
}

static int execute(int argc, char **argv)
{
	struct view view;
	int status = view_open(&view, argc, argv, "ps", settings.stacks);

	if (status != STATUS_DONE)
		return status;
	if (settings.json) {
		json_begin(&view);
		json_loops(&view, NULL, NULL);
		json_end(&view);
	} else if (view.snapshot.loops_count == 0) {
		output_printf("process %d has no loop now\n", view.target.pid);
	}
	for (size_t i = 0; i < view.snapshot.loops_count && !settings.json; i++) {
		if (i > 0)
			output_printf("\n");
		show_tasks(&view, view.snapshot.loops[i]);
	}
	output_flush();
	show_torn(&view);
	view_close(&view);
	return output_finish() ? STATUS_DONE : STATUS_FAILED;
}

static void describe(void)
{
	output_printf("\n"
		      "PID is any process that uses libasync; it is neither stopped nor changed. SINCE is coarse,\n"
		      "and CPU and SWITCHES are '-', unless the loop has the option accounting or debug. STACK is\n"
		      "what is in use, the most that ever was in whole pages, and the size.\n");
}

const struct command ps_command = {
	.name = "ps",
	.arguments = "PID",
	.summary = "list the tasks of a running program and what each waits for",
	.describe = describe,
	.options = options,
	.settings = &settings,
	.execute = execute,
};
