/* SPDX-License-Identifier: MIT */
/*
 * The event loop: runs what is ready, and asks the kernel when nothing is.
 *
 * One iteration runs exactly what was ready when it began, in FIFO order; what becomes ready meanwhile runs in
 * the next. A loop belongs to the thread that runs it. Most programs call async_run and never see one.
 *
 *     async_loop *loop;
 *     int error = async_loop_new(NULL, &loop);
 *     if (error)
 *             return error;
 *     intptr_t result = async_loop_run_until_complete(loop, async_loop_create_task(loop, fn, arg, NULL));
 *     async_loop_close(loop);
 *     async_loop_free(loop);
 *
 * Calls may come from the loop's thread only, unless their comment has a line `Thread:`. While a loop runs or closes,
 * pthread_cancel of its thread waits: it acts after the call has returned. pthread_exit inside of one aborts.
 */
#ifndef ASYNC_LOOP_H
#define ASYNC_LOOP_H

#include <async/base.h>
#include <async/options.h>

ASYNC_BEGIN_DECLS

/*
 * A new loop; `options` NULL for the defaults. Opens no descriptor: the reactor opens when it is first needed.
 * Owns: the caller closes, then frees it.
 * Returns: 0 with the loop in `*ret_loop`; -ENOMEM, -EINVAL (an option outside its limits), -ENOSYS (a switch
 * or backend that was demanded is not there).
 */
ASYNC_EXPORT int async_loop_new(const struct async_options *options, async_loop **ret_loop);

/*
 * Ends a loop: what is queued is dropped without running, tasks that are left are abandoned where they wait
 * (cancel and await them first, as async_run does), they and pending futures are done with -ESHUTDOWN, operations
 * are withdrawn from the kernel. Waits at most `shutdown_timeout` of the options for jobs and file calls that run, then
 * names them and leaves them behind, as async_run does. In debug mode names what was leaked. Closing a closed loop is
 * nothing to do.
 * Returns: 0; -EBUSY (it runs, or this is a child that a task of it has forked), -EPERM (it runs in another thread, or
 * another living thread ran it on io_uring and left operations behind: only that can withdraw them).
 */
ASYNC_EXPORT int async_loop_close(async_loop *loop);

/* Frees a loop, closing it if that was not done; NULL is nothing to do. No thread may use it, or a future of
 * it, from here on. */
ASYNC_EXPORT void async_loop_free(async_loop *loop);

/* The loop that runs in this thread, or NULL. Borrowed. */
ASYNC_EXPORT async_loop *async_get_running_loop(void);
/* The running loop, else this thread's own, which is made with default options at the first call and freed
 * when the thread ends. Borrowed. Returns: NULL only if there is no memory. */
ASYNC_EXPORT async_loop *async_get_event_loop(void);

/*
 * Runs until `future` is done. Other tasks stay pending and go on in the next run.
 * Owns: takes the reference of `future`, on every return.
 * Returns: its result; -EINTR (stopped before it was done; it stays pending), -EBUSY (a loop already runs in
 * this thread, or this one runs), -EDEADLK (nothing can ever wake anybody), -ESHUTDOWN (closed), -EPERM, or
 * the error with which the reactor could not be opened.
 */
ASYNC_EXPORT intptr_t async_loop_run_until_complete(async_loop *loop, async_future *future);

/* Runs until async_loop_stop. Returns: 0; -EBUSY, -EDEADLK, -ESHUTDOWN, -EPERM as above. */
ASYNC_EXPORT int async_loop_run_forever(async_loop *loop);

/*
 * Runs one iteration without waiting: polls the kernel, runs what is due. For a loop embedded in another: call
 * it when async_loop_fd is readable.
 * Returns: 1 (more is ready: call again soon), 0; errors as above.
 */
ASYNC_EXPORT int async_loop_run_once(async_loop *loop);

/* A descriptor that is readable whenever async_loop_run_once has something to do, timers included. It belongs
 * to the loop. Returns: the descriptor; -EMFILE, -ENFILE, -ENOMEM, -ESHUTDOWN, -EPERM. */
ASYNC_EXPORT int async_loop_fd(async_loop *loop);

/* Ends the run when the current iteration is over; before a run, the next run is one poll.
 * Thread: any, and signal handlers. */
ASYNC_EXPORT void async_loop_stop(async_loop *loop);

/* True while a run of this loop is under way. Thread: any. */
ASYNC_EXPORT bool async_loop_is_running(const async_loop *loop);
/* True once the loop is closed. Thread: any. */
ASYNC_EXPORT bool async_loop_is_closed(const async_loop *loop);
/* Now, on the loop's clock. NULL: the running loop's. */
ASYNC_EXPORT async_time async_loop_time(const async_loop *loop);

/*
 * Has `fn(arg)` called in the next iteration, in the order of these calls.
 * Owns: if `ret_handle` is not NULL, the caller gets a handle there and releases it.
 * Returns: 0; -ENOMEM, -EINVAL (no function), -ESHUTDOWN (closed), -EPERM.
 */
ASYNC_EXPORT int async_loop_call_soon(async_loop *loop, async_callback *fn, void *arg, async_handle **ret_handle);
/* The same after `delay` nanoseconds; equal deadlines in the order of these calls. A deadline that has passed already,
 * of a delay that is 0 or negative, is one for the next iteration: after what is ready by then, the earliest first. */
ASYNC_EXPORT int async_loop_call_later(async_loop *loop, async_time delay, async_callback *fn, void *arg,
				       async_handle **ret_handle);
/* The same when the loop's clock shows `when`. */
ASYNC_EXPORT int async_loop_call_at(async_loop *loop, async_time when, async_callback *fn, void *arg,
				    async_handle **ret_handle);

/*
 * The three with options (NULL: none). Either `fn` is called or `destroy`, once, in the loop's thread: inside
 * async_handle_cancel, or when the loop closes, or before a call that fails returns.
 */
ASYNC_EXPORT int async_loop_call_soon_with(async_loop *loop, async_callback *fn, void *arg,
					   const struct async_call_options *options, async_handle **ret_handle);
ASYNC_EXPORT int async_loop_call_later_with(async_loop *loop, async_time delay, async_callback *fn, void *arg,
					    const struct async_call_options *options, async_handle **ret_handle);
ASYNC_EXPORT int async_loop_call_at_with(async_loop *loop, async_time when, async_callback *fn, void *arg,
					 const struct async_call_options *options, async_handle **ret_handle);

/*
 * As async_loop_call_soon, and wakes the loop if it waits.
 * Thread: any. Returns: 0; -ENOMEM, -EINVAL, -ESHUTDOWN (closed: the call will not be made), -EPERM (a loop of the
 * parent process after fork).
 */
ASYNC_EXPORT int async_loop_call_soon_threadsafe(async_loop *loop, async_callback *fn, void *arg);
/* The same with options (NULL: none). `destroy` is called in the thread that closes or frees the loop, or before a
 * failed call returns, in this one. */
ASYNC_EXPORT int async_loop_call_soon_threadsafe_with(async_loop *loop, async_callback *fn, void *arg,
						      const struct async_call_options *options);

/*
 * A handle that is scheduled by async_handle_post, as often as wanted.
 * Owns: the caller releases it. Returns: 0 with the handle in `*ret_handle`; -ENOMEM, -EINVAL, -ESHUTDOWN, -EPERM.
 */
ASYNC_EXPORT int async_handle_new(async_loop *loop, async_callback *fn, void *arg, async_handle **ret_handle);
/* The same with options (NULL: none). `destroy` is called when no call can come any more, however many there were: at
 * the release, or after the call that is due then, or before a failed creation returns. */
ASYNC_EXPORT int async_handle_new_with(async_loop *loop, async_callback *fn, void *arg,
				       const struct async_call_options *options, async_handle **ret_handle);
/*
 * Schedules a prepared handle and wakes its loop. Posts that come before the callback ran are one call.
 * Thread: any, and signal handlers: it allocates nothing. Returns: 0; -ESHUTDOWN (closed), -EINVAL (NULL, or
 * a handle that async_handle_new did not make), -EPERM (a loop of the parent process after fork).
 */
ASYNC_EXPORT int async_handle_post(async_handle *handle);

/* The callback will not be called; inside the current iteration, too. Nothing to do if it ran, if it was
 * cancelled before, or for NULL. */
ASYNC_EXPORT void async_handle_cancel(async_handle *handle);
/* True if the handle was cancelled. */
ASYNC_EXPORT bool async_handle_cancelled(const async_handle *handle);
/* Drops the caller's reference; what was scheduled stays so. NULL is nothing to do. */
ASYNC_EXPORT void async_handle_release(async_handle *handle);

/* What went wrong where nobody was waiting. */
struct async_error_context {
	size_t size;          /* sizeof(struct async_error_context) */
	async_loop *loop;     /* where */
	const char *message;  /* one sentence, without a newline */
	async_future *future; /* whose failure it is, borrowed; or NULL */
	intptr_t error;       /* a negative errno, or 0 */
};

/* Returns 0 if it dealt with the error; a negative result falls back to the default, a line on stderr. */
typedef int async_error_handler(const struct async_error_context *context, void *arg);

/* Replaces what is done with the failure of a detached task or a future that nobody looked at (each reported
 * once), with deadlocks, and in debug mode with leaks and slow tasks. NULL brings the default back.
 * Returns: 0; -EINVAL, -EPERM. */
ASYNC_EXPORT int async_loop_set_error_handler(async_loop *loop, async_error_handler *handler, void *arg);

/* Counters of a loop. The caller sets `size` to sizeof(struct async_loop_stats) before the call. */
struct async_loop_stats {
	size_t size;
	const char *backend;       /* "io_uring", "epoll"; "none" if no descriptor was ever needed */
	const char *switch_kind;   /* "asm", "ucontext" */
	uint64_t iterations;       /* of the ready queue */
	uint64_t switches;         /* times that a task was given the processor */
	uint64_t polls;            /* times that the kernel was asked */
	size_t tasks;              /* alive */
	uint64_t tasks_created;    /* ever */
	size_t timers;             /* pending */
	size_t operations;         /* in the reactor */
	size_t jobs;               /* in executors */
	uint64_t system_calls;     /* that the calling thread has made in the library, for any loop */
	uint64_t callbacks;        /* that ran on the loop's own stack */
	uint64_t timers_expired;
	uint64_t wakeups;          /* services that found news from other threads or signal handlers */
	async_time waited;         /* for something to do; real time */
	async_time longest_slice;  /* that a task or callback held the loop; -1: known in debug mode only */
	size_t stacks_idle;        /* kept for tasks to come */
};

/* Fills `*stats`. Returns: 0; -EINVAL (NULL, or a size that is no version of the structure), -EPERM. */
ASYNC_EXPORT int async_loop_get_stats(const async_loop *loop, struct async_loop_stats *stats);

ASYNC_END_DECLS

#endif
