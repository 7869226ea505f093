/* SPDX-License-Identifier: MIT */
/* Executors that others write: what they are given, and what becomes of what they give back. */
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>

/* Keeps what it gets until it is told what to do with it. */
struct holder {
	async_job *first, *last;
	size_t held, batches, most;
	int refuses; /* with this error */
	int shutdowns, frees;
	bool waited, dropped;
	bool keeps; /* gives nothing back that was cancelled */
};

static int hold(void *data, async_job *first, size_t count)
{
	struct holder *holder = data;
	async_job *last = first;

	if (holder->refuses)
		return holder->refuses;
	holder->batches++;
	holder->held += count;
	for (size_t i = 1; i < count; i++)
		last = async_job_next(last);
	assert_null(async_job_next(last));
	if (holder->last)
		async_job_set_next(holder->last, first);
	else
		holder->first = first;
	holder->last = last;
	if (holder->held > holder->most)
		holder->most = holder->held;
	return 0;
}

static async_job *take(struct holder *holder)
{
	async_job *job = holder->first;

	assert_non_null(job);
	holder->first = async_job_next(job);
	if (!holder->first)
		holder->last = NULL;
	holder->held--;
	return job;
}

static bool give_up(void *data, async_job *wanted)
{
	struct holder *holder = data;
	async_job *before = NULL;

	if (holder->keeps)
		return false;
	for (async_job *job = holder->first; job; before = job, job = async_job_next(job)) {
		if (job != wanted)
			continue;
		if (before)
			async_job_set_next(before, async_job_next(job));
		else
			holder->first = async_job_next(job);
		if (holder->last == job)
			holder->last = before;
		holder->held--;
		return true;
	}
	return false;
}

static int shut_down(void *data, bool wait, bool cancel_futures)
{
	struct holder *holder = data;

	holder->shutdowns++;
	holder->waited = wait;
	holder->dropped = cancel_futures;
	while (cancel_futures && holder->first)
		async_job_skip(take(holder), -ECANCELED);
	return 0;
}

static void count_free(void *data)
{
	((struct holder *)data)->frees++;
}

static size_t count_held(void *data)
{
	return ((struct holder *)data)->held;
}

static const struct async_executor_ops holding = {
	.size = sizeof(holding), .submit = hold, .cancel = give_up, .shutdown = shut_down, .free = count_free,
	.workers = count_held,
};

static async_executor *holder_new(struct holder *holder)
{
	async_executor *executor;

	assert_int_equal(async_executor_new(&holding, holder, &executor), 0);
	return executor;
}

static intptr_t twice(void *arg)
{
	return 2 * (intptr_t)arg;
}

static int destroyed, dropped;

static void destroy(void *arg)
{
	(void)arg;
	destroyed++;
}

static void drop(intptr_t result)
{
	dropped += (int)result;
}

static async_future *run_counted(async_executor *executor, intptr_t arg)
{
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;

	options.destroy = destroy;
	options.drop = drop;
	return async_run_in_executor_with(executor, twice, (void *)arg, &options);
}

static void test_arguments(void **state)
{
	struct async_executor_ops ops = holding;
	async_executor *executor;

	(void)state;
	assert_int_equal(async_executor_new(NULL, NULL, &executor), -EINVAL);
	assert_int_equal(async_executor_new(&holding, NULL, NULL), -EINVAL);
	ops.submit = NULL;
	assert_int_equal(async_executor_new(&ops, NULL, &executor), -EINVAL);
	ops = holding;
	ops.shutdown = NULL;
	assert_int_equal(async_executor_new(&ops, NULL, &executor), -EINVAL);
	ops = holding;
	ops.size = 1;
	assert_int_equal(async_executor_new(&ops, NULL, &executor), -EINVAL);
}

static intptr_t one_batch_an_iteration(void *arg)
{
	struct holder holder = {0};
	async_executor *executor = holder_new(&holder);
	async_future *futures[3];
	intptr_t results[3];

	(void)arg;
	for (intptr_t i = 0; i < 3; i++)
		futures[i] = async_run_in_executor(executor, twice, (void *)(i + 1));
	assert_int_equal(holder.batches, 0);
	give_way(1);
	assert_int_equal(holder.batches, 1);
	assert_int_equal(holder.held, 3);
	assert_int_equal(async_executor_threads(executor), 3);
	async_job *job = take(&holder);
	assert_ptr_equal(async_job_fn(job), twice);
	assert_ptr_equal(async_job_arg(job), (void *)1);
	async_job_run(job);
	async_job_complete(take(&holder), 77);
	async_job_skip(take(&holder), -ENOSPC);
	assert_int_equal(async_await(async_gather(futures, 3, ASYNC_GATHER_COLLECT, results)), 2);
	assert_int_equal(results[0], 2);
	assert_int_equal(results[1], 77);
	assert_int_equal(results[2], -ENOSPC);
	async_executor_free(executor);
	assert_int_equal(holder.shutdowns, 1);
	assert_true(holder.waited && holder.dropped);
	/* The loop forgets it, and not only at its end. */
	assert_int_equal(holder.frees, 1);
	return 0;
}

static void test_one_batch_an_iteration(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(one_batch_an_iteration, NULL), 0);
}

static intptr_t a_refused_batch_fails(void *arg)
{
	struct holder holder = {.refuses = -ENOSPC};
	async_executor *executor = holder_new(&holder);
	async_future *first = run_counted(executor, 1), *second = run_counted(executor, 2);

	(void)arg;
	destroyed = 0;
	assert_int_equal(async_await(first), -ENOSPC);
	assert_int_equal(async_await(second), -ENOSPC);
	assert_int_equal(destroyed, 2);
	holder.refuses = 0;
	first = run_counted(executor, 3);
	give_way(1);
	async_job_run(take(&holder));
	assert_int_equal(async_await(first), 6);
	async_executor_free(executor);
	return 0;
}

static void test_a_refused_batch_fails(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(a_refused_batch_fails, NULL), 0);
}

static intptr_t cancelling(void *arg)
{
	struct holder holder = {0};
	async_executor *executor = holder_new(&holder);
	async_future *future;

	(void)arg;
	destroyed = dropped = 0;
	/* Before it was submitted: the executor never sees it. */
	future = run_counted(executor, 1);
	assert_int_equal(async_cancel(future, NULL), 1);
	assert_true(async_cancelled(future));
	assert_int_equal(async_await(future), -ECANCELED);
	give_way(2);
	assert_int_equal(holder.batches, 0);
	assert_int_equal(destroyed, 1);
	/* Given up by the executor. */
	future = run_counted(executor, 2);
	give_way(1);
	assert_int_equal(async_cancel(future, NULL), 1);
	assert_int_equal(async_await(future), -ECANCELED);
	assert_int_equal(holder.held, 0);
	give_way(2);
	assert_int_equal(destroyed, 2);
	/* Kept: the future is cancelled now, the result comes later and is dropped. */
	holder.keeps = true;
	future = run_counted(executor, 21);
	give_way(1);
	assert_int_equal(async_cancel(future, NULL), 1);
	assert_int_equal(async_await(future), -ECANCELED);
	async_job_run(take(&holder));
	give_way(2);
	assert_int_equal(dropped, 42);
	assert_int_equal(destroyed, 2);
	async_executor_free(executor);
	return 0;
}

static void test_cancelling(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancelling, NULL), 0);
}

/* Runs what it gets at once, in the loop's own thread. */
static int run_at_once(void *data, async_job *first, size_t count)
{
	(void)data;
	for (async_job *job = first, *next; count > 0; job = next, count--) {
		next = async_job_next(job);
		async_job_run(job);
	}
	return 0;
}

static int nothing_to_shut_down(void *data, bool wait, bool cancel_futures)
{
	(void)data, (void)wait, (void)cancel_futures;
	return 0;
}

static intptr_t inline_executor(void *arg)
{
	struct async_executor_ops ops = ASYNC_EXECUTOR_OPS_INIT;
	async_executor *executor;
	void *args[20];
	intptr_t results[20];

	(void)arg;
	ops.submit = run_at_once;
	ops.shutdown = nothing_to_shut_down;
	assert_int_equal(async_executor_new(&ops, NULL, &executor), 0);
	assert_int_equal(async_executor_threads(executor), 0);
	for (intptr_t i = 0; i < 20; i++)
		args[i] = (void *)i;
	assert_int_equal(async_await(async_executor_map(executor, twice, args, 20, 3, results)), 20);
	for (intptr_t i = 0; i < 20; i++)
		assert_int_equal(results[i], 2 * i);
	assert_int_equal(async_executor_close(executor, true), 0);
	async_executor_free(executor);
	return 0;
}

static intptr_t without_cancel(void *arg)
{
	/* The loop forgets it at its end only. */
	static struct holder holder;
	struct async_executor_ops ops = holding;
	async_executor *executor;

	(void)arg;
	ops.cancel = NULL;
	dropped = 0;
	assert_int_equal(async_executor_new(&ops, &holder, &executor), 0);
	async_future *future = run_counted(executor, 4);
	give_way(1);
	async_cancel(future, NULL);
	assert_int_equal(async_await(future), -ECANCELED);
	assert_int_equal(holder.held, 1);
	async_job_run(take(&holder));
	async_executor_free(executor);
	give_way(2);
	assert_int_equal(dropped, 8);
	return 0;
}

static void test_without_cancel(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(without_cancel, NULL), 0);
}

static void test_inline_executor(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(inline_executor, NULL), 0);
}

/* A map never has more in flight than it was told, and goes on as places become free. */
static intptr_t map_in_flight(void *arg)
{
	struct holder holder = {0};
	async_executor *executor = holder_new(&holder);
	void *args[10];
	intptr_t results[10];

	(void)arg;
	for (intptr_t i = 0; i < 10; i++)
		args[i] = (void *)i;
	async_future *map = async_executor_map(executor, twice, args, 10, 4, results);
	give_way(1);
	assert_int_equal(holder.held, 4);
	for (int done = 0; done < 10; done++) {
		assert_false(async_done(map));
		async_job_run(take(&holder));
		give_way(2);
	}
	assert_int_equal(async_await(map), 10);
	assert_int_equal(holder.most, 4);
	for (intptr_t i = 0; i < 10; i++)
		assert_int_equal(results[i], 2 * i);
	async_executor_free(executor);
	return 0;
}

static void test_map_in_flight(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(map_in_flight, NULL), 0);
}

/* Without a limit everything is submitted in one batch; the order in which jobs end is not that of the results. */
static intptr_t map_at_once(void *arg)
{
	struct holder holder = {0};
	async_executor *executor = holder_new(&holder);
	void *args[5];
	intptr_t results[5];
	async_job *jobs[5];

	(void)arg;
	for (intptr_t i = 0; i < 5; i++)
		args[i] = (void *)i;
	async_future *map = async_executor_map(executor, twice, args, 5, 0, results);
	give_way(1);
	assert_int_equal(holder.held, 5);
	assert_int_equal(holder.batches, 1);
	for (int i = 0; i < 5; i++)
		jobs[i] = take(&holder);
	for (int i = 4; i >= 0; i--) {
		assert_false(async_done(map));
		async_job_run(jobs[i]);
		give_way(2);
	}
	assert_int_equal(async_await(map), 5);
	for (intptr_t i = 0; i < 5; i++)
		assert_int_equal(results[i], 2 * i);
	async_executor_free(executor);
	return 0;
}

static void test_map_at_once(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(map_at_once, NULL), 0);
	for_each_seed(map_at_once, 200);
}

/* The first error takes back what has not begun, and the map is done when nothing runs any more. */
static intptr_t map_fails(void *arg)
{
	struct holder holder = {0};
	async_executor *executor = holder_new(&holder);
	void *args[5] = {0};
	intptr_t results[5] = {1, 1, 1, 1, 1};

	(void)arg;
	async_future *map = async_executor_map(executor, twice, args, 5, 3, results);
	give_way(1);
	async_job *running = take(&holder);
	async_job_complete(take(&holder), -EIO);
	give_way(2);
	assert_int_equal(holder.held, 0);
	assert_false(async_done(map));
	async_job_complete(running, 5);
	assert_int_equal(async_await(map), -EIO);
	assert_int_equal(results[0], 5);
	assert_int_equal(results[1], -EIO);
	for (int i = 2; i < 5; i++)
		assert_int_equal(results[i], -ECANCELED);
	async_executor_free(executor);
	return 0;
}

static void test_map_fails(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(map_fails, NULL), 0);
}

static intptr_t map_cancelled(void *arg)
{
	struct holder holder = {0};
	async_executor *executor = holder_new(&holder);
	void *args[4] = {0};
	intptr_t results[4] = {1, 1, 1, 1};

	(void)arg;
	async_future *map = async_executor_map(executor, twice, args, 4, 2, results);
	give_way(1);
	async_job *running = take(&holder);
	assert_int_equal(async_cancel(map, NULL), 1);
	assert_int_equal(holder.held, 0);
	give_way(2);
	assert_false(async_done(map));
	async_job_run(running);
	assert_int_equal(async_await(map), -ECANCELED);
	assert_int_equal(results[0], 0);
	for (int i = 1; i < 4; i++)
		assert_int_equal(results[i], -ECANCELED);
	/* Where all are given up, at once. */
	map = async_executor_map(executor, twice, args, 4, 2, NULL);
	give_way(1);
	async_cancel(map, NULL);
	assert_true(async_cancelled(map));
	async_release(map);
	/* Before anything was submitted. */
	map = async_executor_map(executor, twice, args, 4, 0, NULL);
	async_cancel(map, NULL);
	assert_int_equal(async_await(map), -ECANCELED);
	assert_int_equal(holder.held, 0);
	async_executor_free(executor);
	return 0;
}

static void test_map_cancelled(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(map_cancelled, NULL), 0);
}

static void *run_all(void *arg)
{
	struct holder *holder = arg;

	while (holder->first)
		async_job_run(take(holder));
	return NULL;
}

static intptr_t another_thread_gives_back(void *arg)
{
	struct holder holder = {0};
	async_executor *executor = holder_new(&holder);
	enum { COUNT = 200 };
	async_future *futures[COUNT];
	pthread_t thread;

	(void)arg;
	for (intptr_t i = 0; i < COUNT; i++)
		futures[i] = async_run_in_executor(executor, twice, (void *)i);
	give_way(1);
	assert_int_equal(pthread_create(&thread, NULL, run_all, &holder), 0);
	for (intptr_t i = 0; i < COUNT; i++)
		assert_int_equal(async_await(futures[i]), 2 * i);
	pthread_join(thread, NULL);
	async_executor_free(executor);
	return 0;
}

static void test_another_thread_gives_back(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(another_thread_gives_back, NULL), 0);
}

static intptr_t submit_two(void *executor)
{
	async_release(run_counted(executor, 1));
	async_release(run_counted(executor, 20));
	give_way(1);
	return 0;
}

/* A loop that closes waits for what its executors hold. */
static void test_close_waits(void **state)
{
	struct holder holder = {0};
	async_executor *executor = holder_new(&holder);
	async_loop *loop = loop_virtual();
	pthread_t thread;

	(void)state;
	async_task *task = async_loop_create_task(loop, submit_two, executor, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, task), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_all, &holder), 0);
	dropped = 0;
	loop_end(loop);
	assert_int_equal(dropped, 42);
	pthread_join(thread, NULL);
	async_executor_free(executor);
	assert_int_equal(holder.frees, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_arguments),
		TEST(test_one_batch_an_iteration),
		TEST(test_a_refused_batch_fails),
		TEST(test_cancelling),
		TEST(test_inline_executor),
		TEST(test_without_cancel),
		TEST(test_map_in_flight),
		TEST(test_map_at_once),
		TEST(test_map_fails),
		TEST(test_map_cancelled),
		TEST(test_another_thread_gives_back),
		TEST(test_close_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
