/* SPDX-License-Identifier: MIT */
/*
 * Time that nobody is to blame for: the process was stopped, traced, frozen with its machine, or the machine had no
 * processor for it. Whoever ticks regularly knows: a tick that comes late by more than a period is a stall, and what it
 * is late by is lost. So is the time since the last tick as soon as the next one is that late, which matters to those
 * who wake up from a stop before the ticker does.
 *
 * One thread ticks, any may ask.
 */
#ifndef CORE_STALLS_H
#define CORE_STALLS_H

#include <stdatomic.h>

#include <async/base.h>

/* A period is at least so long: on a busy machine a thread can be late by a few milliseconds. */
#define STALLS_PERIOD_MIN (5 * ASYNC_MS)

struct stalls {
	atomic_uint version;        /* odd while the rest changes */
	_Atomic async_time period;  /* 0: nobody ticks, nothing is lost */
	_Atomic async_time ticked;
	_Atomic async_time lost;
};

/* Of this process. */
extern struct stalls process_stalls;

/* From here on somebody ticks every `period`; 0: nobody does. What happened since the last tick is not held to be a
 * stall. */
void stalls_set_period(struct stalls *stalls, async_time period, async_time now);
void stalls_tick(struct stalls *stalls, async_time now);
/* What was lost from the beginning up to now. */
async_time stalls_lost(struct stalls *stalls, async_time now);

#endif
