/* SPDX-License-Identifier: MIT */
#ifndef CORE_SLOW_H
#define CORE_SLOW_H

#include <async/base.h>

#include "core/ready.h"

struct async_loop;
struct task;

struct slow_report {
	async_time slice_began; /* real clock */
	async_time held;
	async_future *future;   /* the task; NULL: a callback */
	struct entry entry;
	bool queued;
};

/* Around what runs without giving way. `task` NULL: a callback. */
void slow_slice_begins(struct async_loop *loop, async_time now);
void slow_slice_ended(struct async_loop *loop, struct task *task, async_time now);

#endif
