/* SPDX-License-Identifier: MIT */
/*
 * DESIGN: the program starts itself anew, once to run an empty task and once to do nothing, in turns with an
 * empty program of the system. The smaller of the two baselines counts, so that what this program costs by itself
 * is not hidden in it.
 */
#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "bench.h"
#include "command.h"

#define ROUNDS 60
#define WITH_TASK "--bench-start-task"
#define WITHOUT_TASK "--bench-start-empty"

extern char **environ;

static intptr_t empty_task(void *arg)
{
	(void)arg;
	return 0;
}

int bench_child(const char *argument)
{
	if (strcmp(argument, WITHOUT_TASK) == 0)
		return 0;
	if (strcmp(argument, WITH_TASK) == 0)
		return async_run(empty_task, NULL) < 0;
	return -1;
}

/* Returns: how long the program took, in ns; negative if it failed. */
static double time_program(const char *path, const char *argument)
{
	char name[] = "asyncctl", word[32];
	char *argv[] = {name, word, NULL};
	double start = bench_now();
	int status;
	pid_t pid;

	strcpy(word, argument);
	if (posix_spawn(&pid, path, NULL, NULL, argv, environ) != 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status == 0 ? bench_now() - start : -1;
}

static int measure(const struct benchmark *benchmark, struct bench_result *result)
{
	double task[ROUNDS], self[ROUNDS], other[ROUNDS], baseline, median;

	(void)benchmark;
	for (int i = 0; i < ROUNDS; i++) {
		task[i] = time_program("/proc/self/exe", WITH_TASK);
		self[i] = time_program("/proc/self/exe", WITHOUT_TASK);
		other[i] = time_program("/bin/true", WITHOUT_TASK);
		if (task[i] < 0 || self[i] < 0)
			return -ECHILD;
	}
	baseline = bench_median(self, ROUNDS);
	median = bench_median(other, ROUNDS);
	if (median > 0 && median < baseline)
		baseline = median;
	result->value = bench_median(task, ROUNDS) / baseline;
	return 0;
}

const struct benchmark bench_start[] = {
	{"start", "ratio", 3, "a program that runs one empty task, to an empty program", measure, 0},
	{.name = NULL},
};
