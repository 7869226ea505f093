/* SPDX-License-Identifier: MIT */
#include "core/stalls.h"

#include "base/compiler.h"

struct stalls process_stalls;

/* How much of the time since a tick is lost. */
static async_time stall(async_time since_tick, async_time period)
{
	return period > 0 && since_tick > 2 * period ? since_tick - period : 0;
}

static void change(struct stalls *stalls, async_time period, async_time now, async_time lost)
{
	atomic_fetch_add(&stalls->version, 1);
	atomic_store(&stalls->period, period);
	atomic_store(&stalls->ticked, now);
	atomic_store(&stalls->lost, atomic_load(&stalls->lost) + lost);
	atomic_fetch_add(&stalls->version, 1);
}

void stalls_set_period(struct stalls *stalls, async_time period, async_time now)
{
	change(stalls, period, now, 0);
}

void stalls_tick(struct stalls *stalls, async_time now)
{
	async_time period = atomic_load(&stalls->period);

	change(stalls, period, now, stall(now - atomic_load(&stalls->ticked), period));
}

async_time stalls_lost(struct stalls *stalls, async_time now)
{
	async_time period, ticked, lost;
	unsigned version;

	for (;;) {
		version = atomic_load(&stalls->version);
		period = atomic_load(&stalls->period);
		ticked = atomic_load(&stalls->ticked);
		lost = atomic_load(&stalls->lost);
		if (likely(version % 2 == 0 && version == atomic_load(&stalls->version)))
			return lost + stall(now - ticked, period);
		cpu_relax();
	}
}
