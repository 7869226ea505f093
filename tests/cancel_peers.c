/* SPDX-License-Identifier: MIT */
#include "cancel_peers.h"

async_task *self_task(void)
{
	return async_current_task();
}

intptr_t sleep_one(void *arg)
{
	(void)arg;
	return async_sleep(ASYNC_S);
}
