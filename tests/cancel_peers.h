/* SPDX-License-Identifier: MIT */
/* What the tests of cancellation have in common. */
#ifndef TESTS_CANCEL_PEERS_H
#define TESTS_CANCEL_PEERS_H

#include "harness.h"

/* The task that calls it. */
async_task *self_task(void);
/* Sleeps a second. */
intptr_t sleep_one(void *arg);

#endif
