/* SPDX-License-Identifier: MIT */
#include "wait_peers.h"

static intptr_t work(void *arg)
{
	const struct work *mine = arg;
	int error = async_sleep(mine->delay);

	if (error < 0) {
		give_way(mine->cleanup);
		note("cancelled-%s", mine->name);
		return error;
	}
	note("%s", mine->name);
	return mine->result;
}

async_task *start(struct work *mine)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.drop = drop;
	return async_create_task_with(work, mine, &options);
}

struct work three[] = {{"a", 30, 1, 0}, {"b", 10, 2, 0}, {"c", 20, 3, 0}};
