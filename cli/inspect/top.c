/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <async.h>

#include "command.h"
#include "inspect/show.h"
#include "options.h"
#include "stop.h"

/* Without a terminal that says how much fits. */
#define ROWS_DEFAULT 20

static struct top_settings {
	async_time interval;
	uint64_t iterations;
	bool json;
} settings = {.interval = ASYNC_S};

static const struct option options[] = {
	{.name = "interval",
	 .argument = "TIME",
	 .parse = option_time,
	 .offset = offsetof(struct top_settings, interval),
	 .help = "between two pictures; by default 1s",
	 .minimum = 10 * ASYNC_MS,
	 .maximum = 3600 * ASYNC_S},
	{.name = "iterations",
	 .argument = "N",
	 .parse = option_count,
	 .offset = offsetof(struct top_settings, iterations),
	 .help = "end after so many pictures",
	 .minimum = 1,
	 .maximum = INT64_MAX},
	{.name = "json",
	 .parse = option_flag,
	 .offset = offsetof(struct top_settings, json),
	 .help = "one JSON object for each picture"},
	{.name = NULL},
};

/* What a task did between two pictures. */
struct share {
	const struct task_view *task;
	int64_t ran;
	uint64_t switches;
};

static const struct loop_view *same_loop(const struct snapshot *before, const struct loop_view *loop)
{
	for (size_t i = 0; i < before->loops_count; i++)
		if (before->loops[i]->address == loop->address)
			return before->loops[i];
	return NULL;
}

static struct share share_of(const struct snapshot *before, const struct loop_view *loop, const struct task_view *task)
{
	const struct task_view *old = loop ? snapshot_find_id(before, loop, task->id) : NULL;
	struct share share = {.task = task};

	if (task->ran < 0)
		return share;
	share.ran = task->ran - (old && old->ran > 0 ? old->ran : 0);
	share.switches = task->switches - (old ? old->switches : 0);
	return share;
}

/* Busiest first; without accounts, those that run or are about to. */
static int by_share(const void *a, const void *b)
{
	const struct share *x = a, *y = b;
	static const int order[] = {[TASK_VIEW_RUNNING] = 0, [TASK_VIEW_READY] = 1, [TASK_VIEW_NEW] = 2,
				    [TASK_VIEW_WAITING] = 3};

	if (x->ran != y->ran)
		return x->ran < y->ran ? 1 : -1;
	if (x->switches != y->switches)
		return x->switches < y->switches ? 1 : -1;
	if (x->task->state != y->task->state)
		return order[x->task->state] - order[y->task->state];
	return (x->task->id > y->task->id) - (x->task->id < y->task->id);
}

static double rate(uint64_t now, uint64_t before, int64_t elapsed)
{
	return elapsed > 0 && now >= before ? (double)(now - before) * 1e9 / (double)elapsed : 0;
}

static void show_rates(const struct loop_view *loop, const struct loop_view *old)
{
	int64_t elapsed = old ? loop->read_at - old->read_at : 0;

	if (elapsed > 0)
		output_printf("  a second: %.0f switches, %.0f iterations, %.0f polls, %.0f new tasks\n",
			      rate(loop->switches, old->switches, elapsed),
			      rate(loop->iterations, old->iterations, elapsed), rate(loop->polls, old->polls, elapsed),
			      rate(loop->created, old->created, elapsed));
}

static void show_share(const struct view *view, const struct share *share, int64_t elapsed)
{
	const struct task_view *task = share->task;
	char name[ASYNC_TASK_NAME_MAX], wait[WAIT_TEXT_MAX], cpu[16] = "-", switches[24] = "-";

	if (task->ran >= 0 && elapsed > 0) {
		snprintf(cpu, sizeof(cpu), "%.1f%%", 100.0 * (double)share->ran / (double)elapsed);
		snprintf(switches, sizeof(switches), "%.0f", rate(share->switches, 0, elapsed));
	}
	output_printf("%6llu  %-20s %-8s %7s %11s  %s\n", (unsigned long long)task->id,
		      task_view_name(task, name, sizeof(name)), describe_state(task), cpu, switches,
		      show_wait(view, task, wait, sizeof(wait)));
}

/* Returns false without memory. */
static bool show_busiest(const struct view *view, const struct loop_view *loop, const struct snapshot *before,
			 size_t rows)
{
	const struct loop_view *old = same_loop(before, loop);
	struct share *shares = malloc((loop->count + 1) * sizeof(*shares));

	if (!shares)
		return false;
	for (size_t i = 0; i < loop->count; i++)
		shares[i] = share_of(before, old, &view->snapshot.tasks[loop->first + i]);
	qsort(shares, loop->count, sizeof(*shares), by_share);
	if (loop->count > 0 && rows > 0)
		output_printf("%6s  %-20s %-8s %7s %11s  %s\n", "TASK", "NAME", "STATE", "CPU", "SWITCHES/s",
			      "WAITS-FOR");
	for (size_t i = 0; i < loop->count && i < rows; i++)
		show_share(view, &shares[i], old ? loop->read_at - old->read_at : 0);
	free(shares);
	return true;
}

static size_t rows_for_tasks(size_t loops)
{
	struct winsize window;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_row == 0)
		return ROWS_DEFAULT;
	/* Of each loop: two lines about it, the names of the columns, an empty one. */
	size_t taken = 4 * loops + 1;
	return window.ws_row > taken ? (window.ws_row - taken) / (loops ? loops : 1) : 0;
}

static bool show_picture(struct view *view, const struct snapshot *before)
{
	const struct snapshot *now = &view->snapshot;
	size_t rows = rows_for_tasks(now->loops_count);

	if (settings.json) {
		json_begin(view);
		json_loops(view, NULL, NULL);
		json_end(view);
		/* The next object is not one of a list. */
		view->json.separate = false;
		return true;
	}
	if (now->loops_count == 0)
		output_printf("process %d has no loop now\n", view->target.pid);
	for (size_t i = 0; i < now->loops_count; i++) {
		show_loop(view, now->loops[i]);
		show_rates(now->loops[i], same_loop(before, now->loops[i]));
		if (!show_busiest(view, now->loops[i], before, rows))
			return false;
		output_printf("\n");
	}
	return true;
}

/* The terminal */

static bool interactive;
static struct termios cooked;

static void begin_terminal(void)
{
	struct termios raw;

	interactive = !settings.json && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) &&
		      tcgetattr(STDIN_FILENO, &cooked) == 0;
	if (!interactive)
		return;
	raw = cooked;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static void end_terminal(void)
{
	if (interactive)
		tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
}

/* Returns false if it is to end: by key, by Ctrl-C. */
static bool wait_interval(void)
{
	struct pollfd fds[] = {{.fd = stop_fd(), .events = POLLIN},
			       {.fd = interactive ? STDIN_FILENO : -1, .events = POLLIN}};
	struct timespec time = {settings.interval / ASYNC_S, settings.interval % ASYNC_S};
	char key = 0;

	if (ppoll(fds, 2, &time, NULL) < 0 && errno != EINTR)
		return false;
	if (stop_requested())
		return false;
	if (fds[1].revents && read(STDIN_FILENO, &key, 1) <= 0)
		return false;
	return key != 'q' && key != 'Q';
}

static int watch(struct view *view)
{
	struct snapshot before = {.target = &view->target};
	int status = STATUS_DONE;

	for (uint64_t i = 0; status == STATUS_DONE; i++) {
		if (interactive)
			output_printf("\033[H\033[J");
		if (!show_picture(view, &before))
			status = STATUS_FAILED;
		output_flush();
		if (!interactive)
			show_torn(view);
		if ((settings.iterations && i + 1 >= settings.iterations) || !wait_interval())
			break;
		snapshot_free(&before);
		before = view->snapshot;
		view->snapshot = (struct snapshot){.target = &view->target};
		if (!snapshot_take(&view->snapshot, &view->target))
			status = STATUS_FAILED;
	}
	snapshot_free(&before);
	return status;
}

static int execute(int argc, char **argv)
{
	struct view view;
	int error = stop_open();

	if (error < 0) {
		complain_line("cannot watch for Ctrl-C: %s", strerror(-error));
		return STATUS_FAILED;
	}
	int status = view_open(&view, argc, argv, "top", false);
	if (status != STATUS_DONE)
		return status;
	begin_terminal();
	status = watch(&view);
	end_terminal();
	view_close(&view);
	if (stop_requested())
		status = STATUS_INTERRUPTED;
	return output_finish() ? status : STATUS_FAILED;
}

static void describe(void)
{
	output_printf("\n"
		      "The key q ends it. The busiest tasks come first where the loop keeps accounts of them (its\n"
		      "option accounting or debug), else those that run or are ready.\n");
}

const struct command top_command = {
	.name = "top",
	.arguments = "PID",
	.summary = "watch the busiest tasks of a running program",
	.describe = describe,
	.options = options,
	.settings = &settings,
	.execute = execute,
};
