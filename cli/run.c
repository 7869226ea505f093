/* SPDX-License-Identifier: MIT */
/*
 * DESIGN: the modes differ in which body of the scenario is called and in what calls it: SYNC a plain loop without
 * the library, the others one task per item under async_run. An item is done if its body returned 0; everything
 * else (what failed, what was left undone) follows from the results of the items.
 */
#include "run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "command.h"
#include "options.h"
#include "output.h"
#include "progress.h"
#include "report.h"
#include "scenario/scenario.h"
#include "stop.h"
#include "watch.h"

const char *const mode_names[] = {"sync", "blocking", "coop", "threads", "procs", NULL};
static const char *const backend_names[] = {"auto", "io_uring", "epoll", NULL};
static const char *const switch_names[] = {"auto", "asm", "ucontext", NULL};
static const char *const clock_names[] = {"real", "virtual", NULL};

static struct run_settings settings = {.mode = MODE_COOP, .yield = 1000000, .interval = 500 * ASYNC_MS};

#define OPTION(option, parser, text) .name = option, .parse = parser, .help = text
#define FIELD(field) .offset = offsetof(struct run_settings, field)

static const struct option options[] = {
	{OPTION("mode", option_choice, "how to do it (default coop); see the scenario"), FIELD(mode),
	 .argument = "MODE", .choices = mode_names},
	{OPTION("yield", option_count, "primes, coop: candidates between two yields (default 1M)"), FIELD(yield),
	 .argument = "N", .minimum = 1, .maximum = INT64_MAX},
	{OPTION("workers", option_count, "threads, procs: limit of the pool (default: as the work needs)"),
	 FIELD(workers), .argument = "N", .minimum = 1, .maximum = ASYNC_WORKERS_MAX},
	{OPTION("backend", option_choice, "what tells the loop about descriptors"), FIELD(backend),
	 .argument = "auto|io_uring|epoll", .choices = backend_names},
	{OPTION("switch", option_choice, "what switches between tasks"), FIELD(switch_kind),
	 .argument = "auto|asm|ucontext", .choices = switch_names},
	{OPTION("stack-size", option_size, "of a task, 16k to 1G (default 64k)"), FIELD(stack_size), .argument = "SIZE",
	 .minimum = ASYNC_STACK_SIZE_MIN, .maximum = ASYNC_STACK_SIZE_MAX},
	{OPTION("clock", option_choice, "coop: virtual time does not wait"), FIELD(clock), .argument = "real|virtual",
	 .choices = clock_names},
	{OPTION("interval", option_time, "stdin: between two ticks (default 500ms)"), FIELD(interval),
	 .argument = "TIME", .minimum = ASYNC_MS, .maximum = 3600 * ASYNC_S},
	{OPTION("timeline", option_string, "show who ran when, or write it as a picture"), FIELD(timeline),
	 .argument = "FILE.svg", .optional = true},
	{OPTION("trace", option_string, "write a trace for ui.perfetto.dev"), FIELD(trace), .argument = "FILE"},
	{OPTION("json", option_flag, "one JSON object on standard output instead of lines"), FIELD(json)},
	{OPTION("debug", option_flag, "have the library check harder and say what it chose"), FIELD(debug)},
	{OPTION("no-progress", option_flag, "no progress bars, on a terminal either"), FIELD(no_progress)},
	{.name = NULL},
};

static async_time now_real(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (async_time)time.tv_sec * ASYNC_S + time.tv_nsec;
}

/* Of this process, and of those that it made and that have ended. */
static async_time cpu_time(void)
{
	struct rusage children;
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	getrusage(RUSAGE_CHILDREN, &children);
	return ((async_time)time.tv_sec + children.ru_utime.tv_sec + children.ru_stime.tv_sec) * ASYNC_S +
	       time.tv_nsec + (children.ru_utime.tv_usec + children.ru_stime.tv_usec) * ASYNC_US;
}

async_time run_elapsed(const struct run *run)
{
	/* Virtual time is coop's only, so whoever asks for it runs on the loop. */
	if (run->settings->clock == ASYNC_CLOCK_VIRTUAL)
		return async_loop_time(NULL) - run->loop_started;
	return now_real() - run->started;
}

/* From the last answer to this one, or to the end. */
static void note_gap(struct run *run, async_time answered)
{
	async_time gap = answered - atomic_exchange(&run->last_answer, answered);
	async_time longest = atomic_load(&run->longest_gap);

	while (gap > longest && !atomic_compare_exchange_weak(&run->longest_gap, &longest, gap))
		;
}

void run_answered(struct run *run)
{
	async_time none = -1, answered = now_real() - run->started;

	atomic_compare_exchange_strong(&run->first_answer, &none, answered);
	note_gap(run, answered);
}

void run_line(struct run *run, const char *format, ...)
{
	char line[400];
	va_list list;

	if (run->settings->json)
		return;
	va_start(list, format);
	vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	output_printf("%s\n", line);
	output_flush();
}

bool run_item_done(const struct run *run, size_t index)
{
	return run->items[index].result == 0;
}

/* What ran out, and where its limit is; for other errors what the system calls them. */
static const char *error_text(intptr_t error)
{
	if (error == -EAGAIN)
		return "no worker thread could be started (limits: ulimit -u, ulimit -v, kernel.threads-max)";
	if (error == -ENOMEM)
		return "out of memory, or of mappings for stacks (limits: ulimit -v, vm.max_map_count)";
	if (error == -EMFILE)
		return "out of descriptors (limit: ulimit -n)";
	if (error == -ENFILE)
		return "the system is out of descriptors (limit: fs.file-max)";
	return strerror((int)-error);
}

static void settle(struct item *item, intptr_t result)
{
	struct run *run = item->run;
	char name[80];

	item->result = result;
	if (result == 0 || result == -ECANCELED)
		return;
	run->failures++;
	complain_line("%s: %s", run->scenario->name_item(run, item->index, name, sizeof(name)), error_text(result));
}

static intptr_t item_task(void *arg)
{
	struct item *item = arg;
	struct run *run = item->run;
	intptr_t result = run->scenario->body[run->settings->mode](item);

	settle(item, result);
	return 0;
}

/* Named as its item is, which shows in all that is told of tasks. */
static async_task *create_item_task(struct run *run, size_t index)
{
	struct async_task_options task = ASYNC_TASK_OPTIONS_INIT;
	char name[ASYNC_TASK_NAME_MAX];

	task.name = run->scenario->name_item(run, index, name, sizeof(name));
	return async_create_task_with(item_task, &run->items[index], &task);
}

/* A task whose body never ran, for want of memory or of a stack, cannot settle its item; its result tells why. */
static intptr_t run_items(struct run *run)
{
	async_task **tasks = calloc(run->count, sizeof(async_task *));
	intptr_t *errors = calloc(run->count, sizeof(intptr_t)), result = -ENOMEM;

	if (tasks && errors) {
		for (size_t i = 0; i < run->count; i++)
			tasks[i] = create_item_task(run, i);
		result = async_await(async_gather(tasks, run->count, ASYNC_GATHER_COLLECT, errors));
		for (size_t i = 0; i < run->count; i++)
			if (errors[i] < 0)
				settle(&run->items[i], errors[i]);
	}
	free(tasks);
	free(errors);
	return result == -ECANCELED ? 0 : result;
}

static intptr_t main_task(void *arg)
{
	struct run *run = arg;
	intptr_t result = stop_cancels_this_task();

	async_task_set_name(async_current_task(), "main");
	run->loop_started = async_loop_time(NULL);
	if (result >= 0) {
		result = run_items(run);
		stop_forget_task();
	}
	run->virtual_time = async_loop_time(NULL) - run->loop_started;
	async_loop_get_stats(async_get_running_loop(), &run->stats);
	return result;
}

static intptr_t run_sync(struct run *run)
{
	for (size_t i = 0; i < run->count && !stop_requested(); i++) {
		watch_item(run, i, true);
		item_task(&run->items[i]);
		watch_item(run, i, false);
	}
	return 0;
}

static intptr_t run_on_loop(struct run *run)
{
	struct async_options loop = ASYNC_OPTIONS_INIT;

	loop.backend = (enum async_backend)run->settings->backend;
	loop.switch_kind = (enum async_switch)run->settings->switch_kind;
	loop.clock = (enum async_clock)run->settings->clock;
	loop.stack_size = run->settings->stack_size;
	loop.max_workers = run->workers;
	loop.debug = run->settings->debug;
	loop.ignore_sigint = true; /* stop.h has it, for the sake of tasks that hold the loop */
	return async_run_with(main_task, run, &loop);
}

static void complain_run(const struct run *run, intptr_t error)
{
	struct async_system_info info = {.size = sizeof(info)};

	if (error == -ENOSYS && async_get_system_info(&info) == 0) {
		if (run->settings->backend == ASYNC_BACKEND_IO_URING && !info.io_uring)
			complain_line("--backend: 'io_uring' is not to be had here: %s; epoll is",
				      info.io_uring_reason);
		else
			complain_line("--switch: '%s' is not to be had on this machine; ucontext is",
				      switch_names[run->settings->switch_kind]);
		return;
	}
	complain_line("the run failed: %s", error_text(error));
}

static void note_choices(void)
{
	struct async_system_info info = {.size = sizeof(info)};

	if (async_get_system_info(&info) < 0)
		return;
	if (info.io_uring)
		note_line("debug: io_uring is to be had: %s", info.io_uring_features);
	else
		note_line("debug: io_uring is not used: %s", info.io_uring_reason);
	note_line("debug: stacks are guarded by %s%s%s", info.guard, *info.guard_reason ? ": " : "", info.guard_reason);
}

static int run_and_report(struct run *run)
{
	async_time wall, cpu = cpu_time();
	intptr_t error;

	if (run->settings->debug)
		note_choices();
	if (!watch_open(run))
		return STATUS_FAILED;
	if (!run->settings->no_progress)
		progress_open(run->count, run->scenario->name_item, run);
	run->started = now_real();
	if (!watch_begin(run)) {
		progress_close();
		return STATUS_FAILED;
	}
	error = run->settings->mode == MODE_SYNC ? run_sync(run) : run_on_loop(run);
	wall = now_real() - run->started;
	note_gap(run, wall);
	if (run->scenario->finish)
		run->scenario->finish(run);
	cpu = cpu_time() - cpu;
	progress_close();

	if (error < 0)
		complain_run(run, error);
	if (run->settings->json)
		report_json(run, wall, cpu);
	else if (error >= 0)
		report_summary(run, wall, cpu);
	if (stop_flag == STOP_SIGNAL)
		report_undone(run);
	bool shown = watch_end(run);
	if ((!output_finish() || !shown) && stop_flag != STOP_SIGNAL)
		return STATUS_FAILED;
	if (stop_flag == STOP_SIGNAL)
		return STATUS_INTERRUPTED;
	return error < 0 || run->failures ? STATUS_FAILED : STATUS_DONE;
}

static int make_items(struct run *run)
{
	run->items = calloc(run->count, sizeof(run->items[0]));
	if (!run->items) {
		complain_line("out of memory for %zu %s", run->count, run->scenario->items);
		return STATUS_FAILED;
	}
	for (size_t i = 0; i < run->count; i++)
		run->items[i] = (struct item){.run = run, .index = i, .result = -ECANCELED};
	return STATUS_DONE;
}

static bool is_picture(const char *name)
{
	size_t length = strlen(name);

	return length >= 4 && strcmp(name + length - 4, ".svg") == 0;
}

/* What the table of options cannot know: which modes the scenario has, and what goes with a mode. */
static bool check_settings(const struct scenario *scenario)
{
	if (!scenario->body[settings.mode]) {
		char modes[80];

		complain_line("--mode: '%s' is no mode of %s; expected one of: %s", mode_names[settings.mode],
			      scenario->name, scenario_modes(scenario, ", ", modes, sizeof(modes)));
		return false;
	}
	if (settings.clock == ASYNC_CLOCK_VIRTUAL && settings.mode != MODE_COOP) {
		complain_line("--clock: 'virtual' goes with --mode=coop only; what blocks in mode %s takes real time",
			      mode_names[settings.mode]);
		return false;
	}
	if (settings.trace && settings.mode == MODE_SYNC) {
		complain_line("--trace: there is nothing to record in mode sync, which has no loop");
		return false;
	}
	if (settings.timeline && *settings.timeline && !is_picture(settings.timeline)) {
		complain_line("--timeline: '%s' is no picture; expected a name that ends in .svg", settings.timeline);
		return false;
	}
	if (settings.mode == MODE_PROCS && settings.workers > ASYNC_PROCESSES_MAX) {
		complain_line("--workers: %llu is too many for --mode=procs; expected a whole number from 1 to %d",
			      (unsigned long long)settings.workers, ASYNC_PROCESSES_MAX);
		return false;
	}
	return true;
}

static int execute(int argc, char **argv)
{
	struct run run = {.settings = &settings,
			  .workers = settings.workers,
			  .first_answer = -1,
			  .stats = {.size = sizeof(run.stats), .backend = "none", .switch_kind = "none"}};
	int status, error;

	if (argc < 1) {
		complain_line("run: the scenario is missing; 'asyncctl list' shows them");
		return STATUS_USAGE;
	}
	run.scenario = scenario_find(argv[0]);
	if (!run.scenario || !check_settings(run.scenario))
		return STATUS_USAGE;
	error = stop_open();
	if (error < 0) {
		complain_line("cannot prepare for Ctrl-C: %s", error_text(error));
		return STATUS_FAILED;
	}
	status = run.scenario->prepare(&run, argc - 1, (const char *const *)argv + 1);
	if (status == STATUS_DONE)
		status = make_items(&run);
	if (status == STATUS_DONE)
		status = run_and_report(&run);
	run.scenario->dispose(&run);
	free(run.items);
	return status;
}

static void describe(void)
{
	output_printf("\nScenarios:\n");
	for (size_t i = 0; scenarios[i]; i++) {
		const struct scenario *scenario = scenarios[i];

		char modes[80];

		output_printf("  %s %s\n      %s\n%s      Modes: %s.\n", scenario->name, scenario->arguments,
			      scenario->summary, scenario->details,
			      scenario_modes(scenario, ", ", modes, sizeof(modes)));
	}
	output_printf("\nModes: sync makes plain calls, blocking runs tasks that never give way, coop runs tasks that\n"
		      "give way, threads runs jobs on a pool of workers, procs on a pool of processes. Numbers may be\n"
		      "written 1_000_000, 1000k or 1M; sizes count in 1024s, so 64k is 65536; times are 500ms, 2s or\n"
		      "0.5.\n");
}

const struct command run_command = {
	.name = "run",
	.arguments = "SCENARIO [ARGUMENT...]",
	.summary = "run a scenario in one of its modes",
	.describe = describe,
	.options = options,
	.settings = &settings,
	.execute = execute,
};
