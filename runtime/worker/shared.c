/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "worker/futex.h"
#include "worker/pool.h"

static _Atomic(struct pool *) shared;
static struct futex_mutex shared_lock;
static bool fork_watched;
/* The parent's pool has no threads in a child: it is left as it is, and kept reachable for leak checkers. */
static struct pool *orphan;

static void forget_in_child(void)
{
	orphan = atomic_exchange_explicit(&shared, NULL, memory_order_relaxed);
	atomic_store_explicit(&shared_lock.state, FUTEX_MUTEX_FREE, memory_order_relaxed);
}

/* Under shared_lock. */
static int shared_make(struct pool **ret_pool)
{
	const struct pool_options options = {.name = "async"};

	if (!fork_watched) {
		if (fault("pthread_atfork") || pthread_atfork(NULL, NULL, forget_in_child))
			return -ENOMEM;
		fork_watched = true;
	}
	return pool_new(&options, ret_pool);
}

int pool_shared(struct pool **ret_pool)
{
	struct pool *pool = atomic_load_explicit(&shared, memory_order_acquire);
	int error = 0;

	if (!pool) {
		futex_mutex_lock(&shared_lock);
		pool = atomic_load_explicit(&shared, memory_order_relaxed);
		if (!pool)
			error = shared_make(&pool);
		if (!error)
			atomic_store_explicit(&shared, pool, memory_order_release);
		futex_mutex_unlock(&shared_lock);
	}
	if (!error)
		*ret_pool = pool;
	return error;
}

void pool_shared_stop(void)
{
	struct pool *pool = atomic_exchange_explicit(&shared, NULL, memory_order_acquire);

	if (!pool)
		return;
	pool_shutdown(pool, false);
	if (pool_join(pool) == 0)
		pool_free(pool);
}

/* How many count on the shared pool: the last one that leaves ends it. */
static size_t shared_users;

int pool_shared_acquire(struct pool **ret_pool)
{
	int error = pool_shared(ret_pool);

	if (error)
		return error;
	futex_mutex_lock(&shared_lock);
	shared_users++;
	futex_mutex_unlock(&shared_lock);
	return 0;
}

void pool_shared_release(void)
{
	futex_mutex_lock(&shared_lock);
	bool last = --shared_users == 0;
	futex_mutex_unlock(&shared_lock);
	if (last)
		pool_shared_stop();
}

unsigned pool_processors(void)
{
	static atomic_uint cached;
	unsigned count = atomic_load_explicit(&cached, memory_order_relaxed);
	cpu_set_t set;

	if (count > 0)
		return count;
	/* The set is too small for a machine with more than 1,024 processors: then all of them count. */
	if (SYS("sched_getaffinity", sched_getaffinity(0, sizeof(set), &set)) == 0) {
		count = (unsigned)CPU_COUNT(&set);
	} else {
		long online = sysconf(_SC_NPROCESSORS_ONLN);
		count = online > 0 ? (unsigned)online : 1;
	}
	atomic_store_explicit(&cached, count, memory_order_relaxed);
	return count;
}

size_t pool_default_threads(void)
{
	size_t threads = (size_t)pool_processors() + 4;

	return threads < 32 ? threads : 32;
}
