/* SPDX-License-Identifier: MIT */
/*
 * DESIGN: each run is what `asyncctl run … --json` does, in a child process, so that its memory is its own. Rounds
 * alternate: a mode does not get the moment in which the machine was quiet. What is shown is the median.
 */
#include "compare.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "command.h"
#include "options.h"
#include "output.h"
#include "scenario/scenario.h"

#define BAR_WIDTH 10
#define WORDS_MAX 1024
#define ANSWER_MAX 65536

enum { PASSED_yield, PASSED_workers, PASSED_backend, PASSED_switch, PASSED_COUNT };

static struct compare_settings {
	uint64_t rounds;
	bool json;
	const char *passed[PASSED_COUNT]; /* to `run`, as they are */
} settings = {.rounds = 3};

static const char *const passed_names[PASSED_COUNT] = {"yield", "workers", "backend", "switch"};

#define PASSED(index, value, text) \
	{.name = #index, .parse = option_string, .help = text, .argument = value, \
	 .offset = offsetof(struct compare_settings, passed[PASSED_##index])}

static const struct option options[] = {
	{.name = "rounds", .parse = option_count, .offset = offsetof(struct compare_settings, rounds), .argument = "N",
	 .minimum = 1, .maximum = ROUNDS_MAX, .help = "runs of each mode, of which the median is shown (default 3)"},
	PASSED(yield, "N", "as of run"),
	PASSED(workers, "N", "as of run"),
	PASSED(backend, "auto|io_uring|epoll", "as of run"),
	PASSED(switch, "auto|asm|ucontext", "as of run"),
	{.name = "json", .parse = option_flag, .offset = offsetof(struct compare_settings, json),
	 .help = "one JSON object on standard output instead of a table"},
	{.name = NULL},
};

static const struct {
	const char *title, *json;
} figures[FIGURE_COUNT] = {
	[FIGURE_WALL] = {"wall", "wall_s"},
	[FIGURE_CPU] = {"CPU", "cpu_s"},
	[FIGURE_FIRST] = {"first answer", "first_answer_s"},
	[FIGURE_GAP] = {"longest gap", "longest_gap_s"},
	[FIGURE_SWITCHES] = {"switches", "switches"},
	[FIGURE_MEMORY] = {"memory", "peak_rss_bytes"},
};

/* In the child: what `asyncctl run` would do. */
static _Noreturn void run_mode(const char *mode, int output, int argc, char **argv)
{
	char names[PASSED_COUNT][16], mode_word[32];
	char *command[WORDS_MAX];
	int count = 0;

	for (size_t i = 0; i < PASSED_COUNT; i++) {
		if (!settings.passed[i])
			continue;
		snprintf(names[i], sizeof(names[0]), "--%s", passed_names[i]);
		command[count++] = names[i];
		command[count++] = (char *)settings.passed[i];
	}
	snprintf(mode_word, sizeof(mode_word), "--mode=%s", mode);
	command[count++] = mode_word;
	command[count++] = (char *)"--json";
	command[count++] = (char *)"--no-progress";
	command[count++] = (char *)"--";
	for (int i = 0; i < argc; i++)
		command[count++] = argv[i];
	signal(SIGINT, SIG_DFL);
	dup2(output, STDOUT_FILENO);
	close(output);
	count = options_parse(run_command.options, run_command.settings, count, command);
	exit(count < 0 ? STATUS_USAGE : run_command.execute(count, command));
}

/* Runs it and gives what it wrote. Returns: its exit status, or -errno. */
static int run_child(const char *mode, int argc, char **argv, char *answer)
{
	int ends[2], status;
	size_t used = 0;
	ssize_t size;

	if (pipe(ends) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		run_mode(mode, ends[1], argc, argv);
	}
	close(ends[1]);
	/* What is beyond the figures may be cut. */
	char rest[4096];
	while (pid > 0 && ((size = used < ANSWER_MAX - 1 ? read(ends[0], answer + used, ANSWER_MAX - 1 - used)
							  : read(ends[0], rest, sizeof(rest))) > 0 ||
			   (size < 0 && errno == EINTR)))
		if (size > 0 && used < ANSWER_MAX - 1)
			used += (size_t)size;
	answer[used] = '\0';
	close(ends[0]);
	if (pid < 0)
		return -EAGAIN;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_FAILED;
}

/* What `run` writes comes in one line with each of these names before any result. */
static void read_figures(const char *answer, struct compared *compared, size_t round)
{
	for (size_t i = 0; i < FIGURE_COUNT; i++) {
		char name[40];

		snprintf(name, sizeof(name), "\"%s\": ", figures[i].json);
		const char *at = strstr(answer, name);
		compared->rounds[i][round] = at ? strtod(at + strlen(name), NULL) : 0;
	}
}

static void show_progress(size_t round, const char *mode)
{
	char line[80];
	int length = snprintf(line, sizeof(line), "\r\033[Kround %zu of %llu: %s", round + 1,
			      (unsigned long long)settings.rounds, mode ? mode : "");

	if (!isatty(STDERR_FILENO))
		return;
	ssize_t written = write(STDERR_FILENO, mode ? line : "\r\033[K", mode ? (size_t)length : 4);
	(void)written;
}

/* Returns: an exit status. */
static int run_rounds(struct compared *modes, size_t count, int argc, char **argv)
{
	char *answer = malloc(ANSWER_MAX);
	int status = answer ? STATUS_DONE : STATUS_FAILED;

	for (size_t round = 0; round < settings.rounds && status == STATUS_DONE; round++) {
		for (size_t i = 0; i < count && status == STATUS_DONE; i++) {
			/* Nobody is always the first. */
			struct compared *mode = &modes[(i + round) % count];

			show_progress(round, mode->mode);
			status = run_child(mode->mode, argc, argv, answer);
			if (status == STATUS_DONE)
				read_figures(answer, mode, round);
			else if (status < 0 || status == STATUS_FAILED)
				complain_line("compare: mode %s failed", mode->mode);
		}
	}
	show_progress(0, NULL);
	free(answer);
	for (size_t i = 0; i < count; i++)
		for (size_t figure = 0; figure < FIGURE_COUNT; figure++)
			modes[i].values[figure] = bench_median(modes[i].rounds[figure], settings.rounds);
	return status < 0 ? STATUS_FAILED : status;
}

static const char *format(enum figure figure, double value, char *buffer, size_t size)
{
	if (figure == FIGURE_SWITCHES)
		snprintf(buffer, size, "%.0f", value);
	else if (figure == FIGURE_MEMORY)
		snprintf(buffer, size, "%.1f MiB", value / 1048576);
	else
		compare_format_time(value, buffer, size);
	return buffer;
}

static void show_bar(double value, double most, bool last)
{
	int filled = most > 0 ? (int)(value / most * BAR_WIDTH + 0.5) : 0;

	/* Something is not nothing. */
	output_printf("%-*.*s", last ? 0 : BAR_WIDTH, filled ? filled : 1,
		      filled ? "##########" : value > 0 ? "." : "");
}

/* Two tables of three figures each: one of six is wider than most terminals. */
static void show_table(const struct compared *modes, size_t count)
{
	char text[40];

	for (size_t first = 0; first < FIGURE_COUNT; first += 3) {
		output_printf("%s%-9s", first ? "\n" : "", "");
		for (size_t figure = first; figure < first + 3; figure++)
			output_printf(" %-*s", figure == first + 2 ? 1 : 21, figures[figure].title);
		output_printf("\n");
		for (size_t i = 0; i < count; i++) {
			output_printf("%-9s", modes[i].mode);
			for (size_t figure = first; figure < first + 3; figure++) {
				double most = 0;

				for (size_t j = 0; j < count; j++)
					most = modes[j].values[figure] > most ? modes[j].values[figure] : most;
				output_printf(" %9s ", format(figure, modes[i].values[figure], text, sizeof(text)));
				show_bar(modes[i].values[figure], most, figure == first + 2);
				output_printf("%s", figure == first + 2 ? "" : " ");
			}
			output_printf("\n");
		}
	}
}

static void show_sentences(const struct compared *modes, size_t count)
{
	char text[800];

	output_printf("\n");
	for (size_t i = 0; i < count; i++)
		output_printf("%s %s\n", modes[i].mode, compare_say(modes, count, i, text, sizeof(text)));
}

static void write_json(const char *scenario, const struct compared *modes, size_t count)
{
	struct json json = {0};
	char text[800];

	json_open(&json, '{');
	json_name(&json, "scenario");
	json_string(&json, scenario);
	json_name(&json, "rounds");
	json_uint(&json, settings.rounds);
	json_name(&json, "modes");
	json_open(&json, '[');
	for (size_t i = 0; i < count; i++) {
		json_open(&json, '{');
		json_name(&json, "mode");
		json_string(&json, modes[i].mode);
		for (size_t figure = 0; figure < FIGURE_COUNT; figure++) {
			json_name(&json, figures[figure].json);
			if (figure >= FIGURE_SWITCHES)
				json_uint(&json, (uint64_t)modes[i].values[figure]);
			else
				json_real(&json, modes[i].values[figure], 6);
		}
		json_name(&json, "says");
		json_string(&json, compare_say(modes, count, i, text, sizeof(text)));
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	output_printf("\n");
}

/* The modes of the scenario. */
static size_t list_modes(const struct scenario *scenario, struct compared *modes)
{
	size_t count = 0;

	for (int mode = 0; mode < MODE_COUNT; mode++)
		if (scenario->body[mode])
			modes[count++].mode = mode_names[mode];
	return count;
}

static int execute(int argc, char **argv)
{
	static struct compared modes[MODE_COUNT];
	size_t count;
	int status;

	if (argc < 1) {
		complain_line("compare: the scenario is missing; 'asyncctl list' shows them");
		return STATUS_USAGE;
	}
	const struct scenario *scenario = scenario_find(argv[0]);
	if (!scenario)
		return STATUS_USAGE;
	if (scenario == &stdin_scenario) {
		complain_line("compare: 'stdin' does what it is typed, which is no work that could be equal; expected "
			      "one of: primes, countdown");
		return STATUS_USAGE;
	}
	if (argc > WORDS_MAX - 16) {
		complain_line("compare: %d arguments are too many; expected at most %d", argc, WORDS_MAX - 16);
		return STATUS_USAGE;
	}
	count = list_modes(scenario, modes);
	/* Ctrl-C is the child's, which ends in order and says what was left undone. */
	signal(SIGINT, SIG_IGN);
	status = run_rounds(modes, count, argc, argv);
	if (status != STATUS_DONE)
		return status;
	if (settings.json) {
		write_json(scenario->name, modes, count);
	} else {
		show_table(modes, count);
		show_sentences(modes, count);
	}
	return output_finish() ? STATUS_DONE : STATUS_FAILED;
}

static void describe(void)
{
	output_printf("\nEach mode does the same work in a process of its own, in alternating rounds; the medians are "
		      "shown.\nA bar is relative to the largest figure of its column.\n");
}

const struct command compare_command = {
	.name = "compare",
	.arguments = "SCENARIO [ARGUMENT...]",
	.summary = "run a scenario in all of its modes, and say what differs",
	.describe = describe,
	.options = options,
	.settings = &settings,
	.execute = execute,
};
