/* SPDX-License-Identifier: MIT */
/* What `compare` knows of a mode, and what it says about it. */
#ifndef CLI_COMPARE_H
#define CLI_COMPARE_H

#include <stddef.h>

enum figure { FIGURE_WALL, FIGURE_CPU, FIGURE_FIRST, FIGURE_GAP, FIGURE_SWITCHES, FIGURE_MEMORY, FIGURE_COUNT };

#define ROUNDS_MAX 99

struct compared {
	const char *mode;
	double values[FIGURE_COUNT]; /* the medians; seconds, a number, bytes */
	double rounds[FIGURE_COUNT][ROUNDS_MAX];
};

/* "0.18 s", "4.1 us": a time in three digits. */
const char *compare_format_time(double time, char *buffer, size_t size);
/* One sentence about modes[index], out of the figures of all. Returns: `buffer`. */
const char *compare_say(const struct compared *modes, size_t count, size_t index, char *buffer, size_t size);

#endif
