/* SPDX-License-Identifier: MIT */
#include "compose/futures.h"

#include <errno.h>

struct async_loop *futures_loop(async_future *const *futures, size_t count, int *ret_error)
{
	struct async_loop *loop = NULL;

	*ret_error = count > 0 && !futures ? -EINVAL : 0;
	for (size_t i = 0; i < count && *ret_error == 0; i++) {
		*ret_error = future_check(futures[i]);
		if (*ret_error || !futures[i]->loop)
			continue;
		if (loop && futures[i]->loop != loop)
			*ret_error = -EPERM;
		loop = futures[i]->loop;
	}
	return loop ? loop : loop_or_default(NULL);
}

void futures_release(async_future *const *futures, size_t count)
{
	for (size_t i = 0; futures && i < count; i++)
		async_release(futures[i]);
}
