/* SPDX-License-Identifier: MIT */
/*
 * Signals, as calls of a loop and as something that tasks wait for.
 *
 * What runs in the signal handler only tells the loop; callbacks run in an iteration like any other and may call
 * whatever they like. Any number of loops and tasks may want the same signal: each gets it. Several that come before
 * they are dealt with are one, as with the kernel's own.
 *
 *     static const int wanted[] = {SIGTERM, SIGHUP};
 *     int number;
 *     while ((number = async_signal_wait(wanted, 2)) == SIGHUP)
 *             reload();
 *
 * While a loop wants a signal, the process catches it; the action that stood before comes back when the last one has
 * lost interest or is closed. Not to be had are SIGKILL and SIGSTOP, and what a program does to itself: SIGSEGV,
 * SIGBUS, SIGFPE, SIGILL.
 */
#ifndef ASYNC_SIGNAL_H
#define ASYNC_SIGNAL_H

#include <async/base.h>

ASYNC_BEGIN_DECLS

/*
 * Has `fn(arg)` called in an iteration of `loop` after the signal `number` came. Adding again replaces.
 * Returns: 0; -ENOMEM, -EINVAL (no such signal, or not to be had; NULL), -ESHUTDOWN (closed), -EPERM.
 */
ASYNC_EXPORT int async_loop_add_signal_handler(async_loop *loop, int number, async_callback *fn, void *arg);

/*
 * Ends that, and what async_signal_wait keeps of this signal for later. Tasks that wait for it go on waiting. A call
 * that is due already is not made.
 * Returns: 1; 0 (there was nothing to end), -EINVAL, -ESHUTDOWN, -EPERM.
 */
ASYNC_EXPORT int async_loop_remove_signal_handler(async_loop *loop, int number);

/*
 * Waits until one of `count` signals comes; every task that waits for it is woken. From the first call on the loop
 * keeps the signals for its tasks: one that comes while nobody waits is remembered for the next call.
 * Suspends: unless one is remembered. Cancel: at once; a signal that came first is returned, and the cancellation
 * comes from the next call that suspends.
 * Returns: the number of the signal; -ECANCELED, -ENOMEM, -EINVAL (none, or one that is not to be had), -EPERM
 * (outside a task).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_signal_wait(const int *numbers, size_t count);

ASYNC_END_DECLS

#endif
