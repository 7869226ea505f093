/* SPDX-License-Identifier: MIT */
#include "base/thread_guard.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t guarded;
static bool have_key;

/* A destructor of a key runs on the thread's own stack, wherever the thread was. */
static void on_thread_end(void *where)
{
	fprintf(stderr, "async: pthread_exit was called in %s; expected a return from it\n", (const char *)where);
	abort();
}

static void make_key(void)
{
	have_key = pthread_key_create(&guarded, on_thread_end) == 0;
}

void thread_guard_enter(struct thread_guard *guard, const char *where)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &guard->cancel_state);
	pthread_once(&once, make_key);
	guard->outer = have_key ? pthread_getspecific(guarded) : NULL;
	if (have_key)
		pthread_setspecific(guarded, where);
}

void thread_guard_leave(const struct thread_guard *guard)
{
	int ignored;

	if (have_key)
		pthread_setspecific(guarded, guard->outer);
	pthread_setcancelstate(guard->cancel_state, &ignored);
}
