/* SPDX-License-Identifier: MIT */
#include "group_peers.h"

intptr_t give_after(void *arg)
{
	int error = async_sleep(10);

	return error ? error : (intptr_t)arg;
}

intptr_t give_at_once(void *arg)
{
	return (intptr_t)arg;
}

intptr_t until_cancelled(void *arg)
{
	int error = async_sleep(ASYNC_FOREVER);

	note("%s:%s", (const char *)arg, error == -ECANCELED ? "cancelled" : "?");
	return error;
}

void begin(struct async_group *group)
{
	*group = (struct async_group)ASYNC_GROUP_INIT;
	assert_int_equal(async_group_begin(group), 0);
}

intptr_t fails_when_cancelled(void *arg)
{
	int error = async_sleep(ASYNC_FOREVER);

	return error == -ECANCELED ? (intptr_t)arg : error;
}
