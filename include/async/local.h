/* SPDX-License-Identifier: MIT */
/*
 * Task-local values: what a task knows without being told by its callers, such as the request it works for.
 *
 * A key is a static object. A task sees the values of its creator as they were when it was created; what it sets
 * itself is seen by it and by the tasks that it creates from then on, never by others. A callback sees the values
 * of who scheduled it. Outside of tasks and callbacks a thread has values of its own, which the tasks that it
 * creates there begin with.
 *
 *     static struct async_local request = ASYNC_LOCAL_INIT(NULL);
 *     ...
 *     void *previous;
 *     int error = async_local_set(&request, mine, &previous);
 *     ...
 *     const struct request *current = async_local_get(&request);
 *
 * A value is one word that the library copies and never looks into: what it points to must outlive every task
 * that can see it. Any number of tasks share one table of values until one of them sets something, so that
 * creating a task costs the same however many there are.
 */
#ifndef ASYNC_LOCAL_H
#define ASYNC_LOCAL_H

#include <async/base.h>

/* A key. Its address is what counts: it must be the same object for everybody, and live as long as the program. */
struct async_local {
	void *initial; /* the value where none was set */
};

#define ASYNC_LOCAL_INIT(initial) {initial}

/* Most keys that one task can have values for at a time. */
#define ASYNC_LOCAL_MAX 1024

ASYNC_BEGIN_DECLS

/* The value that the running task, callback or thread has for a key. Thread: any. */
ASYNC_EXPORT void *async_local_get(const struct async_local *local);

/*
 * Sets a value. The one before goes to `*ret_previous` (may be NULL); setting that again undoes it.
 * Thread: any. Returns: 0; -ENOMEM, -ENOSPC (ASYNC_LOCAL_MAX keys have a value), -EINVAL (NULL).
 */
ASYNC_EXPORT int async_local_set(const struct async_local *local, void *value, void **ret_previous);

ASYNC_END_DECLS

#endif
