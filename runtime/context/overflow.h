/* SPDX-License-Identifier: MIT */
/*
 * A stack overflow says whose stack it was, then the process dies as it would have.
 *
 * SIGSEGV is handled only where its action was the default, on an alternate stack, because there is none left to
 * run on. The fault is recognised by its address: the guard page of a slot.
 */
#ifndef CONTEXT_OVERFLOW_H
#define CONTEXT_OVERFLOW_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* Writes a line about the owner of a stack, from the label that the slot carries. Runs in a signal handler. */
typedef void overflow_describe(const void *label, char *line, size_t size);

/* What a thread must put back. */
/* Names the task whose stack overflowed, if that is what the signal tells of. In a signal handler. */
void overflow_tell(const siginfo_t *info);
/* Whether a handler is the one that does only that. */
bool overflow_handles(const struct sigaction *action);

struct overflow_watch {
	stack_t previous;
	void *stack;
};

/* Begins to watch in this thread. Without memory for the alternate stack an overflow is a plain SIGSEGV. */
void overflow_watch_begin(struct overflow_watch *watch, overflow_describe *describe);
void overflow_watch_end(struct overflow_watch *watch);

#endif
