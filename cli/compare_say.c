/* SPDX-License-Identifier: MIT */
/* Sentences out of figures: what differs between the modes by more than a run differs from the next. */
#include <stdio.h>
#include <string.h>

#include "compare.h"

/* Less is noise. */
#define CLEARLY 1.25
/* Below this nobody notices. */
#define NOTICED 0.02
#define ONE_MS 0.001

struct sentence {
	char *text;
	size_t used, size;
	size_t clauses;
};

static const struct compared *best(const struct compared *modes, size_t count, enum figure figure)
{
	const struct compared *least = modes;

	for (size_t i = 1; i < count; i++)
		if (modes[i].values[figure] < least->values[figure])
			least = &modes[i];
	return least;
}

const char *compare_format_time(double time, char *buffer, size_t size)
{
	static const char *const units[] = {"s", "ms", "us", "ns"};
	size_t unit = 0;

	while (unit < 3 && time < 1 && time < (unit ? 1 : 0.1)) {
		time *= 1000;
		unit++;
	}
	snprintf(buffer, size, "%.*f %s", time < 1 ? 3 : time < 10 ? 2 : time < 100 ? 1 : 0, time, units[unit]);
	return buffer;
}

static void say(struct sentence *sentence, const char *joint, const char *clause)
{
	int written = snprintf(sentence->text + sentence->used, sentence->size - sentence->used, "%s%s",
			       sentence->clauses ? joint : "", clause);

	sentence->used += written > 0 ? (size_t)written : 0;
	if (sentence->used >= sentence->size)
		sentence->used = sentence->size - 1;
	sentence->clauses++;
}

/* How long it took, and where the time went. */
static void say_time(struct sentence *sentence, const struct compared *mode, const struct compared *fastest)
{
	double wall = mode->values[FIGURE_WALL], cpu = mode->values[FIGURE_CPU];
	char clause[200], time[24];

	compare_format_time(wall, time, sizeof(time));
	if (wall > fastest->values[FIGURE_WALL] * CLEARLY && wall - fastest->values[FIGURE_WALL] > ONE_MS)
		snprintf(clause, sizeof(clause), "took %s, %.1f times as long as %s", time,
			 wall / fastest->values[FIGURE_WALL], fastest->mode);
	else if (mode == fastest)
		snprintf(clause, sizeof(clause), "was the fastest with %s", time);
	else
		snprintf(clause, sizeof(clause), "took %s, about as long as the fastest", time);
	say(sentence, "", clause);
	if (cpu > wall * CLEARLY && wall > NOTICED) {
		snprintf(clause, sizeof(clause), "used %.1f processors at once", cpu / wall);
		say(sentence, ", ", clause);
	} else if (cpu < wall / 10) {
		snprintf(clause, sizeof(clause), "computed for %.1f %% of that and waited for the rest",
			 100 * cpu / wall);
		say(sentence, ", ", clause);
	}
}

/* How long one had to wait for the first answer, and was left without one. */
static void say_answers(struct sentence *sentence, const struct compared *mode, const struct compared *soonest,
			const struct compared *steadiest)
{
	double first = mode->values[FIGURE_FIRST], gap = mode->values[FIGURE_GAP], wall = mode->values[FIGURE_WALL];
	char clause[240], time[24], other[24];

	compare_format_time(first, time, sizeof(time));
	compare_format_time(soonest->values[FIGURE_FIRST], other, sizeof(other));
	if (first > soonest->values[FIGURE_FIRST] * 2 && first > NOTICED)
		snprintf(clause, sizeof(clause), "gave its first answer only after %s, where %s had one after %s%s",
			 time, soonest->mode, other,
			 first > wall / 2 ? ": what was quick waited behind what was long" : "");
	else
		snprintf(clause, sizeof(clause), "gave its first answer after %s%s", time,
			 mode == soonest ? ", sooner than any other" : "");
	say(sentence, ", and ", clause);
	if (gap > steadiest->values[FIGURE_GAP] * CLEARLY && gap > NOTICED && gap > first * CLEARLY) {
		compare_format_time(gap, time, sizeof(time));
		snprintf(clause, sizeof(clause), "then left one without an answer for up to %s", time);
		say(sentence, "; ", clause);
	}
}

static void say_cost(struct sentence *sentence, const struct compared *mode, const struct compared *leanest,
		     const struct compared *cheapest)
{
	char clause[120];

	if (mode->values[FIGURE_MEMORY] > leanest->values[FIGURE_MEMORY] * CLEARLY) {
		snprintf(clause, sizeof(clause), "took %.1f times the memory of %s",
			 mode->values[FIGURE_MEMORY] / leanest->values[FIGURE_MEMORY], leanest->mode);
		say(sentence, "; it ", clause);
	}
	if (mode->values[FIGURE_CPU] > cheapest->values[FIGURE_CPU] * CLEARLY &&
	    mode->values[FIGURE_CPU] > NOTICED) {
		snprintf(clause, sizeof(clause), "needed %.1f times the processor time of %s",
			 mode->values[FIGURE_CPU] / cheapest->values[FIGURE_CPU], cheapest->mode);
		say(sentence, "; it ", clause);
	}
}

const char *compare_say(const struct compared *modes, size_t count, size_t index, char *buffer, size_t size)
{
	const struct compared *mode = &modes[index];
	struct sentence sentence = {.text = buffer, .size = size};

	buffer[0] = '\0';
	say_time(&sentence, mode, best(modes, count, FIGURE_WALL));
	say_answers(&sentence, mode, best(modes, count, FIGURE_FIRST), best(modes, count, FIGURE_GAP));
	say_cost(&sentence, mode, best(modes, count, FIGURE_MEMORY), best(modes, count, FIGURE_CPU));
	say(&sentence, "", ".");
	return buffer;
}
