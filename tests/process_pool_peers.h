/* SPDX-License-Identifier: MIT */
/* What the tests of process pools have in common: pools, jobs, and memory that all processes share. */
#ifndef TESTS_PROCESS_POOL_PEERS_H
#define TESTS_PROCESS_POOL_PEERS_H

#include "harness.h"

#include <stdatomic.h>
#include <sys/types.h>

/* What test and workers share: mapped before any pool is made. */
struct shared {
	atomic_int begun, runs, told, go_on;
	_Atomic pid_t worker, server;
};
extern struct shared *shared;

/* For cmocka: before and after all tests of a program. */
int map_shared(void **state);
int unmap_shared(void **state);

/* A pool named "tested"; `shared` is zero. */
async_executor *pool_with(size_t workers, size_t tasks);

/* After a test nothing may be left: no process, and the descriptors there were. */
void assert_no_child(void);
int count_fds(void);
/* Runs a test's task, and looks for what it left behind. */
void run_clean(async_fn *fn);

/* Jobs. */

intptr_t twice(void *arg);
intptr_t own_pid(void *arg);
/* The bytes go back as they came, in two parts. */
intptr_t echo_bytes(const void *arg, size_t size, async_reply *reply);
/* Of `shared`, which is the argument: begins and does not end of itself; counts that it ran. */
intptr_t wait_for_ever(void *arg);
intptr_t count_run(void *arg);

/* Submits wait_for_ever, and returns when it has begun. */
async_future *begin_waiting(async_executor *executor);

#endif
