/* SPDX-License-Identifier: MIT */
/*
 * The watchdog: one thread for all loops in debug mode, from the first run of one until the last is closed. Every
 * eighth of the least `slow_task` it looks who holds a loop for how long, and reports on stderr: the loop's own error
 * handler belongs to the thread that is blocked.
 */
#ifndef INTROSPECT_WATCHDOG_H
#define INTROSPECT_WATCHDOG_H

#include <async/base.h>

struct slow_report;

/* A loop is told of so many slow slices a minute; how many others there were is added to the next report. */
#define WATCHDOG_REPORTS 10

/* True if another report of that loop may be made now. */
bool watchdog_admit(struct slow_report *slow, async_time now);

#endif
