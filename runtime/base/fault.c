/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#include <string.h>

atomic_bool fault_armed;
__thread uint64_t system_calls;

static const char *_Atomic armed_call;
static atomic_ulong armed_nth; /* 0: only counts */
static atomic_int armed_error;
static atomic_bool for_good;
static atomic_ulong seen;

int fault_check(const char *call)
{
	const char *wanted = atomic_load(&armed_call);

	if (wanted && strcmp(wanted, call) != 0)
		return 0;
	unsigned long count = atomic_fetch_add(&seen, 1) + 1;
	unsigned long nth = atomic_load(&armed_nth);
	bool due = count == nth || (atomic_load(&for_good) && count > nth);

	return due ? atomic_load(&armed_error) : 0;
}

static void arm(const char *call, unsigned long nth, int error, bool stays)
{
	atomic_store(&for_good, stays);
	atomic_store(&armed_call, call);
	atomic_store(&armed_nth, nth);
	atomic_store(&armed_error, error);
	atomic_store(&seen, 0);
	atomic_store(&fault_armed, true);
}

void fault_arm(const char *call, unsigned long nth, int error)
{
	arm(call, nth, error, false);
}

void fault_arm_for_good(const char *call, unsigned long nth, int error)
{
	arm(call, nth, error, true);
}

void fault_count(const char *call)
{
	fault_arm(call, 0, 0);
}

unsigned long fault_disarm(void)
{
	atomic_store(&fault_armed, false);
	return atomic_load(&seen);
}
