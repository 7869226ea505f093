/* SPDX-License-Identifier: MIT */
/* What the tests of task groups have in common: children. */
#ifndef TESTS_GROUP_PEERS_H
#define TESTS_GROUP_PEERS_H

#include "harness.h"

/* A string as an argument. */
#define NAME(text) ((void *)(uintptr_t)(text))

void begin(struct async_group *group);

/* Functions of children. */

/* Give their argument: after a short sleep, or without one. */
intptr_t give_after(void *arg);
intptr_t give_at_once(void *arg);
/* Sleeps for ever, and notes how that ended. */
intptr_t until_cancelled(void *arg);
/* Sleeps for ever, and gives its argument once it is cancelled. */
intptr_t fails_when_cancelled(void *arg);

#endif
