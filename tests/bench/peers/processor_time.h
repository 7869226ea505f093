/* SPDX-License-Identifier: MIT */
#ifndef BENCH_PEERS_PROCESSOR_TIME_H
#define BENCH_PEERS_PROCESSOR_TIME_H

#include <time.h>

/* Nanoseconds on the processor, of all threads. */
static inline double processor_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

#endif
