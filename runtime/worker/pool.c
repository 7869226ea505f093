/* SPDX-License-Identifier: MIT */
#include "worker/pool.h"

#include <string.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#include "base/clock.h"
#include "base/forked.h"
#include "base/instrument.h"
#include "base/memory.h"
#include "base/thread_guard.h"
#include "base/trace.h"
#include "worker/worker.h"

int pool_new(const struct pool_options *options, struct pool **ret_pool)
{
	static const struct pool_options defaults;
	size_t jobs, max, workers, size;

	options = options ? options : &defaults;
	jobs = options->max_threads ? options->max_threads : pool_default_threads();
	if (__builtin_add_overflow(jobs, options->names + options->files, &max) ||
	    __builtin_mul_overflow(max, sizeof(struct worker), &workers) ||
	    __builtin_add_overflow(workers, sizeof(struct pool), &size))
		return -ENOMEM;
	struct pool *pool = mem_zalloc(size);
	if (!pool)
		return -ENOMEM;
	const size_t limits[POOL_LANES] = {jobs, jobs > 1 ? jobs / 2 : 1, options->names, options->files};
	for (int i = 0; i < POOL_LANES; i++) {
		lane_init(&pool->lanes[i]);
		pool->lanes[i].limit = limits[i];
	}
	pool->forked = forked;
	pool->max_threads = pool->capacity = max;
	/* Half of the processors are left to those who bring the work. With one there is nobody to wait for, and
	 * valgrind runs one thread at a time. */
	pool->max_spinning = RUNNING_ON_VALGRIND ? 0 : pool_processors() / 2;
	pool->initializer = options->initializer;
	pool->initializer_arg = options->initializer_arg;
	strncpy(pool->name, options->name ? options->name : "worker", POOL_NAME_MAX);
	*ret_pool = pool;
	return 0;
}

void job_trace(struct job *job, enum trace_kind kind, unsigned loop, uint64_t task, uintptr_t what)
{
	job->trace_id = trace_next_job();
	trace_record(clock_now(), kind, 0, job->trace_id, loop, task, what);
}

/* Sorts the jobs into lanes of the caller's, so that under the lock splices are enough. */
static void sort_jobs(struct pool *pool, struct job *first, size_t count, struct lane *lanes)
{
	for (int i = 0; i < POOL_LANES; i++)
		lane_init(&lanes[i]);
	for (struct job *job = first; count > 0; job = job->next, count--) {
		struct lane *lane = &lanes[pool_lane(pool, job) - pool->lanes];

		if (trace_on() && !job->trace_id)
			job_trace(job, TRACE_JOB_WORK, 0, 0, (uintptr_t)"job");
		atomic_store_explicit(&job->state, JOB_QUEUED, memory_order_relaxed);
		order_release(job);
		list_append(&lane->jobs, &job->link);
		lane->length++;
	}
}

static void splice_lanes(struct lane *lanes, struct lane *from)
{
	for (int i = 0; i < POOL_LANES; i++) {
		if (from[i].length == 0)
			continue;
		list_splice(&lanes[i].jobs, &from[i].jobs);
		lanes[i].length += from[i].length;
	}
}

int pool_submit(struct pool *pool, struct job *first, size_t count)
{
	struct worker *worker = NULL;
	struct lane sorted[POOL_LANES];
	int error = 0;

	if (count == 0)
		return 0;
	sort_jobs(pool, first, count, sorted);
	futex_mutex_lock(&pool->lock);
	if (pool->stopping)
		error = pool->broken ? -EPIPE : -ESHUTDOWN;
	else if (pool->started == 0)
		error = worker_start(pool);
	if (!error) {
		splice_lanes(pool->lanes, sorted);
		worker = pool_spread(pool, true);
		pool_publish(pool);
	}
	futex_mutex_unlock(&pool->lock);
	worker_wake(worker);
	if (error)
		for (struct job *job = first; count > 0; job = job->next, count--)
			atomic_store_explicit(&job->state, JOB_IDLE, memory_order_relaxed);
	return error;
}

/* For a job that a worker holds: true if it will not be run, for the reason `why`. */
static bool job_claim(struct job *job, enum job_state why)
{
	int state = JOB_QUEUED;

	return atomic_compare_exchange_strong_explicit(&job->state, &state, why, memory_order_relaxed,
						       memory_order_relaxed);
}

enum pool_withdrawal pool_withdraw(struct pool *pool, struct job *job)
{
	if (atomic_load_explicit(&job->state, memory_order_relaxed) != JOB_QUEUED)
		return POOL_TOO_LATE;
	futex_mutex_lock(&pool->lock);
	bool queued = !list_empty(&job->link);
	if (queued) {
		list_remove(&job->link);
		pool_lane(pool, job)->length--;
		atomic_store_explicit(&job->state, JOB_IDLE, memory_order_relaxed);
		pool_publish(pool);
	}
	futex_mutex_unlock(&pool->lock);
	if (queued)
		return POOL_REMOVED;
	return job_claim(job, JOB_WITHDRAWN) ? POOL_WILL_SKIP : POOL_TOO_LATE;
}

/* The next of what has not begun, wherever it is. */
static struct job *pool_take(struct pool *pool)
{
	struct job *job = pool_steal(pool);

	for (int i = 0; !job && i < POOL_LANES; i++)
		job = lane_pop(&pool->lanes[i]);
	return job;
}

/* Empties all lanes and every worker's batch. Under the lock; linked by `next`. */
static struct job *pool_take_all(struct pool *pool, enum job_state why)
{
	struct job *first = NULL, **end = &first, *job;

	while ((job = pool_take(pool))) {
		(void)job_claim(job, why); /* its owner may have done so */
		job->next = NULL;
		*end = job;
		end = &job->next;
	}
	pool_publish(pool);
	return first;
}

/* `drop`: what is queued comes back for the reason `why`. */
static void pool_stop(struct pool *pool, bool drop, enum job_state why)
{
	futex_mutex_lock(&pool->lock);
	pool->stopping = true;
	pool->broken |= why == JOB_BROKEN;
	struct job *dropped = drop ? pool_take_all(pool, why) : NULL;
	struct worker *sleepers = pool->sleepers;
	pool->sleepers = NULL;
	pool->asleep = 0;
	futex_mutex_unlock(&pool->lock);

	while (sleepers) {
		struct worker *worker = sleepers;

		sleepers = worker->below;
		atomic_store_explicit(&worker->asleep, 0, memory_order_release);
		worker_wake(worker);
	}
	while (dropped) {
		struct job *job = dropped;

		dropped = job->next;
		job_sink_push(job->sink, job);
	}
}

void pool_shutdown(struct pool *pool, bool drop)
{
	pool_stop(pool, drop, JOB_WITHDRAWN);
}

void pool_break(struct pool *pool)
{
	pool_stop(pool, true, JOB_BROKEN);
}

int pool_join(struct pool *pool)
{
	if (pool_of_this_thread() == pool)
		return -EDEADLK;
	struct thread_guard guard;
	thread_guard_enter(&guard, "the closing of a pool");
	/* The first to come joins the threads; the others wait for it. */
	futex_mutex_lock(&pool->join_lock);
	for (;;) {
		futex_mutex_lock(&pool->lock);
		size_t started = pool->started;
		futex_mutex_unlock(&pool->lock);
		if (pool->joined == started)
			break;
		pthread_join(pool->workers[pool->joined++].thread, NULL);
	}
	futex_mutex_unlock(&pool->join_lock);
	thread_guard_leave(&guard);
	return 0;
}

void pool_free(struct pool *pool)
{
	/* In a child process it has no threads, and one that is not there may hold its lock: it stays. */
	if (pool->forked != forked)
		return;
	pool_shutdown(pool, true);
	if (pool_join(pool) == 0)
		mem_free(pool);
}

/* For those who look for what was lost: a thread that goes on for ever is the only one to know its pool. */
static struct futex_mutex left_lock;
static struct list left_pools = {&left_pools, &left_pools};

void pool_free_left(struct pool *pool)
{
	futex_mutex_lock(&left_lock);
	list_remove(&pool->link);
	futex_mutex_unlock(&left_lock);
	mem_free(pool);
}

void pool_leave(struct pool *pool)
{
	pool_shutdown(pool, true);
	if (pool_busy(pool) == 0) {
		pool_free(pool);
		return;
	}
	futex_mutex_lock(&left_lock);
	list_append(&left_pools, &pool->link);
	futex_mutex_unlock(&left_lock);
	while (pool->joined < pool->started)
		pthread_detach(pool->workers[pool->joined++].thread);
	futex_mutex_lock(&pool->lock);
	pool->left = true;
	bool empty = pool_threads(pool) == 0;
	futex_mutex_unlock(&pool->lock);
	if (empty)
		pool_free_left(pool);
}

size_t pool_threads(const struct pool *pool)
{
	return atomic_load_explicit(&pool->threads, memory_order_relaxed);
}

size_t pool_idle(const struct pool *pool)
{
	size_t busy = pool_busy(pool);
	size_t threads = pool_threads(pool);

	return threads > busy ? threads - busy : 0;
}

size_t pool_max_threads(const struct pool *pool)
{
	return pool->max_threads;
}
