/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdio.h>
#include <sys/resource.h>

#include "output.h"
#include "scenario/scenario.h"

#define UNDONE_NAMES_MAX 10

void report_undone(struct run *run)
{
	char text[UNDONE_NAMES_MAX * 64] = "", name[60];
	size_t undone = 0, used = 0;

	for (size_t i = 0; i < run->count; i++) {
		if (run_item_done(run, i) || undone++ >= UNDONE_NAMES_MAX)
			continue;
		run->scenario->name_item(run, i, name, sizeof(name));
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used ? ", " : ": ", name);
	}
	note_line("interrupted: %zu of %zu %s left undone%s%s", undone, run->count, run->scenario->items, text,
		  undone > UNDONE_NAMES_MAX ? ", ..." : "");
}

static double seconds(async_time time)
{
	return (double)time / (double)ASYNC_S;
}

void report_summary(struct run *run, async_time wall, async_time cpu)
{
	char answer[40] = "none", virtual_time[40] = "";

	if (run->first_answer >= 0)
		snprintf(answer, sizeof(answer), "%.3f s", seconds(run->first_answer));
	if (run->settings->clock == ASYNC_CLOCK_VIRTUAL)
		snprintf(virtual_time, sizeof(virtual_time), " (virtual %.3f s)", seconds(run->virtual_time));
	note_line("%s: mode %s, wall %.3f s%s, CPU %.3f s, first answer %s, switches %llu, backend %s, switch %s",
		  run->scenario->name, mode_names[run->settings->mode], seconds(wall), virtual_time, seconds(cpu),
		  answer, (unsigned long long)run->stats.switches, run->stats.backend, run->stats.switch_kind);
}

/* The most memory that this process has had, and the largest of those that it made, all of which have ended. */
static uint64_t peak_rss(void)
{
	struct rusage self, children;

	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &children);
	return ((uint64_t)self.ru_maxrss + (uint64_t)children.ru_maxrss) * 1024;
}

void report_json(struct run *run, async_time wall, async_time cpu)
{
	struct json json = {0};

	json_open(&json, '{');
	json_name(&json, "scenario");
	json_string(&json, run->scenario->name);
	json_name(&json, "mode");
	json_string(&json, mode_names[run->settings->mode]);
	json_name(&json, "backend");
	json_string(&json, run->stats.backend);
	json_name(&json, "switch");
	json_string(&json, run->stats.switch_kind);
	json_name(&json, "wall_s");
	json_real(&json, seconds(wall), 6);
	json_name(&json, "cpu_s");
	json_real(&json, seconds(cpu), 6);
	json_name(&json, "first_answer_s");
	if (run->first_answer >= 0)
		json_real(&json, seconds(run->first_answer), 6);
	else
		json_null(&json);
	json_name(&json, "longest_gap_s");
	json_real(&json, seconds(run->longest_gap), 6);
	json_name(&json, "peak_rss_bytes");
	json_uint(&json, peak_rss());
	json_name(&json, "switches");
	json_uint(&json, run->stats.switches);
	json_name(&json, "results");
	json_open(&json, '[');
	run->scenario->write_results(run, &json);
	json_close(&json, ']');
	json_close(&json, '}');
	output_printf("\n");
}
