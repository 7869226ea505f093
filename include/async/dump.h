/* SPDX-License-Identifier: MIT */
/*
 * All tasks of the process in words, for a program that hangs: which there are, what each waits for, since when, where
 * it was created.
 *
 *     static void on_usr1(int number) { (void)!async_dump_tasks(STDERR_FILENO); }
 *
 * It looks at the loops of other threads, too, while they run: what changes meanwhile may be missing or be told twice.
 */
#ifndef ASYNC_DUMP_H
#define ASYNC_DUMP_H

#include <async/base.h>

ASYNC_BEGIN_DECLS

/*
 * Writes a line for each loop and one for each of its tasks to the descriptor `fd`, which blocks as it does.
 * Thread: any, and signal handlers: it allocates nothing, takes no lock and trusts no pointer.
 * Returns: how many tasks were written; the error with which write(2) failed, such as -EBADF, -EPIPE, -EAGAIN.
 */
ASYNC_EXPORT intptr_t async_dump_tasks(int fd);

ASYNC_END_DECLS

#endif
