/* SPDX-License-Identifier: MIT */
/*
 * A scenario is a number of items, each worked off by a body, and a body for each mode. What is common to all of
 * them (options, the loop, one task per item, Ctrl-C, errors, the summary) is run.c's.
 */
#ifndef CLI_SCENARIO_SCENARIO_H
#define CLI_SCENARIO_SCENARIO_H

#include "output.h"
#include "run.h"

/* An item in a run: what a body gets. */
struct item {
	struct run *run;
	size_t index;
	intptr_t result;
};

struct scenario {
	const char *name;
	const char *arguments; /* as help shows them */
	const char *summary;
	const char *details; /* lines for the help */
	const char *items;   /* what the items are called: "numbers" */

	/* By mode, called with a struct item; NULL where there is no such mode. SYNC's is called without a loop,
	 * the others are tasks. Returns: 0; -ECANCELED (left undone), or -errno, which run.c reports. */
	async_fn *body[MODE_COUNT];

	/* Reads the arguments, sets run->count and run->state. Returns: STATUS_DONE, or another after saying why. */
	int (*prepare)(struct run *run, int argc, const char *const *argv);
	/* The work is over; may be NULL. */
	void (*finish)(struct run *run);
	/* Frees the state, whether the work was done or not. */
	void (*dispose)(struct run *run);
	const char *(*name_item)(void *run, size_t index, char *buffer, size_t size);
	/* Writes the elements of "results". */
	void (*write_results)(struct run *run, struct json *json);
};

/* Every scenario, NULL at the end. */
extern const struct scenario *const scenarios[];

/* The scenario of this name; NULL after saying on stderr which ones there are. */
const struct scenario *scenario_find(const char *name);

/* Writes the names of its modes. Returns: `buffer`. */
const char *scenario_modes(const struct scenario *scenario, const char *separator, char *buffer, size_t size);

extern const struct scenario primes_scenario;
extern const struct scenario countdown_scenario;
extern const struct scenario stdin_scenario;

#endif
