/* SPDX-License-Identifier: MIT */
/* A shared object that libasync.a was linked into, for a program that does not know of it. */
#include <errno.h>

#include <async.h>

static intptr_t job(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t body(void *arg)
{
	int error = async_sleep(ASYNC_MS);

	return error ? error : async_to_thread(job, arg);
}

/* Leaves behind what a thread has: a loop of its own, an alternate stack, workers. */
ASYNC_EXPORT intptr_t plugin_run(intptr_t word);
intptr_t plugin_run(intptr_t word)
{
	if (!async_get_event_loop())
		return -ENOMEM;
	return async_run(body, (void *)word);
}
