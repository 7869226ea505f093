/* SPDX-License-Identifier: MIT */
/*
 * Who has which task-local values: tasks, handles and done callbacks hold a table each, and so does a thread for
 * the time when it runs none of them. A table that several share is never changed; NULL is the empty one.
 */
#ifndef CORE_LOCAL_H
#define CORE_LOCAL_H

#include <async/local.h>

#include "base/compiler.h"

struct locals;

/* The table of the code that runs in this thread outside of tasks. */
extern __thread struct locals *locals_of_thread;

struct locals *locals_share(struct locals *locals);
void locals_drop(struct locals *locals);

/* A reference to a table for somebody else to begin with. Tables are counted atomically, so that one may go to
 * another thread. */
static always_inline struct locals *locals_ref(struct locals *locals)
{
	return unlikely(locals != NULL) ? locals_share(locals) : NULL;
}

static always_inline void locals_unref(struct locals *locals)
{
	if (unlikely(locals != NULL))
		locals_drop(locals);
}

/* A reference to the table of whoever runs now. */
struct locals *locals_capture(void);

/* Has code that is no task see a table instead of the thread's own, which it returns. */
static always_inline struct locals *locals_enter(struct locals *locals)
{
	struct locals *outer = locals_of_thread;

	locals_of_thread = locals;
	return outer;
}

/* Undoes it. Returns the table as that code left it. */
static always_inline struct locals *locals_leave(struct locals *outer)
{
	struct locals *inner = locals_of_thread;

	locals_of_thread = outer;
	return inner;
}

#endif
