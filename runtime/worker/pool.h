/* SPDX-License-Identifier: MIT */
/*
 * A pool of threads: jobs in, jobs done. It knows nothing of tasks or loops.
 *
 * The caller owns each job and must leave it in place until it has come back. A job comes back through its
 * sink, once, whether it ran or was withdrawn. Sinks collect the finished jobs of many threads without a lock,
 * and call `wake` only when they were empty: once per batch.
 */
#ifndef WORKER_POOL_H
#define WORKER_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/trace.h"

/* Each kind of work has threads that no other kind can take: what hangs in one holds up only its like. */
enum pool_lane {
	LANE_JOBS,  /* the program's own */
	LANE_SLOW,  /* those of them that take long: half of the threads of LANE_JOBS; a single thread runs all */
	LANE_NAMES, /* look-ups; in the shared pool only, like the next */
	LANE_FILES,
	POOL_LANES,
};

enum job_state {
	JOB_IDLE,      /* the owner's */
	JOB_QUEUED,    /* may be withdrawn */
	JOB_RUNNING,   /* a worker is inside `run` */
	JOB_DONE,      /* `run` has returned; in the sink, or taken from it */
	JOB_WITHDRAWN, /* `run` was not and will not be called */
	JOB_BROKEN,    /* the same, because the pool broke */
};

struct job_sink;

struct job {
	void (*run)(struct job *job);  /* in a worker */
	struct job_sink *sink;
	enum pool_lane lane;
	/* The pool's. */
	atomic_int state; /* enum job_state */
	struct job *next; /* in the sink */
	struct list link; /* in the queue */
	uint64_t trace_id; /* 0: nobody has asked for it, or the trace is off */
};

struct job_sink {
	_Atomic(struct job *) done;          /* latest first */
	atomic_uint waking;                  /* threads that are inside `wake` or about to be */
	/* Called once a job is in the sink that was empty before: in a worker, or in pool_shutdown. Must be short
	 * and must not call the pool. */
	void (*wake)(struct job_sink *sink);
};

/* Takes everything that came back, in the order in which it did, linked by `next`. NULL if nothing did. */
struct job *job_sink_take(struct job_sink *sink);
/* Hands `job` back, from any thread. The job is gone for the caller, and with it maybe the sink. */
void job_sink_push(struct job_sink *sink, struct job *job);
/* Once every job has been taken back: waits until no thread is inside `wake`. Only then may the sink be freed. */
void job_sink_settle(struct job_sink *sink);
/* True if something waits to be taken; one relaxed load. */
static inline bool job_sink_ready(struct job_sink *sink)
{
	return atomic_load_explicit(&sink->done, memory_order_relaxed) != NULL;
}

/* Gives the job a number in the trace, which is on, as one that `task` of `loop` wants done: for jobs of which more is
 * known than that they are submitted. `what`: text, or the function of a TRACE_JOB_CALL. */
void job_trace(struct job *job, enum trace_kind kind, unsigned loop, uint64_t task, uintptr_t what);

struct pool;

struct pool_options {
	size_t max_threads; /* of the program's jobs; 0: min(32, processors + 4) */
	size_t names, files; /* threads beside these for LANE_NAMES and LANE_FILES; 0: it has no such jobs */
	const char *name;   /* of the threads: "name-N"; copied, cut to 11 bytes; NULL: "worker" */
	/* Called first by each thread; may be NULL. A negative result breaks the pool: what is queued comes back
	 * broken. */
	intptr_t (*initializer)(void *arg);
	void *initializer_arg;
};

enum pool_withdrawal {
	POOL_REMOVED,   /* it was in the queue: it is the caller's again and does not come through the sink */
	POOL_WILL_SKIP, /* a worker holds it: `run` will not be called, it comes through the sink */
	POOL_TOO_LATE,  /* it runs or has run: it comes, or came, through the sink */
};

/* No thread is started yet. Returns 0 or -ENOMEM. */
int pool_new(const struct pool_options *options, struct pool **ret_pool);

/*
 * Queues `count` jobs that are linked by `next`, in order. Starts threads only while there are more jobs than
 * idle threads. Any thread. Returns 0; -EPIPE (broken), -ESHUTDOWN, or -EAGAIN if the pool has no thread and none
 * could be started: then no job was queued.
 */
int pool_submit(struct pool *pool, struct job *first, size_t count);

/* Asks for a job back that was submitted to this pool and has not been taken from its sink. Any thread. */
enum pool_withdrawal pool_withdraw(struct pool *pool, struct job *job);

/* Takes no more jobs. `drop`: what is queued comes back withdrawn; else it is run. Does not wait. */
void pool_shutdown(struct pool *pool, bool drop);
/* Waits until every thread has ended, after a shutdown. Any number of threads may wait. -EDEADLK in a worker. */
int pool_join(struct pool *pool);
/* Shuts down dropping, joins, frees. Not in a worker, and when no other call uses the pool any more. */
void pool_free(struct pool *pool);

/* Ends a pool that nobody uses any more. What is still running in it was left behind by its loop: then the last of its
 * threads frees it, else it is freed now. */
void pool_leave(struct pool *pool);

/* Threads alive, and those of them that wait for a job. A thread counts as waiting before its last job is seen
 * to come back: whoever submits one job after the other needs one thread. */
size_t pool_threads(const struct pool *pool);
size_t pool_idle(const struct pool *pool);
size_t pool_max_threads(const struct pool *pool); /* of all lanes together */

/* Threads of the shared pool beside those of the program's jobs, which are pool_default_threads. */
#define SHARED_NAMES 8
#define SHARED_FILES 8

/*
 * The process's own pool, made for its first user; the last one that releases it leaves it. Any thread. Returns 0 or
 * -ENOMEM.
 */
int pool_shared_acquire(struct pool **ret_pool);
void pool_shared_release(struct pool *pool);

/* The job that this thread is running, or NULL. */
struct job *pool_current_job(void);

/* min(32, processors + 4), processors as sched_getaffinity sees them. */
size_t pool_default_threads(void);

/* How many processors this process may use, at least 1; cached. */
unsigned pool_processors(void);

#endif
