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
#include "base/instrument.h"
#include "base/probe.h"
#include "base/thread_guard.h"
#include "context/exceptions.h"

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

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* LANE_SLOW is counted in LANE_JOBS. */
static const enum pool_lane apart[] = {LANE_JOBS, LANE_NAMES, LANE_FILES};

size_t pool_busy(const struct pool *pool)
{
	size_t busy = 0;

	for (size_t i = 0; i < array_size(apart); i++)
		busy += lane_running(&pool->lanes[apart[i]]);
	return busy;
}

/* No more threads can be started, and there are not enough for every lane. One is kept for each that runs nothing. */
static size_t allowed_of_few(const struct pool *pool, const struct lane *lane)
{
	size_t busy = pool_busy(pool), free = pool->capacity > busy ? pool->capacity - busy : 0, kept = 0;

	for (size_t i = 0; i < array_size(apart); i++) {
		const struct lane *other = &pool->lanes[apart[i]];

		kept += other != lane && other->limit > 0 && lane_running(other) == 0;
	}
	return free > kept ? free - kept : lane_running(lane) == 0 && free > 0;
}

/* How many more threads may have a job of this lane. */
static size_t lane_allowed(const struct pool *pool, const struct lane *lane)
{
	size_t allowed = lane->limit - lane_running(lane);

	if (likely(pool->capacity == pool->max_threads) || allowed == 0)
		return allowed;
	return least(allowed, allowed_of_few(pool, lane));
}

/* Half of the threads of jobs, and when no more can be started, half of those that there are. */
static size_t slow_allowed(const struct pool *pool)
{
	const struct lane *slow = &pool->lanes[LANE_SLOW];
	size_t limit = pool->capacity > 1 ? least(slow->limit, pool->capacity / 2) : 1, running = lane_running(slow);

	return limit > running ? least(limit - running, lane_allowed(pool, &pool->lanes[LANE_JOBS])) : 0;
}

static size_t pool_runnable(const struct pool *pool)
{
	const struct lane *jobs = &pool->lanes[LANE_JOBS], *slow = &pool->lanes[LANE_SLOW];
	size_t runnable = jobs->length + (slow->length ? least(slow->length, slow_allowed(pool)) : 0);

	if (runnable > 0)
		runnable = least(runnable, lane_allowed(pool, jobs));
	for (enum pool_lane i = LANE_NAMES; i < POOL_LANES; i++)
		if (pool->lanes[i].length > 0)
			runnable += least(pool->lanes[i].length, lane_allowed(pool, &pool->lanes[i]));
	return runnable;
}

static size_t pool_length(const struct pool *pool)
{
	size_t length = 0;

	for (int i = 0; i < POOL_LANES; i++)
		length += pool->lanes[i].length;
	return length;
}

void pool_publish(struct pool *pool)
{
	atomic_store_explicit(&pool->runnable, pool_runnable(pool), memory_order_relaxed);
	if (trace_on())
		trace_record(clock_now(), TRACE_QUEUE, 0, 0, 0, 0, pool_length(pool));
}

/* Under the lock; never too many. */
static size_t pool_searching(struct pool *pool)
{
	return atomic_load_explicit(&pool->threads, memory_order_relaxed) - pool->asleep - pool_busy(pool);
}

static bool pool_has_loot(struct pool *pool)
{
	if (lane_allowed(pool, &pool->lanes[LANE_JOBS]) == 0)
		return false;
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

struct worker *pool_spread(struct pool *pool, bool again)
{
	struct worker *worker = pool->sleepers;
	size_t searching = pool_searching(pool);

	if (again && !worker && searching == 0)
		pool->capacity = pool->max_threads;
	bool may_grow = pool->started < pool->capacity && !pool->stopping;
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

/* Under the lock: the worker is busy from then on. */
static void worker_enter(struct worker *worker, struct lane *lane)
{
	struct lane *jobs = &worker->pool->lanes[LANE_JOBS];

	worker->lane = lane;
	atomic_fetch_add_explicit(&lane->running, 1, memory_order_relaxed);
	if (lane == &worker->pool->lanes[LANE_SLOW])
		atomic_fetch_add_explicit(&jobs->running, 1, memory_order_relaxed);
}

static void worker_leave(struct worker *worker)
{
	struct lane *lanes = worker->pool->lanes, *lane = worker->lane;

	if (lane == &lanes[LANE_SLOW]) {
		atomic_fetch_sub_explicit(&lane->running, 1, memory_order_relaxed);
		lane = &lanes[LANE_JOBS];
	}
	/* With this it is no longer busy. */
	atomic_fetch_sub_explicit(&lane->running, 1, memory_order_release);
}

/* Takes the next of the program's jobs, and with it what else this worker may hold. */
static struct job *worker_take_jobs(struct worker *worker)
{
	struct pool *pool = worker->pool;
	struct lane *lane = &pool->lanes[LANE_JOBS];
	size_t share = lane->length / (2 * atomic_load_explicit(&pool->threads, memory_order_relaxed));
	size_t more = !worker->short_jobs || share < 2 ? 0 : least(share, BATCH_MAX) - 1;
	struct job *job = lane_pop(lane);

	for (size_t i = 0; i < more; i++)
		atomic_store_explicit(&worker->slots[i], lane_pop(lane), memory_order_release);
	worker->filled = (unsigned)more;
	worker->cursor = 0;
	worker->batch = 1 + more;
	return job;
}

static bool may_begin(const struct pool *pool, const struct lane *lane)
{
	return lane == &pool->lanes[LANE_SLOW] ? slow_allowed(pool) > 0 : lane_allowed(pool, lane) > 0;
}

/* Under the lock. The lanes take turns while several have a job that may be begun. */
static struct job *worker_pick(struct worker *worker)
{
	struct pool *pool = worker->pool;
	struct lane *jobs = &pool->lanes[LANE_JOBS];

	worker->batch = 1;
	for (unsigned i = 0; i < POOL_LANES; i++) {
		struct lane *lane = &pool->lanes[(pool->turn + i) % POOL_LANES];

		if (lane->length == 0 || !may_begin(pool, lane))
			continue;
		pool->turn = (unsigned)(lane - pool->lanes) + 1;
		worker_enter(worker, lane);
		return lane == jobs ? worker_take_jobs(worker) : lane_pop(lane);
	}
	struct job *job = may_begin(pool, jobs) ? pool_steal(pool) : NULL;
	if (job)
		worker_enter(worker, jobs);
	return job;
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

/* Nobody waits for the threads of a pool that was left. Under the lock, which it gives back. */
static void worker_end(struct worker *worker)
{
	struct pool *pool = worker->pool;

	this_worker = NULL;
	pool_publish(pool);
	bool last = atomic_fetch_sub_explicit(&pool->threads, 1, memory_order_relaxed) == 1 && pool->left;
	futex_mutex_unlock(&pool->lock);
	if (last)
		pool_free_left(pool);
}

/* Brings the first job of a batch. NULL: the worker has ended, and with it maybe the pool. */
static struct job *worker_fetch(struct worker *worker)
{
	struct pool *pool = worker->pool;
	int64_t now = clock_now();

	worker->short_jobs = now - worker->batch_began < SHORT_JOB * (int64_t)worker->batch;
	worker->batch_began = now;
	futex_mutex_lock(&pool->lock);
	struct job *job = worker_search(worker);
	if (!job) {
		worker_end(worker);
		return NULL;
	}
	struct worker *next = pool_spread(pool, false);
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
	order_acquire(job);
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
	if (pool->initializer && FENCED_VALUE(pool->initializer(pool->initializer_arg)) < 0)
		pool_break(pool);
	while ((job = worker_fetch(worker))) {
		do {
			job_run(job);
			struct job *next = worker_pop(worker);
			/* Whoever sees the job come back also sees that this thread is free for another. */
			if (!next)
				worker_leave(worker);
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
	/* One more than there could be: maybe there is room for all of them again. */
	if (++pool->started > pool->capacity)
		pool->capacity = pool->max_threads;
	atomic_fetch_add_explicit(&pool->threads, 1, memory_order_relaxed);
	return 0;
}
