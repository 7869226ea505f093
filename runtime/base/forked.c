/* SPDX-License-Identifier: MIT */
#include "base/forked.h"

#include <pthread.h>

unsigned forked;

static void count_fork(void)
{
	forked++;
}

/* Before anything is made. Without memory, which is before the program begins, nothing else would work either. */
__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, count_fork);
}
