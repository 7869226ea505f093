/* SPDX-License-Identifier: MIT */
/*
 * Echo servers and cached reads, ours and the peers': `compare [ROUNDS]`, 5 by default. In each round every program
 * runs once, so that what disturbs the machine disturbs all; a figure is the median of the rounds. A server has the
 * first processor, the load the second. Programs are looked for beside this one; one that is not there is left out.
 */
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load.h"

enum { ROUNDS_MAX = 51 };
#define DURATION 1e9 /* ns */

struct program {
	const char *name, *file, *argument;
	bool missing;
	int values;
	double rate[ROUNDS_MAX], cpu[ROUNDS_MAX];
};

static struct program servers[] = {
	{.name = "libasync, io_uring", .file = "echo_async", .argument = "io_uring"},
	{.name = "libasync, epoll", .file = "echo_async", .argument = "epoll"},
	{.name = "bare io_uring", .file = "echo_uring"},
	{.name = "bare epoll", .file = "echo_epoll"},
	{.name = "libuv", .file = "echo_uv"},
	{.name = "Boost.Asio", .file = "echo_asio"},
	{.name = "tokio", .file = "echo_tokio"},
	{.name = "Go", .file = "echo_go"},
};

static struct program readers[] = {
	{.name = "libasync, io_uring", .file = "read_async", .argument = "io_uring"},
	{.name = "libasync, epoll", .file = "read_async", .argument = "epoll"},
	{.name = "libuv", .file = "read_uv"},
};

static char directory[4096];

/* Starts it, and waits for the numbers that it prints. Returns: the process, or < 0. */
static pid_t start(const struct program *program, const char *file, int processor, double numbers[], int count)
{
	char path[5000];
	int ends[2], found = 0;

	snprintf(path, sizeof(path), "%s/%s", directory, program->file);
	if (access(path, X_OK) < 0 || pipe(ends) < 0)
		return -1;
	const char *arguments[] = {program->argument ? program->argument : file, program->argument ? file : NULL};
	pid_t pid = fork();
	if (pid == 0) {
		load_pin(processor);
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		execl(path, path, arguments[0], arguments[1], (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	FILE *output = fdopen(ends[0], "r");
	if (output) {
		while (found < count && fscanf(output, "%lf", &numbers[found]) == 1)
			found++;
		fclose(output);
	}
	if (pid > 0 && found != count) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return -1;
	}
	return pid;
}

static bool measure_server(const struct program *program, unsigned connections, struct load_result *result)
{
	double port;
	pid_t pid = start(program, NULL, 0, &port, 1);

	if (pid < 0)
		return false;
	load_pin(1);
	int error = load_run((uint16_t)port, connections, DURATION, pid, result);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (error < 0)
		fprintf(stderr, "%s: %s\n", program->name, strerror(-error));
	return error == 0;
}

/* It may use all processors: its pool of threads is what makes libuv slow or fast. */
static bool measure_reader(const struct program *program, const char *file, struct load_result *result)
{
	double numbers[2] = {0};
	pid_t pid = start(program, file, -1, numbers, 2);

	if (pid > 0)
		waitpid(pid, NULL, 0);
	*result = (struct load_result){numbers[0], numbers[1]};
	return pid > 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(values[0]), compare);
	return values[count / 2];
}

static void add(struct program *program, bool measured, const struct load_result *result)
{
	program->missing |= !measured;
	if (!measured)
		return;
	program->rate[program->values] = result->rate;
	program->cpu[program->values++] = result->cpu;
}

/* Rates and times as ratios to ours: the first two are ours. */
static void show(const char *title, const char *unit, struct program *programs, size_t count)
{
	double rates[2] = {0}, cpus[2] = {0};

	printf("\n%-22s %12s %8s   %21s   %21s\n%-22s %12s %8s   %10s %10s   %10s %10s\n", title, unit, "CPU ns",
	       "ours / theirs: rate", "CPU", "", "", "", "io_uring", "epoll", "io_uring", "epoll");
	for (size_t i = 0; i < count; i++) {
		struct program *p = &programs[i];

		if (p->missing || p->values == 0) {
			printf("%-22s %12s\n", p->name, "-");
			continue;
		}
		double rate = median(p->rate, p->values), cpu = median(p->cpu, p->values);
		if (i < 2) {
			rates[i] = rate;
			cpus[i] = cpu;
		}
		printf("%-22s %12.0f %8.0f", p->name, rate, cpu);
		if (i >= 2)
			printf("   %10.2f %10.2f", rates[0] / rate, rates[1] / rate);
		if (i >= 2 && cpu > 0)
			printf("   %10.2f %10.2f", cpus[0] / cpu, cpus[1] / cpu);
		printf("\n");
	}
	fflush(stdout);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void compare_servers(unsigned connections, int rounds)
{
	char title[64];

	for (int round = 0; round < rounds; round++) {
		for (size_t i = 0; i < COUNT(servers); i++) {
			struct load_result result;

			if (round == 0)
				servers[i].values = 0;
			if (!servers[i].missing)
				add(&servers[i], measure_server(&servers[i], connections, &result), &result);
		}
	}
	snprintf(title, sizeof(title), "echo, %u connections", connections);
	show(title, "requests/s", servers, COUNT(servers));
}

static void compare_readers(int rounds)
{
	char path[] = "/tmp/compare.XXXXXX";
	static char block[4 << 20];
	int fd = mkstemp(path);

	memset(block, 1, sizeof(block));
	if (fd < 0 || write(fd, block, sizeof(block)) != sizeof(block)) {
		perror(path);
		return;
	}
	load_pin(-1);
	for (int round = 0; round < rounds; round++) {
		for (size_t i = 0; i < COUNT(readers); i++) {
			struct load_result result = {0};

			if (!readers[i].missing)
				add(&readers[i], measure_reader(&readers[i], path, &result), &result);
		}
	}
	show("cached reads, 4 KiB", "reads/s", readers, COUNT(readers));
	unlink(path);
	close(fd);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 5;
	ssize_t size = readlink("/proc/self/exe", directory, sizeof(directory) - 1);

	if (rounds < 1 || rounds > ROUNDS_MAX || size < 0) {
		fprintf(stderr, "usage: %s [ROUNDS], up to %d\n", argv[0], ROUNDS_MAX);
		return 2;
	}
	dirname(directory);
	load_raise_limit();
	compare_servers(50, rounds);
	compare_servers(1000, rounds);
	compare_readers(rounds);
	return 0;
}
