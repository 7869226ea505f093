/* SPDX-License-Identifier: MIT */
#ifndef IO_FIFO_H
#define IO_FIFO_H

#include <stdbool.h>

#include "reactor/call.h"

/* Whether open(2) with these flags would wait for the other end, if it is about a FIFO. */
bool fifo_open_waits(int flags);

/*
 * What becomes of a CALL_OPENAT that has ended with `result` without waiting for the other end of a FIFO, as it should
 * have: opens it as open(2) does, waiting in the task. Of what is no FIFO, the result.
 */
int fifo_open(const struct call *call, int result);

#endif
