/* SPDX-License-Identifier: MIT */
/* The inside of a pool: what its callers' side (pool.c) and its threads (worker.c) share. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include <pthread.h>

#include "base/trace.h"
#include "worker/futex.h"
#include "worker/pool.h"

enum {
	BATCH_MAX = 8,      /* jobs that a worker takes at once */
	POOL_NAME_MAX = 11, /* what a thread's 15 bytes leave beside "-N" */
};

struct worker {
	/* The rest of the batch. Filled under the pool's lock while all are empty; whoever exchanges a pointer
	 * for NULL, the worker or a thief, has the job. */
	_Atomic(struct job *) slots[BATCH_MAX - 1];
	unsigned filled, cursor; /* the worker's own: where in `slots` it is */

	struct pool *pool;
	pthread_t thread;
	size_t index;

	struct lane *lane;   /* of its latest job */
	bool short_jobs;     /* the last batch's were: it may take many at once */
	size_t batch;        /* how many jobs it took last */
	int64_t batch_began;
	int64_t spin;        /* how long it looks out for work before it sleeps; ns */

	atomic_int asleep;    /* the futex */
	struct worker *below; /* in the stack of sleepers */
};

struct lane {
	struct list jobs;
	size_t length;
	/* Threads that have a job of this lane; in LANE_JOBS those of LANE_SLOW count too. Raised under the lock,
	 * lowered before the completion is seen. */
	atomic_size_t running;
	size_t limit; /* of `running` */
};

struct pool {
	struct list link;        /* of those that were left; first, for who looks for lost memory */
	struct futex_mutex lock; /* over all that is not atomic, and over each job's `link` */
	bool stopping;
	bool broken;             /* then also stopping */
	bool left;               /* by all but its own threads, the last of which frees it */
	unsigned turn;           /* the lane that is looked at first */
	struct lane lanes[POOL_LANES];
	size_t started;          /* workers[0..started) have a thread to join */
	size_t asleep;
	size_t spinning;
	struct worker *sleepers; /* the latest on top: its cache is warm */
	size_t capacity;         /* max_threads; the threads there are, once no more could be started */

	atomic_size_t threads;   /* written under the lock */
	atomic_size_t runnable;  /* for spinners to watch; written under the lock */

	unsigned forked;         /* when it was made: see base/forked.h */
	struct futex_mutex join_lock;
	size_t joined;

	size_t max_threads; /* the limits of the lanes together, so that each can have all of its threads */
	size_t max_spinning;
	intptr_t (*initializer)(void *arg);
	void *initializer_arg;
	char name[POOL_NAME_MAX + 1];
	struct worker workers[];
};

/* Takes no more jobs, and what is queued comes back broken. In a worker. */
void pool_break(struct pool *pool);
/* For the last thread of a pool that was left. */
void pool_free_left(struct pool *pool);
/* Starts one more thread. Under the lock; 0 or -EAGAIN. */
int worker_start(struct pool *pool);
/* If more can be run than workers will look for it: has one more look. `again`: tries to start a thread even if none
 * could be lately. Under the lock; returns whom to pass to worker_wake once it is released, or NULL. */
struct worker *pool_spread(struct pool *pool, bool again);
/* The same for what pool_spread returned; NULL is nothing to do. */
void worker_wake(struct worker *worker);
/* Takes a job that some worker holds and has not begun. Under the lock; NULL if there is none. */
struct job *pool_steal(struct pool *pool);
/* Tells the spinners what can be run. Under the lock, after every change of a lane. */
void pool_publish(struct pool *pool);
/* Threads that have a job. Never too few: under the lock it can only fall. */
size_t pool_busy(const struct pool *pool);
/* The pool that this thread works for, or NULL. */
struct pool *pool_of_this_thread(void);

static inline size_t lane_running(const struct lane *lane)
{
	return atomic_load_explicit(&lane->running, memory_order_acquire);
}

static inline void lane_init(struct lane *lane)
{
	list_init(&lane->jobs);
	lane->length = 0;
}

/* With a single thread there is nothing to reserve: one lane keeps the order. */
static inline struct lane *pool_lane(struct pool *pool, const struct job *job)
{
	return &pool->lanes[job->lane == LANE_SLOW && pool->max_threads == 1 ? LANE_JOBS : job->lane];
}

/* A removed job's `link` is empty, which is how pool_withdraw knows that a worker holds it. */
static inline struct job *lane_pop(struct lane *lane)
{
	struct list *node = list_pop(&lane->jobs);

	if (!node)
		return NULL;
	lane->length--;
	return list_entry(node, struct job, link);
}

#endif
