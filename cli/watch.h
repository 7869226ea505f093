/* SPDX-License-Identifier: MIT */
/* What --trace and --timeline make of a run. */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "run.h"

/* Opens the files that options name: before anything runs whose record could not be kept. Returns: false after saying
 * what is wrong. */
bool watch_open(const struct run *run);
/* Begins to record if an option asks for it. Returns: false after saying what is wrong. */
bool watch_begin(struct run *run);
/* Without a loop, where there is no trace: item `index` begins, or has ended. */
void watch_item(struct run *run, size_t index, bool begins);
/* The run is over. Writes and draws what was asked for. Returns: false after saying what is wrong. */
bool watch_end(struct run *run);

#endif
