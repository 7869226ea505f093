/* SPDX-License-Identifier: MIT */
/* How long to wait before another look at what the kernel does not tell of: longer each time, so that it costs next to
 * nothing, and short enough that nobody notices. */
#ifndef IO_PAUSE_H
#define IO_PAUSE_H

#include <async/base.h>

#define PAUSE_MIN (ASYNC_MS / 2)
#define PAUSE_MAX (32 * ASYNC_MS)

static inline async_time next_pause(async_time pause)
{
	return pause < PAUSE_MAX ? pause * 2 : pause;
}

#endif
