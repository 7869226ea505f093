/* SPDX-License-Identifier: MIT */
/* What the tests of waiting for others have in common: tasks that are waited for. */
#ifndef TESTS_WAIT_PEERS_H
#define TESTS_WAIT_PEERS_H

#include "disposals.h"

/* Sleeps for `delay`, then gives `result`; cancelled, it gives way `cleanup` times first. */
struct work {
	const char *name;
	async_time delay;
	intptr_t result;
	int cleanup;
};

/* The task notes its name, after "cancelled-" if it was. A result that nobody takes is dropped. */
async_task *start(struct work *mine);

/* Three that end in the order b, c, a, and give 1, 2, 3. */
extern struct work three[3];

#endif
