/* SPDX-License-Identifier: MIT */
/* Threads of the raw pool: how many, what a job sees of its own, and when none can be started. */
#include "worker_peers.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"

static void idle_thread_is_used_again(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(8);
	struct work work;

	(void)state;
	for (int i = 0; i < 100; i++) {
		work_init(&work, 1, &inbox);
		submit(pool, &work, 1);
		inbox_collect(&inbox, 1);
		assert_int_equal(pool_threads(pool), 1);
		assert_int_equal(pool_idle(pool), 1);
	}
	pool_free(pool);
}

static void threads_stay_below_the_limit(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(3);
	atomic_int running = 0, gate = 0;
	struct work works[10];

	(void)state;
	work_init(works, 10, &inbox);
	work_hold(works, 10, &running, &gate);
	submit(pool, works, 10);
	wait_until(atomic_load(&running) == 3);
	assert_int_equal(pool_threads(pool), 3);
	assert_int_equal(pool_idle(pool), 0);
	gate_open(&gate);
	inbox_collect(&inbox, 10);
	assert_int_equal(pool_threads(pool), 3);
	assert_int_equal(pool_idle(pool), 3);
	pool_free(pool);
}

/* What a job sees of its thread. */
struct look {
	struct work work;
	struct pool *pool;
	int joined;
	bool current, blocked;
	char name[16];
};

static void look_run(struct job *job)
{
	struct look *look = container_of(job, struct look, work.job);
	sigset_t mask;

	look->current = pool_current_job() == job;
	look->joined = pool_join(look->pool);
	prctl(PR_GET_NAME, look->name);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	look->blocked = sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM) && sigismember(&mask, SIGUSR1);
}

static void a_job_sees_its_thread(void **state)
{
	const struct pool_options options = {.max_threads = 1, .name = "a-name-too-long"};
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool;
	struct look look;
	sigset_t mask;

	(void)state;
	assert_int_equal(pool_new(&options, &pool), 0);
	work_init(&look.work, 1, &inbox);
	look.work.job.run = look_run;
	look.pool = pool;
	submit(pool, &look.work, 1);
	inbox_collect(&inbox, 1);
	assert_true(look.current);
	assert_int_equal(look.joined, -EDEADLK);
	assert_string_equal(look.name, "a-name-too--0");
	assert_true(look.blocked);
	assert_null(pool_current_job());
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	assert_false(sigismember(&mask, SIGUSR1));
	pool_free(pool);
}

static void no_thread_can_be_started(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(2);
	struct work works[3];

	(void)state;
	work_init(works, 3, &inbox);
	fault_arm("pthread_create", 1, -EAGAIN);
	assert_int_equal(pool_submit(pool, &works[0].job, 3), -EAGAIN);
	assert_int_equal(fault_disarm(), 1);
	assert_int_equal(works[2].job.state, JOB_IDLE);
	assert_int_equal(pool_threads(pool), 0);
	submit(pool, works, 3);
	inbox_collect(&inbox, 3);
	assert_int_equal(works[0].runs + works[1].runs + works[2].runs, 3);
	pool_free(pool);
}

static void a_second_thread_cannot_be_started(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(3);
	atomic_int running = 0, gate = 0;
	struct work works[6];

	(void)state;
	work_init(works, 6, &inbox);
	work_hold(works, 6, &running, &gate);
	fault_arm("pthread_create", 2, -EAGAIN);
	submit(pool, works, 4);
	wait_until(atomic_load(&running) == 1);
	assert_int_equal(fault_disarm(), 2);
	assert_int_equal(pool_threads(pool), 1);
	/* The next submission tries again, and then there is room for all. */
	submit(pool, &works[4], 2);
	wait_until(atomic_load(&running) == 3);
	assert_int_equal(pool_threads(pool), 3);
	gate_open(&gate);
	inbox_collect(&inbox, 6);
	pool_free(pool);
}

static void no_memory(void **state)
{
	const struct pool_options options = {.max_threads = 1}, absurd = {.max_threads = SIZE_MAX / 2};
	struct pool *untouched = (struct pool *)&options, *pool = untouched;

	(void)state;
	fault_arm("malloc", 1, -ENOMEM);
	assert_int_equal(pool_new(&options, &pool), -ENOMEM);
	fault_arm("malloc", 1, -ENOMEM);
	assert_int_equal(pool_shared_acquire(&pool), -ENOMEM);
	fault_disarm();
	assert_int_equal(pool_new(&absurd, &pool), -ENOMEM);
	assert_ptr_equal(pool, untouched);
}

/* This thread does not sleep, so what is interrupted is the worker. */
static void an_interrupted_sleep_is_resumed(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(1);
	struct work work;

	(void)state;
	do {
		work_init(&work, 1, &inbox);
		fault_arm("futex_wait", 1, -EINTR);
		submit(pool, &work, 1);
		wait_until(job_sink_ready(&inbox.sink));
		inbox_collect(&inbox, 1);
		for (int i = 0; i < 1000; i++)
			sched_yield();
	} while (fault_disarm() < 2);
	work_init(&work, 1, &inbox);
	submit(pool, &work, 1);
	inbox_collect(&inbox, 1);
	pool_free(pool);
}

/* ThreadSanitizer cannot follow a thread that is started in a forked child. */
#if defined(__SANITIZE_THREAD__)
enum { THREADS_AFTER_FORK = false };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { THREADS_AFTER_FORK = false };
#else
enum { THREADS_AFTER_FORK = true };
#endif
#else
enum { THREADS_AFTER_FORK = true };
#endif

static void use_shared(struct pool **ret_pool)
{
	struct inbox inbox = {.sink.wake = ring};
	struct work work;

	assert_int_equal(pool_shared_acquire(ret_pool), 0);
	work_init(&work, 1, &inbox);
	submit(*ret_pool, &work, 1);
	inbox_collect(&inbox, 1);
}

static void shared_pool(void **state)
{
	struct pool *first, *again, *in_child;
	int status;

	(void)state;
	use_shared(&first);
	use_shared(&again);
	assert_ptr_equal(first, again);
	assert_int_equal(pool_max_threads(first), pool_default_threads() + SHARED_NAMES + SHARED_FILES);
	pid_t child = fork();
	if (child == 0) {
		/* The threads are the parent's: a job would never come back from the old pool. */
		if (pool_shared_acquire(&in_child) != 0 || in_child == first || pool_threads(in_child) != 0)
			_exit(1);
		if (THREADS_AFTER_FORK)
			use_shared(&in_child);
		/* What the parent acquired is nothing to the child. */
		pool_shared_release(first);
		pool_shared_release(in_child);
		_exit(42);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	pool_shared_release(first);
	pool_shared_release(first);
	use_shared(&again);
	assert_int_equal(pool_threads(again), 1);
	pool_shared_release(again);
}

static void processors(void **state)
{
	cpu_set_t set;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	assert_int_equal(pool_processors(), CPU_COUNT(&set));
	assert_int_equal(pool_default_threads(), CPU_COUNT(&set) + 4 < 32 ? CPU_COUNT(&set) + 4 : 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processors),
		cmocka_unit_test(idle_thread_is_used_again),
		cmocka_unit_test(threads_stay_below_the_limit),
		cmocka_unit_test(a_job_sees_its_thread),
		cmocka_unit_test(no_thread_can_be_started),
		cmocka_unit_test(a_second_thread_cannot_be_started),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(an_interrupted_sleep_is_resumed),
		cmocka_unit_test(shared_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
