/* SPDX-License-Identifier: MIT */
/*
 * What others wait for must not vanish with its thread: while one is guarded, pthread_cancel(3) of it has to wait, and
 * pthread_exit(3), from which there is no return, ends the process after saying where it was called.
 */
#ifndef BASE_THREAD_GUARD_H
#define BASE_THREAD_GUARD_H

struct thread_guard {
	int cancel_state;
	const void *outer;
};

/* `where`, a static text, is what the thread is in. Guards may be nested, and are left in the same function. */
void thread_guard_enter(struct thread_guard *guard, const char *where);
void thread_guard_leave(const struct thread_guard *guard);

#endif
