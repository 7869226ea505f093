/* SPDX-License-Identifier: MIT */

/*
 * DESIGN: what a worker does
 *
 * A worker is busy, searching or asleep. Searching is the promise to look at the lanes once more under the lock,
 * so nobody needs to wake a worker that searches: a submission that finds enough of them makes no system call.
 * Falling asleep happens under the lock, after a last look; so does waking, which makes the sleeper a searcher
 * at once. A wake-up can therefore not be lost, and none is sent twice. The invariant, re-established by
 * pool_spread whenever jobs come and whenever a searcher leaves jobs behind: while a job could be begun, somebody
 * searches or nobody is asleep.
 *
 * A worker whose last jobs were short takes several at once. They can be stolen until they are begun, so that
 * none waits behind one that turns out long. Each is handed back by itself, at once: a chain of completions
 * would have to wait for the job that follows them, and nobody knows how long that takes.
 */
#include "worker/worker.h"

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/probe.h"
#include "base/thread_guard.h"

static const int64_t SHORT_JOB = 5000;   /* ns; a longer one costs more than the lock it would save */
static const int64_t SPIN_TIME = 8000;   /* ns; well below what a wake-up costs */
static const int64_t SPIN_LEAST = 500;   /* ns; less is not worth two looks at the clock */
static const int64_t SPIN_GAP = 100000;  /* ns; after a longer rest spinning has been in vain */
static const int SPINS_PER_CLOCK = 8;

static __thread struct worker *this_worker __attribute__((tls_model("initial-exec")));
static __thread struct job *this_job __attribute__((tls_model("initial-exec")));

struct job *pool_current_job(void)
{
	return this_job;
}

struct pool *pool_of_this_thread(void)
{
	return this_worker ? this_worker->pool : NULL;
}

/* Half of the threads, and when no more can be started, half of those that there are. */
static size_t slow_allowed(const struct pool *pool)
{
	size_t limit = pool->capacity > 1 ? pool->capacity / 2 : 1;

	return limit > pool->slow_running ? limit - pool->slow_running : 0;
}

static size_t pool_runnable(const struct pool *pool)
{
	size_t slow = slow_allowed(pool);

	return pool->normal.length + (pool->slow.length < slow ? pool->slow.length : slow);
}

void pool_publish(struct pool *pool)
{
	atomic_store_explicit(&pool->runnable, pool_runnable(pool), memory_order_relaxed);
	if (trace_on())
		trace_record(clock_now(), TRACE_QUEUE, 0, 0, 0, 0, pool->normal.length + pool->slow.length);
}

/* Under the lock `busy` can only fall, so this is never too many. */
static size_t pool_searching(struct pool *pool)
{
	return atomic_load_explicit(&pool->threads, memory_order_relaxed) - pool->asleep -
	       atomic_load_explicit(&pool->busy, memory_order_acquire);
}

static bool pool_has_loot(struct pool *pool)
{
	for (size_t i = 0; i < pool->started; i++)
		for (size_t k = 0; k < BATCH_MAX - 1; k++)
			if (atomic_load_explicit(&pool->workers[i].slots[k], memory_order_relaxed))
				return true;
	return false;
}

struct job *pool_steal(struct pool *pool)
{
	for (size_t i = 0; i < pool->started; i++) {
		for (size_t k = 0; k < BATCH_MAX - 1; k++) {
			_Atomic(struct job *) *slot = &pool->workers[i].slots[k];

			if (!atomic_load_explicit(slot, memory_order_relaxed))
				continue;
			struct job *job = atomic_exchange_explicit(slot, NULL, memory_order_acq_rel);
			if (job)
				return job;
		}
	}
	return NULL;
}

struct worker *pool_spread(struct pool *pool)
{
	struct worker *worker = pool->sleepers;
	bool may_grow = pool->started < pool->capacity && !pool->stopping;
	size_t searching = pool_searching(pool);

	if (!worker && !may_grow)
		return NULL;
	if (pool_runnable(pool) <= searching && (searching > 0 || !pool_has_loot(pool)))
		return NULL;
	if (!worker) {
		/* Whoever fails here goes on with the threads there are. */
		(void)worker_start(pool);
		return NULL;
	}
	pool->sleepers = worker->below;
	pool->asleep--;
	atomic_store_explicit(&worker->asleep, 0, memory_order_release);
	return worker;
}

void worker_wake(struct worker *worker)
{
	if (worker)
		futex_wake(&worker->asleep, 1);
}

/* Takes the next normal job, and with it what else this worker may hold. */
static struct job *worker_take_normal(struct worker *worker)
{
	struct pool *pool = worker->pool;
	size_t share = pool->normal.length / (2 * atomic_load_explicit(&pool->threads, memory_order_relaxed));
	size_t more = !worker->short_jobs || share < 2 ? 0 : (share < BATCH_MAX ? share : BATCH_MAX) - 1;
	struct job *job = lane_pop(&pool->normal);

	for (size_t i = 0; i < more; i++)
		atomic_store_explicit(&worker->slots[i], lane_pop(&pool->normal), memory_order_release);
	worker->filled = (unsigned)more;
	worker->cursor = 0;
	worker->batch = 1 + more;
	return job;
}

/* Under the lock. The lanes take turns while both have a job that may be begun. */
static struct job *worker_pick(struct worker *worker)
{
	struct pool *pool = worker->pool;
	bool slow = pool->slow.length > 0 && slow_allowed(pool) > 0;

	worker->batch = 1;
	if (slow && (pool->slow_turn || pool->normal.length == 0)) {
		pool->slow_turn = false;
		pool->slow_running++;
		worker->slow_job = true;
		return lane_pop(&pool->slow);
	}
	pool->slow_turn = true;
	return pool->normal.length > 0 ? worker_take_normal(worker) : pool_steal(pool);
}

/* Looks out for work without the lock. How long depends on how long the last rests were: while jobs come in
 * quick succession it pays, on a worker that is seldom needed it only delays whoever it has just woken. */
static void worker_spin(struct worker *worker)
{
	struct pool *pool = worker->pool;
	int64_t end = clock_now() + worker->spin;
	bool found = false;

	do {
		for (int i = 0; i < SPINS_PER_CLOCK && !found; i++) {
			cpu_relax();
			found = atomic_load_explicit(&pool->runnable, memory_order_relaxed) > 0;
		}
	} while (!found && clock_now() < end);
}

/* Called under the lock, after a last look; returns under the lock. */
static void worker_sleep(struct worker *worker)
{
	struct pool *pool = worker->pool;

	worker->below = pool->sleepers;
	pool->sleepers = worker;
	pool->asleep++;
	atomic_store_explicit(&worker->asleep, 1, memory_order_relaxed);
	futex_mutex_unlock(&pool->lock);
	while (atomic_load_explicit(&worker->asleep, memory_order_acquire))
		futex_wait(&worker->asleep, 1);
	futex_mutex_lock(&pool->lock);
}

/* Searches, under the lock on entry and on return. NULL: the pool stops and has nothing left for this worker. */
static struct job *worker_search(struct worker *worker)
{
	struct pool *pool = worker->pool;
	struct job *job;
	bool spun = false;

	while (!(job = worker_pick(worker)) && !pool->stopping) {
		if (!spun && worker->spin >= SPIN_LEAST && pool->spinning < pool->max_spinning) {
			spun = true;
			pool->spinning++;
			futex_mutex_unlock(&pool->lock);
			worker_spin(worker);
			futex_mutex_lock(&pool->lock);
			pool->spinning--;
		} else {
			spun = false;
			worker_sleep(worker);
		}
		worker->batch_began = 0;
	}
	return job;
}

/* Brings the first job of a batch; the worker is busy from then on. NULL: it has to end. */
static struct job *worker_fetch(struct worker *worker)
{
	struct pool *pool = worker->pool;
	int64_t now = clock_now();

	worker->short_jobs = now - worker->batch_began < SHORT_JOB * (int64_t)worker->batch;
	worker->batch_began = now;
	futex_mutex_lock(&pool->lock);
	if (worker->slow_job) {
		worker->slow_job = false;
		pool->slow_running--;
	}
	struct job *job = worker_search(worker);
	struct worker *next = NULL;
	if (job) {
		atomic_fetch_add_explicit(&pool->busy, 1, memory_order_relaxed);
		next = pool_spread(pool);
	} else {
		atomic_fetch_sub_explicit(&pool->threads, 1, memory_order_relaxed);
	}
	pool_publish(pool);
	futex_mutex_unlock(&pool->lock);
	worker_wake(next);
	if (!worker->batch_began) {
		worker->batch_began = clock_now();
		worker->spin = worker->batch_began - now < SPIN_GAP ? SPIN_TIME : worker->spin / 2;
	}
	return job;
}

/* The next job of the batch that no thief has taken. */
static struct job *worker_pop(struct worker *worker)
{
	while (worker->cursor < worker->filled) {
		_Atomic(struct job *) *slot = &worker->slots[worker->cursor++];
		struct job *job = atomic_exchange_explicit(slot, NULL, memory_order_acq_rel);

		if (job)
			return job;
	}
	return NULL;
}

static void job_run(struct job *job)
{
	int state = JOB_QUEUED;

	if (!atomic_compare_exchange_strong_explicit(&job->state, &state, JOB_RUNNING, memory_order_relaxed,
						     memory_order_relaxed))
		return;
	this_job = job;
	if (trace_on())
		trace_record(clock_now(), TRACE_JOB, 0, job->trace_id, 0, 0, 0);
	PROBE(job_begin, job, job->run);
	job->run(job);
	PROBE(job_end, job);
	if (trace_on())
		trace_record(clock_now(), TRACE_JOB_END, 0, job->trace_id, 0, 0, 0);
	this_job = NULL;
	atomic_store_explicit(&job->state, JOB_DONE, memory_order_relaxed);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct pool *pool = worker->pool;
	struct thread_guard guard;
	char name[16];
	struct job *job;

	thread_guard_enter(&guard, "a job");
	this_worker = worker;
	snprintf(name, sizeof(name), "%s-%zu", pool->name, worker->index);
	pthread_setname_np(pthread_self(), name);
	if (pool->initializer && pool->initializer(pool->initializer_arg) < 0)
		pool_break(pool);
	while ((job = worker_fetch(worker))) {
		do {
			job_run(job);
			struct job *next = worker_pop(worker);
			/* Whoever sees the job come back also sees that this thread is free for another. */
			if (!next)
				atomic_fetch_sub_explicit(&pool->busy, 1, memory_order_release);
			job_sink_push(job->sink, job);
			job = next;
		} while (job);
	}
	thread_guard_leave(&guard);
	return NULL;
}

/* Signals belong to the program's own threads: a worker inherits a mask that leaves it none. */
int worker_start(struct pool *pool)
{
	struct worker *worker = &pool->workers[pool->started];
	sigset_t all, old;

	worker->pool = pool;
	worker->index = pool->started;
	worker->spin = SPIN_TIME;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = fault("pthread_create");
	if (!error)
		error = pthread_create(&worker->thread, NULL, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error) {
		pool->capacity = pool->started;
		return -EAGAIN;
	}
	pool->started++;
	atomic_fetch_add_explicit(&pool->threads, 1, memory_order_relaxed);
	return 0;
}
