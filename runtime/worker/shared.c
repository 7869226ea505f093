/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "worker/futex.h"
#include "worker/pool.h"

static struct futex_mutex shared_lock;
static struct pool *shared;
static size_t shared_users;
static bool fork_watched;
/* The parent's pool has no threads in a child: it is left as it is, and kept reachable for leak checkers. */
static struct pool *orphan;

static void forget_in_child(void)
{
	orphan = shared;
	shared = NULL;
	shared_users = 0;
	atomic_store_explicit(&shared_lock.state, FUTEX_MUTEX_FREE, memory_order_relaxed);
}

/* Under shared_lock. */
static int shared_make(struct pool **ret_pool)
{
	const struct pool_options options = {.name = "async", .names = SHARED_NAMES, .files = SHARED_FILES};

	if (!fork_watched) {
		if (fault("pthread_atfork") || pthread_atfork(NULL, NULL, forget_in_child))
			return -ENOMEM;
		fork_watched = true;
	}
	return pool_new(&options, ret_pool);
}

int pool_shared_acquire(struct pool **ret_pool)
{
	int error = 0;

	futex_mutex_lock(&shared_lock);
	if (!shared)
		error = shared_make(&shared);
	if (!error) {
		shared_users++;
		*ret_pool = shared;
	}
	futex_mutex_unlock(&shared_lock);
	return error;
}

void pool_shared_release(struct pool *pool)
{
	bool last;

	futex_mutex_lock(&shared_lock);
	/* A child process gives back what its parent acquired. */
	last = pool == shared && --shared_users == 0;
	if (last)
		shared = NULL;
	futex_mutex_unlock(&shared_lock);
	if (last)
		pool_leave(pool);
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
