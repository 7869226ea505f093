/* SPDX-License-Identifier: MIT */
/* The raw pool: every job comes back once, nothing is starved, nothing is left behind. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "worker/futex.h"
#include "worker/pool.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

/* A sink whose owner sleeps until it is woken. */
struct inbox {
	struct job_sink sink;
	atomic_int bell;
	atomic_uint wakes;
};

static void ring(struct job_sink *sink)
{
	struct inbox *inbox = container_of(sink, struct inbox, sink);

	atomic_fetch_add(&inbox->wakes, 1);
	atomic_store(&inbox->bell, 1);
	futex_wake(&inbox->bell, 1);
}

static struct job *inbox_take(struct inbox *inbox)
{
	struct job *job;

	while (!(job = job_sink_take(&inbox->sink))) {
		futex_wait(&inbox->bell, 0);
		atomic_exchange(&inbox->bell, 0);
	}
	return job;
}

/* Takes back `count` jobs, no more. */
static void inbox_collect(struct inbox *inbox, size_t count)
{
	while (count > 0) {
		for (struct job *job = inbox_take(inbox); job; job = job->next) {
			assert_true(count > 0);
			count--;
		}
	}
	job_sink_settle(&inbox->sink);
	assert_false(job_sink_ready(&inbox->sink));
}

struct work {
	struct job job;
	atomic_int runs;
	atomic_int *counter; /* raised when it runs */
	atomic_int *gate;    /* then waits until it is open */
	int order;
};

static void gate_open(atomic_int *gate)
{
	atomic_store(gate, 1);
	futex_wake(gate, 1000);
}

static void work_run(struct job *job)
{
	struct work *work = container_of(job, struct work, job);

	atomic_fetch_add(&work->runs, 1);
	if (work->counter)
		work->order = atomic_fetch_add(work->counter, 1);
	while (work->gate && atomic_load(work->gate) == 0)
		futex_wait(work->gate, 0);
}

static void work_init(struct work *works, size_t count, struct inbox *inbox)
{
	memset(works, 0, count * sizeof(*works));
	for (size_t i = 0; i < count; i++) {
		works[i].job.run = work_run;
		works[i].job.sink = &inbox->sink;
		works[i].job.next = i + 1 < count ? &works[i + 1].job : NULL;
	}
}

#define wait_until(condition) \
	while (!(condition)) \
	sched_yield()

static struct pool *new_pool(size_t max_threads)
{
	const struct pool_options options = {.max_threads = max_threads, .name = "test"};
	struct pool *pool = NULL;

	assert_int_equal(pool_new(&options, &pool), 0);
	assert_int_equal(pool_max_threads(pool), max_threads);
	assert_int_equal(pool_threads(pool), 0);
	return pool;
}

static void submit(struct pool *pool, struct work *works, size_t count)
{
	assert_int_equal(pool_submit(pool, &works[0].job, count), 0);
}

enum { MANY = 2000 };

struct submitter {
	struct pool *pool;
	struct work works[MANY];
	struct inbox inbox;
};

static void *submit_many(void *arg)
{
	struct submitter *submitter = arg;

	for (size_t i = 0; i < MANY; i += 50)
		submit(submitter->pool, &submitter->works[i], 50);
	inbox_collect(&submitter->inbox, MANY);
	return NULL;
}

static void every_job_runs_once(void **state)
{
	static struct submitter submitters[4];
	pthread_t threads[4];
	struct pool *pool = new_pool(3);

	(void)state;
	memset(submitters, 0, sizeof(submitters));
	for (size_t i = 0; i < 4; i++) {
		submitters[i].pool = pool;
		submitters[i].inbox.sink.wake = ring;
		work_init(submitters[i].works, MANY, &submitters[i].inbox);
		assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &submitters[i]), 0);
	}
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < 4; i++) {
		for (size_t k = 0; k < MANY; k++) {
			assert_int_equal(submitters[i].works[k].runs, 1);
			assert_int_equal(submitters[i].works[k].job.state, JOB_DONE);
		}
	}
	pool_free(pool);
}

/* With one thread slow jobs have no lane of their own. */
static void one_thread_keeps_the_order(void **state)
{
	static struct work works[500];
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(1);
	atomic_int count = 0;
	int expected = 0;

	(void)state;
	work_init(works, 500, &inbox);
	for (size_t i = 0; i < 500; i++) {
		works[i].counter = &count;
		works[i].job.slow = i % 3 == 0;
	}
	submit(pool, works, 500);
	while (expected < 500)
		for (struct job *job = inbox_take(&inbox); job; job = job->next)
			assert_ptr_equal(job, &works[expected++].job);
	for (int i = 0; i < 500; i++)
		assert_int_equal(works[i].order, i);
	job_sink_settle(&inbox.sink);
	pool_free(pool);
}

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
	for (size_t i = 0; i < 10; i++) {
		works[i].counter = &running;
		works[i].gate = &gate;
	}
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

static void slow_jobs_leave_threads_free(void **state)
{
	(void)state;
	for (size_t max = 2; max <= 5; max++) {
		struct inbox slow_box = {.sink.wake = ring}, inbox = {.sink.wake = ring};
		struct pool *pool = new_pool(max);
		struct work slow[20], normal[50];
		atomic_int running = 0, gate = 0;

		work_init(slow, 20, &slow_box);
		work_init(normal, 50, &inbox);
		for (size_t i = 0; i < 20; i++) {
			slow[i].job.slow = true;
			slow[i].counter = &running;
			slow[i].gate = &gate;
		}
		submit(pool, slow, 20);
		wait_until(atomic_load(&running) == (int)(max / 2));
		submit(pool, normal, 50);
		inbox_collect(&inbox, 50);
		assert_int_equal(atomic_load(&running), max / 2);
		gate_open(&gate);
		inbox_collect(&slow_box, 20);
		pool_free(pool);
	}
}

/* A slow job does not wait until the normal lane is empty. */
static void normal_jobs_do_not_starve_slow_ones(void **state)
{
	enum { NORMAL = 200 };
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(2);
	atomic_int running = 0, count = 0, gates[2] = {0};
	struct work holders[2], works[NORMAL + 1];

	(void)state;
	work_init(holders, 2, &inbox);
	work_init(works, NORMAL + 1, &inbox);
	for (size_t i = 0; i < 2; i++) {
		holders[i].counter = &running;
		holders[i].gate = &gates[i];
	}
	for (size_t i = 0; i <= NORMAL; i++)
		works[i].counter = &count;
	works[NORMAL].job.slow = true;
	submit(pool, holders, 2);
	wait_until(atomic_load(&running) == 2);
	submit(pool, works, NORMAL + 1);
	gate_open(&gates[0]);
	inbox_collect(&inbox, 1 + NORMAL + 1);
	/* One thread ran them all, taking from the lanes in turn. */
	assert_true(works[NORMAL].order < NORMAL / 2);
	gate_open(&gates[1]);
	inbox_collect(&inbox, 1);
	pool_free(pool);
}

/* The long job waits for all the others: if one was held back behind it, this would never end. */
struct hostage {
	struct work work;
	atomic_int *done;
	int others;
};

static void hostage_run(struct job *job)
{
	struct hostage *hostage = container_of(job, struct hostage, work.job);

	while (atomic_load(hostage->done) < hostage->others)
		sched_yield();
}

static void batch_is_not_stranded_behind_a_long_job(void **state)
{
	enum { OTHERS = 60 };
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(2);
	static struct work works[OTHERS];
	struct hostage hostage;
	atomic_int done;

	(void)state;
	for (int round = 0; round < 5 * OTHERS; round++) {
		int at = round % (OTHERS - 1);

		atomic_store(&done, 0);
		work_init(works, OTHERS, &inbox);
		work_init(&hostage.work, 1, &inbox);
		hostage.work.job.run = hostage_run;
		hostage.done = &done;
		hostage.others = OTHERS;
		for (int i = 0; i < OTHERS; i++)
			works[i].counter = &done;
		hostage.work.job.next = works[at].job.next;
		works[at].job.next = &hostage.work.job;
		submit(pool, works, OTHERS + 1);
		inbox_collect(&inbox, OTHERS + 1);
	}
	pool_free(pool);
}

static void withdraw_from_the_queue(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(2);
	atomic_int running = 0, gate = 0;
	struct work works[4];

	(void)state;
	work_init(works, 4, &inbox);
	for (size_t i = 0; i < 4; i++) {
		works[i].counter = &running;
		works[i].gate = &gate;
	}
	works[3].job.slow = true;
	submit(pool, works, 2);
	wait_until(atomic_load(&running) == 2);
	submit(pool, &works[2], 2);
	assert_int_equal(pool_withdraw(pool, &works[2].job), POOL_REMOVED);
	assert_int_equal(pool_withdraw(pool, &works[3].job), POOL_REMOVED);
	assert_int_equal(works[2].job.state, JOB_IDLE);
	assert_int_equal(pool_withdraw(pool, &works[0].job), POOL_TOO_LATE);
	gate_open(&gate);
	inbox_collect(&inbox, 2);
	assert_int_equal(pool_withdraw(pool, &works[0].job), POOL_TOO_LATE);
	assert_int_equal(works[2].runs + works[3].runs, 0);
	/* It is the caller's again: it may be submitted anew. */
	works[2].job.next = NULL;
	submit(pool, &works[2], 1);
	inbox_collect(&inbox, 1);
	assert_int_equal(works[2].runs, 1);
	pool_free(pool);
}

enum { BATCH = 24 };

/* Lets the only thread begin a batch whose first job waits at `gate`. How large the batch is depends on how fast
 * the jobs before it were. */
static void begin_batch(struct pool *pool, struct work *works, struct inbox *inbox, atomic_int *gate)
{
	atomic_int running = 0;

	atomic_store(gate, 0);
	work_init(works, BATCH, inbox);
	works[4].counter = &running;
	works[4].gate = gate;
	submit(pool, works, BATCH);
	wait_until(atomic_load(&running) == 1);
	works[4].counter = NULL;
}

static void withdraw_from_a_worker(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(1);
	struct work works[BATCH];
	bool held = false;
	atomic_int gate;

	(void)state;
	for (int attempt = 0; attempt < 2000 && !held; attempt++) {
		begin_batch(pool, works, &inbox, &gate);
		held = pool_withdraw(pool, &works[5].job) == POOL_WILL_SKIP;
		assert_int_equal(works[5].job.state, held ? JOB_WITHDRAWN : JOB_IDLE);
		gate_open(&gate);
		inbox_collect(&inbox, held ? BATCH : BATCH - 1);
		assert_int_equal(works[5].runs, 0);
		assert_int_equal(works[6].runs, 1);
	}
	pool_free(pool);
	/* There no job may be short enough for a batch. */
	if (!held && RUNNING_ON_VALGRIND)
		skip();
	assert_true(held);
}

static void shutdown_drains(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(2);
	struct work works[BATCH];

	(void)state;
	work_init(works, BATCH, &inbox);
	for (size_t i = 0; i < BATCH; i += 2)
		works[i].job.slow = true;
	submit(pool, works, BATCH);
	pool_shutdown(pool, false);
	assert_int_equal(pool_join(pool), 0);
	assert_int_equal(pool_threads(pool), 0);
	inbox_collect(&inbox, BATCH);
	for (size_t i = 0; i < BATCH; i++)
		assert_int_equal(works[i].runs, 1);
	assert_int_equal(pool_submit(pool, &works[0].job, 1), -ESHUTDOWN);
	assert_int_equal(works[0].job.state, JOB_IDLE);
	pool_free(pool);
}

static void shutdown_drops(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(1);
	struct work works[BATCH];
	atomic_int gate;

	(void)state;
	begin_batch(pool, works, &inbox, &gate);
	pool_shutdown(pool, true);
	for (size_t i = 5; i < BATCH; i++)
		assert_int_equal(works[i].job.state, JOB_WITHDRAWN);
	gate_open(&gate);
	assert_int_equal(pool_join(pool), 0);
	inbox_collect(&inbox, BATCH);
	for (size_t i = 0; i < BATCH; i++)
		assert_int_equal(works[i].runs, i < 5);
	pool_free(pool);
}

/* First drained, then in a hurry. */
static void shutdown_may_drop_later(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(1);
	struct work works[BATCH];
	atomic_int gate;

	(void)state;
	begin_batch(pool, works, &inbox, &gate);
	pool_shutdown(pool, false);
	assert_int_equal(works[5].job.state, JOB_QUEUED);
	pool_shutdown(pool, true);
	gate_open(&gate);
	pool_free(pool);
	inbox_collect(&inbox, BATCH);
	assert_int_equal(works[BATCH - 1].runs, 0);
}

static void *join_pool(void *pool)
{
	return (void *)(intptr_t)pool_join(pool);
}

static void two_threads_join(void **state)
{
	struct inbox inbox = {.sink.wake = ring};
	struct pool *pool = new_pool(2);
	atomic_int gate = 0;
	pthread_t threads[2];
	struct work works[2];
	void *result;

	(void)state;
	work_init(works, 2, &inbox);
	works[0].gate = works[1].gate = &gate;
	submit(pool, works, 2);
	pool_shutdown(pool, false);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, join_pool, pool), 0);
	gate_open(&gate);
	for (size_t i = 0; i < 2; i++) {
		pthread_join(threads[i], &result);
		assert_null(result);
	}
	assert_int_equal(pool_threads(pool), 0);
	inbox_collect(&inbox, 2);
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
	for (size_t i = 0; i < 6; i++) {
		works[i].counter = &running;
		works[i].gate = &gate;
	}
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
	assert_int_equal(pool_max_threads(first), pool_default_threads());
	pid_t child = fork();
	if (child == 0) {
		/* The threads are the parent's: a job would never come back from the old pool. */
		alarm(60);
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

/* One wake-up per batch, in the order in which they came back, and settle waits for the one that is under way. */
static atomic_int wake_gate;

static void slow_ring(struct job_sink *sink)
{
	atomic_fetch_add(&container_of(sink, struct inbox, sink)->wakes, 1);
	while (!atomic_load(&wake_gate))
		futex_wait(&wake_gate, 0);
}

static void *open_wake_gate(void *arg)
{
	gate_open(&wake_gate);
	return arg;
}

static void a_sink_wakes_once_per_batch(void **state)
{
	struct inbox inbox = {.sink.wake = slow_ring};
	struct pool *pool = new_pool(2);
	struct work works[10];
	pthread_t thread;

	(void)state;
	atomic_store(&wake_gate, 0);
	work_init(works, 10, &inbox);
	submit(pool, works, 1);
	wait_until(atomic_load(&inbox.wakes) == 1);
	works[0].job.next = NULL;
	submit(pool, &works[1], 9);
	/* The other thread brings these while the first is still waking. */
	wait_until(atomic_load(&inbox.sink.done) == &works[9].job);
	struct job *job = job_sink_take(&inbox.sink);
	assert_ptr_equal(job, &works[0].job);
	for (int i = 0; i < 9; i++)
		assert_non_null(job = job->next);
	assert_null(job->next);
	assert_int_equal(atomic_load(&inbox.wakes), 1);
	assert_int_equal(atomic_load(&inbox.sink.waking), 1);
	assert_int_equal(pthread_create(&thread, NULL, open_wake_gate, NULL), 0);
	job_sink_settle(&inbox.sink);
	assert_int_equal(atomic_load(&wake_gate), 1);
	pthread_join(thread, NULL);
	pool_free(pool);
}

/* Submissions, withdrawals and a shutdown at any moment; whatever was accepted comes back, run or not. */
struct racer {
	struct pool *pool;
	unsigned seed;
	pthread_t thread;
};

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 16;
}

static void *race(void *arg)
{
	enum { HEAP = 32 };
	struct racer *racer = arg;
	struct inbox *inbox = calloc(1, sizeof(*inbox));
	int error;

	inbox->sink.wake = ring;
	do {
		size_t count = 1 + next_random(&racer->seed) % HEAP, back = 0;
		struct work *works = calloc(count, sizeof(*works));

		work_init(works, count, inbox);
		for (size_t i = 0; i < count; i++)
			works[i].job.slow = next_random(&racer->seed) % 4 == 0;
		error = pool_submit(racer->pool, &works[0].job, count);
		for (size_t i = 0; !error && i < count; i++)
			if (next_random(&racer->seed) % 2 && pool_withdraw(racer->pool, &works[i].job) == POOL_REMOVED)
				back++;
		if (!error)
			inbox_collect(inbox, count - back);
		/* Freed at once, so that a thread that still touched a job would be caught. */
		for (size_t i = 0; i < count; i++)
			if (works[i].runs > 1 || (works[i].runs == 1) != (works[i].job.state == JOB_DONE))
				abort();
		free(works);
	} while (!error);
	free(inbox);
	return (void *)(intptr_t)error;
}

static void races(void **state)
{
	(void)state;
	for (unsigned round = 0; round < (RUNNING_ON_VALGRIND ? 10 : 100); round++) {
		struct pool *pool = new_pool(1 + round % 4);
		struct racer racers[3];
		struct inbox inbox = {.sink.wake = ring};
		struct work works[20];
		void *result;

		for (unsigned i = 0; i < 3; i++) {
			racers[i] = (struct racer){.pool = pool, .seed = round * 3 + i};
			assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
		}
		for (unsigned i = 0; i < 1 + round % 20; i++) {
			work_init(works, 20, &inbox);
			submit(pool, works, 20);
			inbox_collect(&inbox, 20);
		}
		pool_shutdown(pool, round % 2);
		for (unsigned i = 0; i < 3; i++) {
			pthread_join(racers[i].thread, &result);
			assert_int_equal((intptr_t)result, -ESHUTDOWN);
		}
		pool_free(pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processors),
		cmocka_unit_test(every_job_runs_once),
		cmocka_unit_test(one_thread_keeps_the_order),
		cmocka_unit_test(idle_thread_is_used_again),
		cmocka_unit_test(threads_stay_below_the_limit),
		cmocka_unit_test(slow_jobs_leave_threads_free),
		cmocka_unit_test(normal_jobs_do_not_starve_slow_ones),
		cmocka_unit_test(batch_is_not_stranded_behind_a_long_job),
		cmocka_unit_test(withdraw_from_the_queue),
		cmocka_unit_test(withdraw_from_a_worker),
		cmocka_unit_test(shutdown_drains),
		cmocka_unit_test(shutdown_drops),
		cmocka_unit_test(shutdown_may_drop_later),
		cmocka_unit_test(two_threads_join),
		cmocka_unit_test(a_job_sees_its_thread),
		cmocka_unit_test(no_thread_can_be_started),
		cmocka_unit_test(a_second_thread_cannot_be_started),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(an_interrupted_sleep_is_resumed),
		cmocka_unit_test(shared_pool),
		cmocka_unit_test(a_sink_wakes_once_per_batch),
		cmocka_unit_test(races),
	};

	/* A job that is left behind shows as a test that never ends. */
	alarm(RUNNING_ON_VALGRIND ? 600 : 120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
