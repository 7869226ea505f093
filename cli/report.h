/* SPDX-License-Identifier: MIT */
/* What is told of a run when it is over. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "run.h"

/* A line on standard error. */
void report_summary(struct run *run, async_time wall, async_time cpu);
/* The object on standard output. */
void report_json(struct run *run, async_time wall, async_time cpu);
/* What an interruption left undone, on standard error. */
void report_undone(struct run *run);

#endif
