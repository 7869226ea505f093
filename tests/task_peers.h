/* SPDX-License-Identifier: MIT */
/* What the tests of tasks have in common: functions of tasks. */
#ifndef TESTS_TASK_PEERS_H
#define TESTS_TASK_PEERS_H

#include "harness.h"

/* Gives its argument. */
intptr_t return_arg(void *arg);
/* Sleeps longer than any test takes. */
intptr_t sleep_long(void *arg);

#endif
