/* SPDX-License-Identifier: MIT */
/* The end of a loop whose tasks have not ended by themselves. */
#ifndef COMPOSE_CANCEL_ALL_H
#define COMPOSE_CANCEL_ALL_H

#include "core/loop.h"

/* Runs the loop until every task in it has been cancelled and has ended, or `shutdown_timeout` has passed; reports
 * those that have not, and failures nobody has looked at. */
void loop_cancel_all(struct async_loop *loop);

#endif
