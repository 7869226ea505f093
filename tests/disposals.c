/* SPDX-License-Identifier: MIT */
#include "disposals.h"

int destroyed, dropped;
intptr_t dropped_value, dropped_sum;

void destroy(void *arg)
{
	(void)arg;
	destroyed++;
}

void drop(intptr_t result)
{
	dropped++;
	dropped_value = result;
	dropped_sum += result;
}

void forget_disposals(void)
{
	destroyed = dropped = 0;
	dropped_value = dropped_sum = 0;
}
