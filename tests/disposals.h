/* SPDX-License-Identifier: MIT */
/* What the library disposed of: arguments that no task was given, results that nobody took. */
#ifndef TESTS_DISPOSALS_H
#define TESTS_DISPOSALS_H

#include "harness.h"

/* How many arguments and how many results; the last result, and all of them added up. */
extern int destroyed, dropped;
extern intptr_t dropped_value, dropped_sum;

/* Count one, for options and futures. */
void destroy(void *arg);
void drop(intptr_t result);

/* Sets all of them to 0. */
void forget_disposals(void);

#endif
