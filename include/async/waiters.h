/* SPDX-License-Identifier: MIT */
/* Where tasks wait in a lock, an event, a semaphore: a part of those, and of no use by itself. */
#ifndef ASYNC_WAITERS_H
#define ASYNC_WAITERS_H

/* Tasks in the order in which they came. The fields are the library's; all zero is nobody. Once used, it stays
 * where it is. */
struct async_waiters {
	void *first, *last;
};

#endif
