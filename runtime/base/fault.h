/* SPDX-License-Identifier: MIT */
/*
 * Faults on demand: every call that can fail passes through here, so that a test can make each of them fail
 * once. Disarmed, which a program always is, it is one load and a branch, and never on a hot path.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

extern atomic_bool fault_armed;

/* How many this thread has made. */
extern __thread uint64_t system_calls;

/* The error to fail with, or 0. `call` names the function that the caller is about to use. */
int fault_check(const char *call);

/* Makes the `nth` (from 1) call whose name is `call` (NULL: any) fail with `error`, a negative errno. */
void fault_arm(const char *call, unsigned long nth, int error);
/* The same for that call and all that follow. */
void fault_arm_for_good(const char *call, unsigned long nth, int error);
/* Fails nothing and counts the calls whose name is `call` (NULL: any). */
void fault_count(const char *call);
/* Ends either. Returns how many calls matched since. */
unsigned long fault_disarm(void);

static always_inline int fault(const char *call)
{
	if (likely(!atomic_load_explicit(&fault_armed, memory_order_relaxed)))
		return 0;
	return fault_check(call);
}

/* A system call with the library's convention: its value, or -errno. `name` is what a test calls it by. */
#define SYS(name, call) \
	({ \
		long sys_result_ = fault(name); \
		if (sys_result_ == 0) { \
			system_calls++; \
			sys_result_ = (long)(call); \
			if (sys_result_ == -1) \
				sys_result_ = -errno; \
		} \
		sys_result_; \
	})

#endif
