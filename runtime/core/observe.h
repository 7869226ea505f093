/* SPDX-License-Identifier: MIT */
/*
 * What is noticed of a loop while it runs. The hot path asks one byte of the loop, `observed`, whether anybody wants
 * to know; while it is 0 nothing is recorded and no clock is read. Everything that is noticed of tasks passes here, so
 * that one look at the clock serves the slow-task report, the accounts and the trace.
 */
#ifndef CORE_OBSERVE_H
#define CORE_OBSERVE_H

struct async_loop;
struct task;
struct job;

enum observe {
	OBSERVE_SLICES = 1,   /* who holds the loop too long: slow.h */
	OBSERVE_ACCOUNTS = 2, /* each task's time on the processor and its switches: in its stack's header */
	OBSERVE_TRACE = 4,    /* all of it: base/trace.h; follows what other threads switch, see observe_service */
};

/* What a task does from now on that leaves the processor; in TRACE_SWITCH. */
enum observe_state {
	OBSERVE_READY,
	OBSERVE_PARKED,
	OBSERVE_ENDED,
};

/* The processor goes from one task to another; NULL is the loop's own stack. A task that leaves is parked, ready
 * (it gave way) or ended, as its state and its queue say. */
void observe_switch(struct async_loop *loop, struct task *from, struct task *to);
/* A callback of the user's is about to run on the loop's own stack, or has returned. */
void observe_callback_begins(struct async_loop *loop);
void observe_callback_ends(struct async_loop *loop);
/* A task was created, by whoever runs now. */
void observe_create(struct async_loop *loop, struct task *task);
/* A parked task has become ready, through whoever runs now. */
void observe_wake(struct async_loop *loop, struct task *task);
/* A task gets its stack. */
void observe_prepare(struct async_loop *loop, struct task *task);
/* A task is about to end without having had the processor for it: it never ran, or its loop closes. */
void observe_gone(struct async_loop *loop, struct task *task);
/* The loop begins to run, or is left. */
void observe_run_begins(struct async_loop *loop);
void observe_run_ends(struct async_loop *loop);
/* The loop asks the kernel what there is, and maybe sleeps there; or has done so. */
void observe_poll_begins(struct async_loop *loop);
void observe_poll_ends(struct async_loop *loop);
/* A finished job has come back. */
void observe_job(struct async_loop *loop, const struct job *job);
/* The loop is about to look after everything but tasks, or has done so: counts what there is. Called always. */
void observe_service(struct async_loop *loop);
/* Whether tracing is on has changed. In the loop's thread. */
void observe_trace(struct async_loop *loop);

#endif
