/* SPDX-License-Identifier: MIT */
/* What the calls that are given several futures have in common. */
#ifndef COMPOSE_FUTURES_H
#define COMPOSE_FUTURES_H

#include "core/loop.h"

/* The loop of all of them, the default one if they have none; -EINVAL or -EPERM in *ret_error if they cannot be used
 * here together, else 0. NULL: no memory for a loop. */
struct async_loop *futures_loop(async_future *const *futures, size_t count, int *ret_error);

/* Drops a reference of each; NULL is nothing to do. */
void futures_release(async_future *const *futures, size_t count);

#endif
