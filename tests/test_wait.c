/* SPDX-License-Identifier: MIT */
/* Waiting for several: async_wait, async_gather, async_wait_for. */
#include "harness.h"

#include <string.h>

static int dropped;
static intptr_t dropped_sum;

static void drop(intptr_t result)
{
	dropped++;
	dropped_sum += result;
}

/* Sleeps for `delay`, then gives `result`; cancelled, it gives way `cleanup` times first. */
struct work {
	const char *name;
	async_time delay;
	intptr_t result;
	int cleanup;
};

static intptr_t work(void *arg)
{
	const struct work *mine = arg;
	int error = async_sleep(mine->delay);

	if (error < 0) {
		give_way(mine->cleanup);
		note("cancelled-%s", mine->name);
		return error;
	}
	note("%s", mine->name);
	return mine->result;
}

static async_task *start(struct work *mine)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.drop = drop;
	return async_create_task_with(work, mine, &options);
}

static void cancel_all(async_future **futures, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		async_cancel(futures[i], NULL);
		(void)!async_await(futures[i]);
	}
}

/* async_wait */

static struct work three[] = {{"a", 30, 1, 0}, {"b", 10, 2, 0}, {"c", 20, 3, 0}};

static intptr_t wait_first(void *arg)
{
	async_future *fs[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&three[i]);
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_FIRST_COMPLETED, ASYNC_FOREVER), 1);
	assert_int_equal(async_loop_time(NULL), 10);
	assert_true(async_done(fs[1]) && !async_done(fs[0]) && !async_done(fs[2]));
	/* One is done already: at once. */
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_FIRST_COMPLETED, ASYNC_FOREVER), 1);
	assert_int_equal(async_loop_time(NULL), 10);
	/* Nothing was taken, nothing was cancelled. */
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_ALL_COMPLETED, ASYNC_FOREVER), 3);
	assert_int_equal(async_loop_time(NULL), 30);
	for (int i = 0; i < 3; i++)
		assert_int_equal(async_await(fs[i]), i + 1);
	return 0;
}

static void wait_for_the_first(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_first, NULL), 0);
	assert_noted("b c a");
	for_each_seed(wait_first, 100);
}

static intptr_t wait_exception(void *arg)
{
	struct work failing[] = {{"a", 30, 1, 0}, {"b", 10, 2, 0}, {"c", 20, -EIO, 0}, {"d", 15, -ECANCELED, 0}};
	async_future *fs[4];

	(void)arg;
	for (int i = 0; i < 4; i++)
		fs[i] = start(&failing[i]);
	/* A value and a cancellation are no failure. */
	assert_int_equal(async_wait(fs, 4, ASYNC_WAIT_FIRST_EXCEPTION, ASYNC_FOREVER), 3);
	assert_int_equal(async_loop_time(NULL), 20);
	assert_int_equal(async_error(fs[2]), -EIO);
	cancel_all(fs, 4);

	/* None fails: all of them. */
	for (int i = 0; i < 3; i++)
		fs[i] = start(&three[i]);
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_FIRST_EXCEPTION, ASYNC_FOREVER), 3);
	assert_int_equal(async_loop_time(NULL), 50);
	cancel_all(fs, 3);
	return 0;
}

static void wait_for_the_first_failure(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_exception, NULL), 0);
	for_each_seed(wait_exception, 100);
}

static intptr_t wait_timeout(void *arg)
{
	async_future *fs[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&three[i]);
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_ALL_COMPLETED, 0), 0);
	assert_int_equal(async_loop_time(NULL), 0);
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_ALL_COMPLETED, -1), 0);
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_ALL_COMPLETED, 25), 2);
	assert_int_equal(async_loop_time(NULL), 25);
	assert_false(async_done(fs[0]));
	assert_int_equal(async_cancelling(fs[0]), 0);
	assert_int_equal(async_wait(fs, 1, ASYNC_WAIT_FIRST_COMPLETED, 1), 0);
	assert_int_equal(async_wait(fs, 1, ASYNC_WAIT_FIRST_COMPLETED, 100), 1);
	assert_int_equal(async_loop_time(NULL), 30);
	/* The timer of a wait that ended holds nothing: the next thing that happens is later. */
	assert_int_equal(async_sleep(1000), 0);
	assert_int_equal(async_loop_time(NULL), 1030);
	cancel_all(fs, 3);
	return 0;
}

static void wait_with_a_limit(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_timeout, NULL), 0);
}

static intptr_t wait_duplicates(void *arg)
{
	async_future *one = async_future_new(NULL, NULL), *two = async_future_new(NULL, NULL);
	async_future *fs[] = {one, two, one, one};

	(void)arg;
	async_future_set_result(one, 1);
	assert_int_equal(async_wait(fs, 4, ASYNC_WAIT_ALL_COMPLETED, 5), 3);
	assert_int_equal(async_loop_time(NULL), 5);
	async_future_set_result(two, 1);
	assert_int_equal(async_wait(fs, 4, ASYNC_WAIT_ALL_COMPLETED, 5), 4);
	assert_int_equal(async_loop_time(NULL), 5);
	async_release(one);
	async_release(two);
	return 0;
}

static void wait_for_one_several_times(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_duplicates, NULL), 0);
}

static intptr_t wait_refused(void *arg)
{
	async_future *foreign = async_future_new(arg, NULL), *mine = async_future_new(NULL, NULL);
	async_future *fs[] = {mine, NULL}, *mixed[] = {mine, foreign};
	async_future *failed[] = {async_future_failed(-EIO), async_future_failed(-ENOMEM)};

	assert_int_equal(async_wait(fs, 0, ASYNC_WAIT_ALL_COMPLETED, 0), -EINVAL);
	assert_int_equal(async_wait(NULL, 1, ASYNC_WAIT_ALL_COMPLETED, 0), -EINVAL);
	assert_int_equal(async_wait(fs, 2, ASYNC_WAIT_ALL_COMPLETED, 0), -EINVAL);
	assert_int_equal(async_wait(fs, 1, (enum async_wait_when)3, 0), -EINVAL);
	assert_int_equal(async_wait(mixed, 2, ASYNC_WAIT_ALL_COMPLETED, 0), -EPERM);
	assert_int_equal(async_wait(failed, 2, ASYNC_WAIT_ALL_COMPLETED, ASYNC_FOREVER), 2);
	async_release(mine);
	async_release(foreign);
	return 0;
}

static void wait_refuses_nonsense(void **state)
{
	async_loop *other = loop_virtual();
	async_future *future = async_future_new(other, NULL);

	(void)state;
	assert_int_equal(async_wait(&future, 1, ASYNC_WAIT_ALL_COMPLETED, 0), -EPERM);
	async_release(future);
	assert_int_equal(run_virtual(wait_refused, other), 0);
	loop_end(other);
}

struct waiting {
	async_future *fs[2];
};

static intptr_t wait_both(void *arg)
{
	struct waiting *waiting = arg;

	return async_wait(waiting->fs, 2, ASYNC_WAIT_ALL_COMPLETED, 1000);
}

static intptr_t wait_cancelled(void *arg)
{
	struct waiting waiting = {{async_future_new(NULL, NULL), async_future_new(NULL, NULL)}};
	async_task *task = async_create_task(wait_both, &waiting);

	(void)arg;
	give_way(1);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_int_equal(async_loop_time(NULL), 0);
	assert_false(async_done(waiting.fs[0]) || async_done(waiting.fs[1]));

	/* Both are done in the same iteration in which it is cancelled. */
	task = async_create_task(wait_both, &waiting);
	give_way(1);
	async_future_set_result(waiting.fs[0], 0);
	async_future_set_result(waiting.fs[1], 0);
	async_cancel(task, NULL);
	async_release(waiting.fs[0]);
	async_release(waiting.fs[1]);
	assert_int_equal(async_await(task), -ECANCELED);
	give_way(2);
	return 0;
}

static void a_wait_is_cancelled_alone(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_cancelled, NULL), 0);
	for_each_seed(wait_cancelled, 50);
}

/* Two iterations after the future is done: its callback, then the waiter. */
static intptr_t wait_interleaving(void *arg)
{
	struct waiting waiting = {{async_future_new(NULL, NULL), async_future_new(NULL, NULL)}};
	async_task *task = async_create_task(wait_both, &waiting);

	(void)arg;
	give_way(1);
	async_future_set_result(waiting.fs[0], 0);
	async_future_set_result(waiting.fs[1], 0);
	give_way(1);
	assert_false(async_done(task));
	give_way(1);
	assert_true(async_done(task));
	async_release(waiting.fs[0]);
	async_release(waiting.fs[1]);
	return async_await(task);
}

static void wait_wakes_as_asyncio_does(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_interleaving, NULL), 2);
}

/* async_gather */

static intptr_t gather_values(void *arg)
{
	async_future *fs[3];
	intptr_t results[3] = {-1, -1, -1};

	(void)arg;
	dropped = 0;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&three[i]);
	async_future *all = async_gather(fs, 3, 0, results);
	assert_false(async_done(all));
	assert_false(async_is_task(all));
	assert_int_equal(async_future_set_result(all, 1), -EINVAL);
	assert_int_equal(async_await(all), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(results[i], i + 1);
	assert_int_equal(dropped, 0);

	/* No place for the values: dropped. */
	for (int i = 0; i < 3; i++)
		fs[i] = start(&three[i]);
	dropped_sum = 0;
	assert_int_equal(async_await(async_gather(fs, 3, 0, NULL)), 3);
	assert_int_equal(dropped, 3);
	assert_int_equal(dropped_sum, 6);
	return 0;
}

static void gather_keeps_the_order(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_values, NULL), 0);
	assert_noted("b c a b c a");
	for_each_seed(gather_values, 100);
}

static intptr_t gather_error(void *arg)
{
	struct work works[] = {{"a", 30, 1, 0}, {"b", 10, -EIO, 0}, {"c", 20, -EPIPE, 0}};
	async_future *fs[3];
	intptr_t results[3] = {-1, -1, -1};

	(void)arg;
	dropped = 0;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&works[i]);
	async_task *first = async_ref(fs[0]);
	assert_int_equal(async_await(async_gather(fs, 3, 0, results)), -EIO);
	/* At once, while the others run on; a later failure is not reported. */
	assert_int_equal(async_loop_time(NULL), 10);
	assert_noted("b");
	assert_false(async_done(first));
	assert_int_equal(async_cancelling(first), 0);
	async_release(first);
	assert_int_equal(async_sleep(100), 0);
	assert_noted("c a");
	assert_int_equal(dropped, 1);
	assert_int_equal(results[0], -1);
	return 0;
}

static void gather_fails_with_the_first_error(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_error, NULL), 0);
	for_each_seed(gather_error, 100);
}

static intptr_t gather_collect(void *arg)
{
	struct work works[] = {{"a", 30, 1, 0}, {"b", 10, -EIO, 0}, {"c", 20, -ECANCELED, 0}};
	async_future *fs[3];
	intptr_t results[3] = {-1, -1, -1};

	(void)arg;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&works[i]);
	assert_int_equal(async_await(async_gather(fs, 3, ASYNC_GATHER_COLLECT, results)), 1);
	assert_int_equal(async_loop_time(NULL), 30);
	assert_int_equal(results[0], 1);
	assert_int_equal(results[1], -EIO);
	assert_int_equal(results[2], -ECANCELED);
	/* Errors that are collected nowhere are nobody's. */
	for (int i = 0; i < 3; i++)
		fs[i] = start(&works[i]);
	assert_int_equal(async_await(async_gather(fs, 3, ASYNC_GATHER_COLLECT, NULL)), 1);
	return 0;
}

static void gather_collects_errors(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_collect, NULL), 0);
}

static intptr_t gather_cancelled_child(void *arg)
{
	struct work works[] = {{"a", 30, 1, 0}, {"b", 10, 2, 0}};
	async_future *fs[2] = {start(&works[0]), start(&works[1])};
	async_task *second = async_ref(fs[1]);
	async_future *all = async_gather(fs, 2, 0, NULL);

	(void)arg;
	give_way(1);
	async_cancel(second, NULL);
	async_release(second);
	/* A cancelled child is an error of the gathering; the other runs on. */
	assert_int_equal(async_await(all), -ECANCELED);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	assert_noted("cancelled-b");
	assert_int_equal(async_sleep(100), 0);
	assert_noted("a");
	return 0;
}

static void gather_with_a_cancelled_child(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_cancelled_child, NULL), 0);
}

static intptr_t gather_cancel(void *arg)
{
	struct work works[] = {{"a", 30, 1, 0}, {"b", 30, 2, 5}, {"c", 10, 3, 0}};
	async_future *fs[3];
	intptr_t results[3] = {-1, -1, -1};

	(void)arg;
	dropped = 0;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&works[i]);
	async_future *all = async_gather(fs, 3, ASYNC_GATHER_COLLECT, results);
	assert_int_equal(async_sleep(15), 0);
	assert_int_equal(async_cancel(all, "enough"), 1);
	assert_false(async_done(all));
	/* It ends when the slowest clean-up has; what had a value before is dropped. */
	assert_int_equal(async_await(all), -ECANCELED);
	assert_noted("c cancelled-a cancelled-b");
	assert_int_equal(async_loop_time(NULL), 15);
	assert_int_equal(results[2], -1);
	assert_int_equal(dropped, 1);
	return 0;
}

static void cancelling_a_gathering_cancels_all(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_cancel, NULL), 0);
}

static intptr_t swallow(void *arg)
{
	assert_int_equal(async_sleep(1000), -ECANCELED);
	return (intptr_t)arg;
}

static intptr_t gather_swallowed(void *arg)
{
	async_future *fs[] = {async_create_task(swallow, (void *)1), async_create_task(swallow, (void *)2)};
	intptr_t results[2] = {-1, -1};
	async_future *all = async_gather(fs, 2, 0, results);

	(void)arg;
	give_way(1);
	async_cancel(all, NULL);
	return async_await(all);
}

/* As in asyncio: the gathering was cancelled, even if no child was. */
static void a_cancelled_gathering_is_cancelled(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_swallowed, NULL), -ECANCELED);
}

static intptr_t gather_edges(void *arg)
{
	async_future *one = async_future_new(NULL, NULL), *foreign = async_future_new(arg, drop);
	async_future *twice[] = {async_ref(one), async_ref(one)}, *with_null[] = {async_ref(one), NULL};
	async_future *mixed[] = {async_ref(one), foreign};
	async_future *failed[] = {async_future_failed(-ENOMEM), async_ref(one)};
	intptr_t results[2] = {-1, -1};

	/* None: done at once with nothing. */
	async_future *all = async_gather(NULL, 0, 0, NULL);
	assert_true(async_done(all));
	assert_int_equal(async_await(all), 0);
	assert_int_equal(async_await(async_gather(with_null, 2, 0, results)), -EINVAL);
	assert_int_equal(async_await(async_gather(mixed, 2, 0, results)), -EPERM);
	assert_int_equal(async_await(async_gather(NULL, 2, 0, results)), -EINVAL);
	assert_int_equal(async_await(async_gather(failed, 2, 0, results)), -ENOMEM);

	all = async_gather(twice, 2, 0, results);
	async_future_set_result(one, 4);
	assert_int_equal(async_await(all), 2);
	assert_int_equal(results[0] + results[1], 8);

	/* All done already: so is the gathering. */
	twice[0] = async_ref(one);
	twice[1] = one;
	all = async_gather(twice, 2, 0, results);
	assert_true(async_done(all));
	assert_int_equal(async_cancel(all, NULL), 0);
	assert_int_equal(async_await(all), 2);
	assert_int_equal(async_error(async_gather(NULL, 0, 99, NULL)), -EINVAL);
	return 0;
}

static void gather_at_its_edges(void **state)
{
	async_loop *other = loop_virtual();

	(void)state;
	assert_int_equal(run_virtual(gather_edges, other), 0);
	/* The foreign one was released too. */
	loop_end(other);
	assert_int_equal(reports.count, 0);
}

static intptr_t gather_released(void *arg)
{
	struct work works[] = {{"a", 10, 1, 0}, {"b", 20, 2, 0}};
	async_future *fs[] = {start(&works[0]), start(&works[1])};

	(void)arg;
	dropped = 0;
	async_release(async_gather(fs, 2, 0, NULL));
	assert_int_equal(async_sleep(30), 0);
	assert_noted("a b");
	assert_int_equal(dropped, 2);
	return 0;
}

static void a_gathering_that_nobody_wants(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_released, NULL), 0);
}

static intptr_t gather_many(void *arg)
{
	size_t count = (size_t)arg;
	async_future **fs = test_calloc(count, sizeof(*fs));
	intptr_t *results = test_calloc(count, sizeof(*results));
	struct work one = {"", 5, 1, 0};

	for (size_t i = 0; i < count; i++)
		fs[i] = start(&one);
	assert_int_equal(async_await(async_gather(fs, count, 0, results)), count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(results[i], 1);
	test_free(fs);
	test_free(results);
	return 0;
}

static void gather_of_many(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_many, (void *)test_many(20000)), 0);
}

/* async_wait_for */

static intptr_t wait_for_result(void *arg)
{
	struct work quick = {"quick", 10, 7, 0}, failing = {"failing", 10, -EIO, 0};
	async_future *done = async_future_new(NULL, NULL);

	(void)arg;
	assert_int_equal(async_wait_for(start(&quick), 50), 7);
	assert_int_equal(async_loop_time(NULL), 10);
	assert_int_equal(async_wait_for(start(&failing), 50), -EIO);
	assert_int_equal(async_wait_for(start(&quick), ASYNC_FOREVER), 7);
	assert_int_equal(async_loop_time(NULL), 30);
	/* Done already: no matter how little time. */
	async_future_set_result(done, 3);
	assert_int_equal(async_wait_for(async_ref(done), 0), 3);
	assert_int_equal(async_wait_for(done, -5), 3);
	assert_int_equal(async_wait_for(async_future_failed(-ENOMEM), 0), -ENOMEM);
	/* The timers are gone. */
	assert_int_equal(async_sleep(1000), 0);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	return 0;
}

static void wait_for_in_time(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_for_result, NULL), 0);
}

static intptr_t slow_cleanup(void *arg)
{
	assert_int_equal(async_sleep(1000), -ECANCELED);
	assert_int_equal(async_sleep(40), 0);
	note("cleaned");
	return (intptr_t)arg;
}

static intptr_t wait_for_expired(void *arg)
{
	struct work slow = {"slow", 1000, 7, 3};
	async_task *task = start(&slow);

	(void)arg;
	assert_int_equal(async_wait_for(async_ref(task), 50), -ETIMEDOUT);
	assert_int_equal(async_loop_time(NULL), 50);
	assert_true(async_cancelled(task));
	async_release(task);
	assert_noted("cancelled-slow");
	assert_int_equal(async_cancelling(async_current_task()), 0);

	/* The clean-up is awaited, however long it takes. */
	assert_int_equal(async_wait_for(async_create_task(slow_cleanup, (void *)-ECANCELED), 50), -ETIMEDOUT);
	assert_int_equal(async_loop_time(NULL), 140);
	/* It fails in it: that is the result. */
	assert_int_equal(async_wait_for(async_create_task(slow_cleanup, (void *)-EIO), 50), -EIO);
	/* It swallows the cancellation: so is that. */
	assert_int_equal(async_wait_for(async_create_task(slow_cleanup, (void *)9), 50), 9);
	assert_noted("cleaned cleaned cleaned");
	assert_int_equal(async_cancelling(async_current_task()), 0);
	assert_int_equal(async_sleep(0), 0);
	return 0;
}

static void wait_for_too_late(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_for_expired, NULL), 0);
}

static intptr_t wait_for_nothing(void *arg)
{
	struct work never = {"never", 1000, 7, 2};
	async_task *task;

	(void)arg;
	/* Not begun: never will. */
	assert_int_equal(async_wait_for(start(&never), 0), -ETIMEDOUT);
	assert_int_equal(async_wait_for(start(&never), -1), -ETIMEDOUT);
	assert_noted("");
	task = start(&never);
	give_way(1);
	assert_int_equal(async_wait_for(task, 0), -ETIMEDOUT);
	assert_noted("cancelled-never");
	assert_int_equal(async_loop_time(NULL), 0);
	/* Its end is the result if it has one. */
	task = async_create_task(slow_cleanup, (void *)9);
	give_way(1);
	assert_int_equal(async_wait_for(task, 0), 9);
	assert_noted("cleaned");
	return 0;
}

static void wait_for_with_no_time(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_for_nothing, NULL), 0);
}

static intptr_t interrupted_cleanup(void *arg)
{
	(void)arg;
	assert_int_equal(async_sleep(1000), -ECANCELED);
	return async_sleep(40);
}

static intptr_t wait_for_fifty(void *arg)
{
	return async_wait_for(arg, 50);
}

static intptr_t wait_for_outside(void *arg)
{
	struct work slow = {"slow", 1000, 7, 1};
	async_task *task = async_create_task(wait_for_fifty, start(&slow));

	(void)arg;
	assert_int_equal(async_sleep(20), 0);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_noted("cancelled-slow");
	assert_int_equal(async_loop_time(NULL), 20);

	/* Cancelled while it awaits the clean-up after its deadline: the cancellation stands. */
	task = async_create_task(wait_for_fifty, async_create_task(interrupted_cleanup, NULL));
	assert_int_equal(async_sleep(60), 0);
	assert_false(async_done(task));
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	return 0;
}

static void wait_for_passes_an_outside_cancellation_on(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_for_outside, NULL), 0);
}

static void set_result(void *arg)
{
	async_future_set_result(arg, 5);
}

static intptr_t result_and_deadline(void *arg)
{
	async_future *future = async_future_new(NULL, drop);

	(void)arg;
	dropped = 0;
	/* Both in one iteration, the result first: timeout, and the value stays in the future. */
	async_loop_call_later(async_get_running_loop(), 50, set_result, future, NULL);
	assert_int_equal(async_wait_for(async_ref(future), 50), -ETIMEDOUT);
	assert_int_equal(async_result(future), 5);
	async_release(future);
	assert_int_equal(dropped, 0);
	assert_int_equal(async_sleep(0), 0);
	return 0;
}

static void a_result_at_the_deadline_is_late(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(result_and_deadline, NULL), 0);
}

static intptr_t deadline_before_result(void *arg)
{
	async_future *future = async_future_new(NULL, NULL);
	async_task *task = async_create_task(wait_for_fifty, async_ref(future));

	(void)arg;
	give_way(1);
	async_loop_call_later(async_get_running_loop(), 50, set_result, future, NULL);
	assert_int_equal(async_await(task), -ETIMEDOUT);
	assert_true(async_cancelled(future));
	async_release(future);
	return 0;
}

static void a_deadline_before_the_result(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(deadline_before_result, NULL), 0);
}

static void wait_for_outside_a_task(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	assert_int_equal(async_wait_for(async_future_new(loop, NULL), 1), -EPERM);
	assert_int_equal(async_wait_for(NULL, 1), -EINVAL);
	loop_end(loop);
	assert_int_equal(reports.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wait_for_the_first),
		TEST(wait_for_the_first_failure),
		TEST(wait_with_a_limit),
		TEST(wait_for_one_several_times),
		TEST(wait_refuses_nonsense),
		TEST(a_wait_is_cancelled_alone),
		TEST(wait_wakes_as_asyncio_does),
		TEST(gather_keeps_the_order),
		TEST(gather_fails_with_the_first_error),
		TEST(gather_collects_errors),
		TEST(gather_with_a_cancelled_child),
		TEST(cancelling_a_gathering_cancels_all),
		TEST(a_cancelled_gathering_is_cancelled),
		TEST(gather_at_its_edges),
		TEST(a_gathering_that_nobody_wants),
		TEST(gather_of_many),
		TEST(wait_for_in_time),
		TEST(wait_for_too_late),
		TEST(wait_for_with_no_time),
		TEST(wait_for_passes_an_outside_cancellation_on),
		TEST(a_result_at_the_deadline_is_late),
		TEST(a_deadline_before_the_result),
		TEST(wait_for_outside_a_task),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
