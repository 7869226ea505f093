/* SPDX-License-Identifier: MIT */
/*
 * The reactor: operations in, completions out. One interface, two backends (uring.c, epoll.c).
 *
 * A reactor belongs to the thread that opened it; only reactor_wake may come from elsewhere. Cancelling never
 * gives an operation back before the kernel has let go of its buffer. Any number of operations may wait on a
 * descriptor: its reads are served in the order of submission, and so are its writes; calls on files, and what a
 * worker does for one, may overtake. No SIGPIPE is raised, and no descriptor is set to O_NONBLOCK but for the moment
 * of an accept(2) or connect(2) that cannot be told otherwise.
 */
#ifndef REACTOR_REACTOR_H
#define REACTOR_REACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactor/op.h"

struct reactor;

enum reactor_kind {
	REACTOR_AUTO,
	REACTOR_URING,
	REACTOR_EPOLL,
};

struct reactor_options {
	enum reactor_kind kind;
	/* Find out which operations hold time, which costs an fstat each, and let nothing depend on when the kernel
	 * tells what: completions of one wait come in the order of submission, and no withdrawal completes at once. */
	bool virtual_time;
};

/* Opens a reactor. REACTOR_AUTO takes epoll where io_uring cannot be had. Returns 0 or -errno: -ENOSYS if
 * io_uring was demanded and cannot be had (reactor_uring_usable tells why), -ENOMEM, -EMFILE, -ENFILE. */
int reactor_open(const struct reactor_options *options, struct reactor **ret_reactor);

/* Whether this thread may use the reactor. A ring belongs to the thread that opened it. */
bool reactor_is_ours(const struct reactor *r);
/* For a thread that is going to close another one's. Returns 0, or -EPERM if that lives and has operations pending:
 * nobody else can withdraw them. The operations of a thread that has ended were withdrawn by the kernel. */
int reactor_take_over(struct reactor *r);

/* Withdraws what is pending without calling `complete`, and waits until the kernel and the workers have let go, for
 * workers at most until `until` on the real clock. Returns false if one of them has not. */
bool reactor_settle(struct reactor *r, int64_t until);
/* After that, frees. */
void reactor_close(struct reactor *r);
/* Instead of it, if somebody has not let go: all that they may touch stays, memory and descriptors. */
void reactor_leave(struct reactor *r);

/* "io_uring" or "epoll". */
const char *reactor_name(const struct reactor *r);

/* Returns true if the operation completed at once: its result is set and `complete` is not called. What cannot
 * be started (no memory, bad descriptor) completes at once with that error. */
bool reactor_submit(struct reactor *r, struct op *op);

/* Asks for a pending operation back. Returns true if it completed at once (with -ECANCELED; `complete` is not
 * called); else `complete` will be called, with -ECANCELED or, if the kernel was faster, with the result.
 * Nothing to do, and false, if it was asked before. */
bool reactor_cancel(struct reactor *r, struct op *op);

/* Ends everything pending on `fd` with -EBADF (through `complete`, at the latest in a later reactor_wait) and
 * forgets what is known of the descriptor. What had already succeeded keeps its result. Returns how many
 * operations have not completed when it returns. The caller closes the descriptor when they have. */
unsigned reactor_forget(struct reactor *r, int fd);

/* Waits at most `timeout` ns (0: only looks; negative: for ever) for completions or a wake, and calls
 * `complete` of each. Submissions are handed to the kernel here, in one call with the waiting. Returns the
 * number of completions, or -errno if waiting itself failed; a signal is no failure. */
int reactor_wait(struct reactor *r, int64_t timeout);

/* Ends the wait that is under way, or the next one. Any thread, and signal handlers. */
void reactor_wake(struct reactor *r);

/* A descriptor that is readable when reactor_wait has completions to deliver or was woken; or -errno. Waits on
 * it must follow a reactor_wait, which hands submissions to the kernel. */
int reactor_fd(struct reactor *r);

/* Operations pending, and those of them that hold time. */
size_t reactor_pending(const struct reactor *r);
size_t reactor_holding_time(const struct reactor *r);

/* In a child process after fork, instead of reactor_close: frees memory and closes the child's copies of the
 * reactor's own descriptors, and leaves alone what the parent shares: ring, registrations, operations. */
void reactor_abandon(struct reactor *r);

/* Whether io_uring can be used, found once by trying. The reason is "" if it can. `features` (may be NULL) gets
 * the words for what was found. Static strings. Any thread. */
bool reactor_uring_usable(const char **ret_reason, const char **ret_features);

#endif
