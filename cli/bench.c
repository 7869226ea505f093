/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "output.h"

#define REPETITIONS_MAX 64

static const struct benchmark *const groups[] = {bench_switch, bench_tasks,    bench_sleep, bench_handover,
						 bench_sync,   bench_executor, bench_echo,  bench_file,
						 bench_start,  bench_trace};
#define GROUP_COUNT (sizeof(groups) / sizeof(groups[0]))

static struct bench_settings {
	bool json;
} settings;

static const struct option options[] = {
	{.name = "json",
	 .parse = option_flag,
	 .offset = offsetof(struct bench_settings, json),
	 .help = "an array of objects with name, value and unit"},
	{.name = NULL},
};

static double read_clock(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

double bench_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

double bench_cpu_time(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

struct child_answer {
	int error;
	struct bench_result result;
};

int bench_in_child(int (*measure)(struct bench_result *result), struct bench_result *result)
{
	struct child_answer answer = {0};
	int ends[2];
	ssize_t size;
	pid_t pid;

	if (pipe(ends) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		answer.error = measure(&answer.result);
		_exit(write(ends[1], &answer, sizeof(answer)) != sizeof(answer));
	}
	close(ends[1]);
	size = pid < 0 ? -1 : read(ends[0], &answer, sizeof(answer));
	close(ends[0]);
	if (pid < 0)
		return -EAGAIN;
	waitpid(pid, NULL, 0);
	/* A child that says nothing was killed, for using too much memory most likely. */
	if (size != sizeof(answer))
		return -ENOMEM;
	*result = answer.result;
	return answer.error;
}

/* "yield" and "yield.10" select "yield.10". */
static bool selects(const char *word, const char *name)
{
	size_t length = strlen(word);

	return strncmp(word, name, length) == 0 && (name[length] == '\0' || name[length] == '.');
}

static bool is_selected(const struct benchmark *benchmark, int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (selects(argv[i], benchmark->name))
			return true;
	return argc == 0;
}

/* Every word must select something. */
static bool check_names(int argc, char **argv)
{
	const char *names[64];
	size_t count = 0;

	for (size_t group = 0; group < GROUP_COUNT; group++)
		for (const struct benchmark *b = groups[group]; b->name; b++)
			names[count++] = b->name;
	names[count] = NULL;
	for (int i = 0; i < argc; i++) {
		bool known = false;

		for (size_t j = 0; j < count; j++)
			known |= selects(argv[i], names[j]);
		if (!known) {
			complain_choice("benchmark", argv[i], names);
			return false;
		}
	}
	return true;
}

static void show(const struct benchmark *benchmark, const struct bench_result *result, struct json *json)
{
	char ratio[24] = "";

	if (settings.json) {
		json_open(json, '{');
		json_name(json, "name");
		json_string(json, benchmark->name);
		json_name(json, "value");
		json_real(json, result->value, 3);
		json_name(json, "unit");
		json_string(json, benchmark->unit);
		if (result->ratio > 0) {
			json_name(json, "ratio");
			json_real(json, result->ratio, 3);
		}
		json_close(json, '}');
		return;
	}
	if (result->ratio > 0)
		snprintf(ratio, sizeof(ratio), "%.2f ", result->ratio);
	output_printf("%-22s %14.2f %-8s %s%s\n", benchmark->name, result->value, benchmark->unit, ratio,
		      benchmark->note);
	output_flush();
}

/* Returns: 0, or -errno after it was said. */
static int measure(const struct benchmark *benchmark, struct json *json)
{
	double values[REPETITIONS_MAX], ratios[REPETITIONS_MAX];
	struct bench_result result = {0};

	for (unsigned i = 0; i < benchmark->repetitions; i++) {
		int error = benchmark->measure(benchmark, &result);

		if (error == -ENOSYS) {
			complain_line("bench %s: not on this machine; `asyncctl doctor` says why", benchmark->name);
			return 0;
		}
		if (error < 0) {
			complain_line("bench %s: %s", benchmark->name, strerror(-error));
			return error;
		}
		values[i] = result.value;
		ratios[i] = result.ratio;
	}
	result.value = bench_median(values, benchmark->repetitions);
	result.ratio = bench_median(ratios, benchmark->repetitions);
	show(benchmark, &result, json);
	return 0;
}

/* Ctrl-C ends it all; what fails otherwise leaves the others to be measured. */
static int measure_selected(int argc, char **argv, struct json *json)
{
	int status = STATUS_DONE;

	for (size_t group = 0; group < GROUP_COUNT; group++) {
		for (const struct benchmark *b = groups[group]; b->name; b++) {
			int error = is_selected(b, argc, argv) ? measure(b, json) : 0;

			if (error == -ECANCELED)
				return STATUS_INTERRUPTED;
			if (error < 0)
				status = STATUS_FAILED;
		}
	}
	return status;
}

static int execute(int argc, char **argv)
{
	struct json json = {0};
	int status;

	if (!check_names(argc, argv))
		return STATUS_USAGE;
	if (settings.json)
		json_open(&json, '[');
	status = measure_selected(argc, argv, &json);
	if (settings.json) {
		json_close(&json, ']');
		output_printf("\n");
	}
	if (!output_finish() && status == STATUS_DONE)
		status = STATUS_FAILED;
	return status;
}

static void describe(void)
{
	output_printf("\nBenchmarks (a name such as 'yield' stands for all that begin with 'yield.'):\n");
	for (size_t group = 0; group < GROUP_COUNT; group++)
		for (const struct benchmark *b = groups[group]; b->name; b++)
			output_printf("  %-22s %-8s %s\n", b->name, b->unit, b->note);
}

const struct command bench_command = {
	.name = "bench",
	.arguments = "[NAME...]",
	.summary = "measure the runtime on this machine",
	.describe = describe,
	.options = options,
	.settings = &settings,
	.execute = execute,
};
