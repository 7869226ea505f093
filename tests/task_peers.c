/* SPDX-License-Identifier: MIT */
#include "task_peers.h"

intptr_t return_arg(void *arg)
{
	return (intptr_t)arg;
}

intptr_t sleep_long(void *arg)
{
	(void)arg;
	return async_sleep(1000 * ASYNC_S);
}
