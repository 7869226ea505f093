/* SPDX-License-Identifier: MIT */
/* Tasks: how they begin, take turns and end, and who disposes of what they were given. */
#include "harness.h"

#include <string.h>

static int destroyed, dropped;
static intptr_t dropped_value;

static void destroy(void *arg)
{
	(void)arg;
	destroyed++;
}

static void drop(intptr_t result)
{
	dropped++;
	dropped_value = result;
}

static void forget_disposals(void)
{
	destroyed = dropped = 0;
	dropped_value = 0;
}

static async_task *create_disposing(async_fn *fn, void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.destroy = destroy;
	options.drop = drop;
	return async_create_task_with(fn, arg, &options);
}

static intptr_t return_arg(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t sleep_long(void *arg)
{
	(void)arg;
	return async_sleep(1000 * ASYNC_S);
}

static intptr_t note_name(void *arg)
{
	note("%s", (const char *)arg);
	return 0;
}

/* Creation, names */

static intptr_t await_child(void *arg)
{
	return async_await(async_create_task(return_arg, arg));
}

static void await_gives_result(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(await_child, (void *)42), 42);
	assert_int_equal(run_virtual(await_child, (void *)-EIO), -EIO);
	assert_int_equal(run_virtual(await_child, NULL), 0);
}

static intptr_t start_later(void *arg)
{
	async_task *tasks[3];

	(void)arg;
	tasks[0] = async_create_task(note_name, (void *)(uintptr_t)"a");
	tasks[1] = async_create_task(note_name, (void *)(uintptr_t)"b");
	tasks[2] = async_create_task(note_name, (void *)(uintptr_t)"c");
	note("created");
	give_way(1);
	note("back");
	for (int i = 0; i < 3; i++) {
		assert_true(async_done(tasks[i]));
		assert_int_equal(async_await(tasks[i]), 0);
	}
	return 0;
}

static void starts_in_next_iteration_in_order(void **state)
{
	(void)state;
	run_virtual(start_later, NULL);
	assert_noted("created a b c back");
}

static intptr_t names(void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	char buffer[ASYNC_TASK_NAME_MAX], longer[100], small[4];
	async_task *unnamed, *named;

	(void)arg;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_string_equal(async_task_get_name(async_current_task(), buffer, sizeof(buffer)), "Task-1");
	unnamed = async_create_task(return_arg, NULL);
	options.name = "worker";
	named = async_create_task_with(return_arg, NULL, &options);
	assert_string_equal(async_task_get_name(unnamed, buffer, sizeof(buffer)), "Task-2");
	assert_string_equal(async_task_get_name(named, buffer, sizeof(buffer)), "worker");
	assert_string_equal(async_task_get_name(named, small, sizeof(small)), "wor");
	assert_int_equal(async_task_set_name(unnamed, longer), 0);
	async_task_get_name(unnamed, buffer, sizeof(buffer));
	assert_int_equal(strlen(buffer), ASYNC_TASK_NAME_MAX - 1);
	assert_int_equal(async_task_set_name(named, NULL), -EINVAL);
	assert_int_equal(async_task_set_name(NULL, "x"), -EINVAL);
	assert_string_equal(async_task_get_name(NULL, buffer, sizeof(buffer)), "");

	async_future *future = async_future_new(NULL, NULL);
	assert_int_equal(async_task_set_name(future, "x"), -EINVAL);
	assert_string_equal(async_task_get_name(future, buffer, sizeof(buffer)), "");
	assert_false(async_is_task(future));
	assert_false(async_is_task(NULL));
	assert_true(async_is_task(named));
	async_release(future);
	assert_int_equal(async_await(unnamed), 0);
	return async_await(named);
}

static void names_are_given_and_changed(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(names, NULL), 0);
}

/* Eager tasks */

static intptr_t eager_body(void *arg)
{
	note("in-%s", (const char *)arg);
	if (async_sleep(0) < 0)
		return -ECANCELED;
	note("on-%s", (const char *)arg);
	return 7;
}

static async_task *create_eager(async_fn *fn, void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.eager = true;
	options.destroy = destroy;
	options.drop = drop;
	return async_create_task_with(fn, arg, &options);
}

static intptr_t eager_nested(void *arg)
{
	async_task *self = async_current_task(), *inner;

	(void)arg;
	note("outer");
	inner = create_eager(eager_body, (void *)(uintptr_t)"inner");
	assert_ptr_equal(async_current_task(), self);
	note("outer2");
	return async_await(inner);
}

static intptr_t eager_check_current(void *arg)
{
	*(async_task **)arg = async_current_task();
	return 1;
}

static intptr_t eager(void *arg)
{
	async_task *self = async_current_task(), *seen = NULL, *task;

	(void)arg;
	task = create_eager(eager_check_current, &seen);
	assert_ptr_equal(seen, task);
	assert_ptr_equal(async_current_task(), self);
	assert_true(async_done(task));
	assert_int_equal(async_await(task), 1);

	task = create_eager(eager_body, (void *)(uintptr_t)"a");
	assert_false(async_done(task));
	note("between");
	assert_int_equal(async_await(task), 7);
	assert_noted("in-a between on-a");

	task = create_eager(eager_nested, NULL);
	note("main");
	assert_int_equal(async_await(task), 7);
	assert_noted("outer in-inner outer2 main on-inner");
	return 0;
}

static void eager_runs_until_it_suspends(void **state)
{
	(void)state;
	forget_disposals();
	assert_int_equal(run_virtual(eager, NULL), 0);
	assert_int_equal(destroyed + dropped, 0);
}

static void start_eager(void *arg)
{
	*(async_task **)arg = create_eager(eager_body, (void *)(uintptr_t)"a");
	note("callback");
}

static void eager_from_a_callback(void **state)
{
	async_loop *loop = loop_virtual();
	async_task *task = NULL;

	(void)state;
	assert_int_equal(async_loop_call_soon(loop, start_eager, &task, NULL), 0);
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("in-a callback");
	assert_int_equal(async_loop_run_until_complete(loop, task), 7);
	assert_noted("on-a");
	loop_end(loop);
	assert_int_equal(reports.count, 0);
}

static void eager_on_an_idle_loop_is_not(void **state)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	async_loop *loop = loop_virtual();

	(void)state;
	options.eager = true;
	async_task *task = async_loop_create_task(loop, eager_body, (void *)(uintptr_t)"a", &options);
	assert_noted("");
	assert_int_equal(async_loop_run_until_complete(loop, task), 7);
	assert_noted("in-a on-a");
	loop_end(loop);
}

/* Waiting for oneself, and for what cannot be waited for */

static intptr_t await_self(void *arg)
{
	(void)arg;
	return async_await(async_ref(async_current_task()));
}

static void awaiting_oneself_is_refused(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(await_self, NULL), -EDEADLK);
}

static intptr_t await_other(void *arg)
{
	return async_await(arg);
}

static void awaiting_outside_its_place(void **state)
{
	async_loop *loop = loop_virtual(), *other = loop_virtual();
	async_future *future = async_future_new(other, NULL);

	(void)state;
	assert_int_equal(async_await(async_ref(future)), -EPERM);
	assert_int_equal(async_loop_run_until_complete(loop,
			 async_loop_create_task(loop, await_other, async_ref(future), NULL)), -EPERM);
	async_release(future);
	assert_int_equal(async_await(NULL), -EINVAL);
	assert_int_equal(async_sleep(0), -EPERM);
	assert_int_equal(async_sleep(1), -EPERM);
	assert_int_equal(async_sleep_until(1), -EPERM);
	loop_end(loop);
	loop_end(other);
	assert_int_equal(reports.count, 0);
}

/* Turns */

static intptr_t yielder(void *arg)
{
	for (int i = 1; i <= 3; i++) {
		note("%s%d", (const char *)arg, i);
		give_way(1);
	}
	return 0;
}

static intptr_t three_yielders(void *arg)
{
	async_task *tasks[3];
	const char *const who[] = {"a", "b", "c"};

	(void)arg;
	for (int i = 0; i < 3; i++)
		tasks[i] = async_create_task(yielder, (void *)(uintptr_t)who[i]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(async_await(tasks[i]), 0);
	return 0;
}

static void yields_take_turns(void **state)
{
	(void)state;
	run_virtual(three_yielders, NULL);
	assert_noted("a1 b1 c1 a2 b2 c2 a3 b3 c3");
}

static intptr_t joiner(void *arg)
{
	intptr_t result = async_await(async_ref(arg));

	note("joined");
	return result;
}

/* a ends in iteration n; who waits for it runs in n + 1, behind what was ready before. */
static intptr_t wake_order(void *arg)
{
	async_task *target, *waiter, *other;

	(void)arg;
	target = async_create_task(note_name, (void *)(uintptr_t)"target");
	waiter = async_create_task(joiner, target);
	other = async_create_task(yielder, (void *)(uintptr_t)"y");
	assert_int_equal(async_await(other), 0);
	assert_int_equal(async_await(waiter), 0);
	return async_await(target);
}

static intptr_t wake_order_parked(void *arg)
{
	async_task *target, *waiter, *other;

	(void)arg;
	target = async_create_task(yielder, (void *)(uintptr_t)"t");
	waiter = async_create_task(joiner, target);
	other = async_create_task(yielder, (void *)(uintptr_t)"y");
	assert_int_equal(async_await(other), 0);
	note("other");
	assert_int_equal(async_await(waiter), 0);
	return async_await(target);
}

static void a_waiter_runs_in_the_next_iteration(void **state)
{
	(void)state;
	run_virtual(wake_order, NULL);
	assert_noted("target joined y1 y2 y3");
	run_virtual(wake_order_parked, NULL);
	assert_noted("t1 y1 t2 y2 t3 y3 joined other");
}

/* Sleeps */

struct nap {
	const char *name;
	async_time delay;
};

static intptr_t napper(void *arg)
{
	const struct nap *nap = arg;
	int result = async_sleep(nap->delay);

	note("%s@%d", nap->name, (int)(async_loop_time(NULL) / ASYNC_MS));
	return result;
}

static intptr_t nap_together(void *arg)
{
	struct nap naps[] = {{"c", 30 * ASYNC_MS}, {"a", 10 * ASYNC_MS}, {"b", 20 * ASYNC_MS}, {"a2", 10 * ASYNC_MS},
			     {"now", 0}, {"past", -5}};
	async_task *tasks[countof(naps)];

	(void)arg;
	for (size_t i = 0; i < countof(naps); i++)
		tasks[i] = async_create_task(napper, &naps[i]);
	for (size_t i = 0; i < countof(naps); i++)
		assert_int_equal(async_await(tasks[i]), 0);
	assert_int_equal(async_sleep_until(100 * ASYNC_MS), 0);
	assert_int_equal(async_loop_time(NULL), 100 * ASYNC_MS);
	assert_int_equal(async_sleep_until(50 * ASYNC_MS), 0);
	assert_int_equal(async_loop_time(NULL), 100 * ASYNC_MS);
	return 0;
}

static void sleeps_end_in_order(void **state)
{
	(void)state;
	run_virtual(nap_together, NULL);
	assert_noted("now@0 past@0 a@10 a2@10 b@20 c@30");
}

static intptr_t sleep_sorted(void *arg)
{
	async_task *tasks[20];

	(void)arg;
	for (int i = 0; i < 20; i++) {
		static struct nap naps[20];

		naps[i] = (struct nap){"n", (i * 7 % 20 + 1) * ASYNC_MS};
		tasks[i] = async_create_task(napper, &naps[i]);
	}
	for (int i = 0; i < 20; i++)
		assert_int_equal(async_await(tasks[i]), 0);
	assert_noted("n@1 n@2 n@3 n@4 n@5 n@6 n@7 n@8 n@9 n@10 n@11 n@12 n@13 n@14 n@15 n@16 n@17 n@18 n@19 n@20");
	return 0;
}

static void sleeps_end_in_order_however_shuffled(void **state)
{
	(void)state;
	for_each_seed(sleep_sorted, 200);
}

/* Disposal of arguments and results */

static intptr_t dispose_normal(void *arg)
{
	async_task *task;

	(void)arg;
	forget_disposals();
	assert_int_equal(async_await(create_disposing(return_arg, (void *)5)), 5);
	assert_int_equal(destroyed, 0);
	assert_int_equal(dropped, 0);

	/* Nobody takes the result. */
	async_release(create_disposing(return_arg, (void *)6));
	give_way(1);
	assert_int_equal(dropped, 1);
	assert_int_equal(dropped_value, 6);

	/* It is there and looked at without being awaited. */
	task = create_disposing(return_arg, (void *)7);
	give_way(1);
	assert_int_equal(async_result(task), 7);
	async_release(task);
	assert_int_equal(dropped, 1);

	/* Done, but only asked whether it failed: the value was not taken. */
	task = create_disposing(return_arg, (void *)8);
	give_way(1);
	assert_int_equal(async_error(task), 0);
	async_release(task);
	assert_int_equal(dropped, 2);
	assert_int_equal(dropped_value, 8);

	/* An error owns nothing. */
	assert_int_equal(async_await(create_disposing(return_arg, (void *)-EIO)), -EIO);
	assert_int_equal(dropped, 2);
	assert_int_equal(destroyed, 0);
	return 0;
}

static void results_that_nobody_takes_are_dropped(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(dispose_normal, NULL), 0);
}

static intptr_t dispose_cancelled_early(void *arg)
{
	async_task *task = create_disposing(return_arg, (void *)5);

	(void)arg;
	forget_disposals();
	assert_int_equal(async_cancel(task, NULL), 1);
	assert_false(async_done(task));
	assert_int_equal(async_await(task), -ECANCELED);
	assert_int_equal(destroyed, 1);
	assert_int_equal(dropped, 0);
	return 0;
}

static intptr_t cancel_self_and_return(void *arg)
{
	async_cancel(async_current_task(), NULL);
	return (intptr_t)arg;
}

static intptr_t dispose_cancelled_late(void *arg)
{
	(void)arg;
	forget_disposals();
	assert_int_equal(async_await(create_disposing(cancel_self_and_return, (void *)9)), -ECANCELED);
	assert_int_equal(destroyed, 0);
	assert_int_equal(dropped, 1);
	assert_int_equal(dropped_value, 9);
	return 0;
}

static void cancelled_tasks_leak_nothing(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(dispose_cancelled_early, NULL), 0);
	assert_int_equal(run_virtual(dispose_cancelled_late, NULL), 0);
}

static void assert_failed_creation(async_task *task, int error)
{
	assert_non_null(task);
	assert_true(async_done(task));
	assert_false(async_is_task(task));
	assert_int_equal(async_error(task), error);
	assert_int_equal(async_await(task), error);
	/* Immortal: more releases than references do no harm. */
	async_release(task);
	async_release(task);
	assert_int_equal(async_result(task), error);
}

static void failed_creation_is_a_future(void **state)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	async_loop *loop = loop_virtual();

	(void)state;
	forget_disposals();
	options.destroy = destroy;
	options.drop = drop;
	assert_failed_creation(async_loop_create_task(loop, NULL, &loop, &options), -EINVAL);
	assert_int_equal(destroyed, 1);
	options.stack_size = ASYNC_STACK_SIZE_MIN - 1;
	assert_failed_creation(async_loop_create_task(loop, return_arg, &loop, &options), -EINVAL);
	options.stack_size = ASYNC_STACK_SIZE_MAX + 1;
	assert_failed_creation(async_loop_create_task(loop, return_arg, &loop, &options), -EINVAL);
	assert_int_equal(destroyed, 3);
	options.stack_size = 0;
	options.size = 1;
	assert_failed_creation(async_loop_create_task(loop, return_arg, &loop, &options), -EINVAL);
	options.size = sizeof(options);
	destroyed = 0;
	assert_int_equal(async_loop_close(loop), 0);
	assert_failed_creation(async_loop_create_task(loop, return_arg, &loop, &options), -ESHUTDOWN);
	assert_int_equal(destroyed, 1);
	assert_int_equal(dropped, 0);
	async_loop_free(loop);
}

static void unrun_tasks_are_destroyed_at_close(void **state)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	async_loop *loop = loop_virtual();

	(void)state;
	forget_disposals();
	options.destroy = destroy;
	options.drop = drop;
	async_release(async_loop_create_task(loop, return_arg, (void *)1, &options));
	async_task *held = async_loop_create_task(loop, return_arg, (void *)2, &options);
	assert_int_equal(async_loop_close(loop), 0);
	assert_int_equal(destroyed, 2);
	assert_int_equal(dropped, 0);
	/* The one that is held is named as leaked, and can be asked. */
	assert_int_equal(reports.count, 1);
	assert_ptr_equal(reports.future, held);
	assert_true(async_done(held));
	assert_int_equal(async_result(held), -ESHUTDOWN);
	async_release(held);
	async_loop_free(loop);
}

static intptr_t await_owned(void *arg)
{
	return async_await(arg);
}

/* One that sleeps, one that waits for it, one that waits for that, one that is about to run. */
static void waiting_tasks_are_abandoned_at_close(void **state)
{
	async_loop *loop = loop_virtual();
	async_task *sleeper, *middle, *outer;

	(void)state;
	forget_disposals();
	sleeper = async_loop_create_task(loop, sleep_long, NULL, NULL);
	middle = async_loop_create_task(loop, await_owned, sleeper, NULL);
	outer = async_loop_create_task(loop, await_owned, middle, NULL);
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_false(async_done(outer));
	async_release(async_loop_create_task(loop, sleep_long, NULL, NULL));
	assert_int_equal(async_loop_close(loop), 0);
	assert_true(async_done(outer));
	assert_int_equal(async_error(outer), -ESHUTDOWN);
	async_release(outer);
	async_loop_free(loop);
}

static intptr_t await_borrowed(void *arg)
{
	return async_await(async_ref(arg));
}

static void detached_waiters_are_abandoned_at_close(void **state)
{
	for (int order = 0; order < 2; order++) {
		async_loop *loop = loop_virtual();
		async_future *never = async_future_new(loop, NULL);

		for (int i = 0; i < 3; i++) {
			async_task *target = async_loop_create_task(loop, order ? sleep_long : await_borrowed, never, NULL);

			async_release(async_loop_create_task(loop, await_owned, target, NULL));
		}
		async_loop_stop(loop);
		assert_int_equal(async_loop_run_forever(loop), 0);
		async_release(never);
		assert_int_equal(async_loop_close(loop), 0);
		async_loop_free(loop);
	}
	(void)state;
}

/* The waiter is older than what it waits for, and nobody else holds either of them. */
static intptr_t await_slot(void *arg)
{
	return async_await(*(async_task **)arg);
}

static void older_waiters_are_abandoned_at_close(void **state)
{
	async_loop *loop = loop_virtual();
	async_task *targets[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		async_release(async_loop_create_task(loop, await_slot, &targets[i], NULL));
	for (int i = 0; i < 3; i++)
		targets[i] = async_loop_create_task(loop, sleep_long, NULL, NULL);
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_int_equal(async_loop_close(loop), 0);
	async_loop_free(loop);
}

static intptr_t wait_borrowed(void *arg)
{
	async_future *future = arg;

	return async_wait(&future, 1, ASYNC_WAIT_ALL_COMPLETED, 1000 * ASYNC_S);
}

static intptr_t gather_borrowed(void *arg)
{
	async_future *future = async_ref(arg);

	return async_await(async_gather(&future, 1, 0, NULL));
}

static intptr_t limited_sleep(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	(void)arg;
	assert_int_equal(async_timeout_begin(&scope, 500 * ASYNC_S), 0);
	return async_timeout_end(&scope, async_sleep(1000 * ASYNC_S));
}

/* What the library itself allocated for a wait goes with the loop. */
static void every_kind_of_wait_is_abandoned_at_close(void **state)
{
	async_fn *const waits[] = {wait_borrowed, gather_borrowed, limited_sleep};

	for (size_t i = 0; i < countof(waits); i++) {
		async_loop *loop = loop_virtual();
		async_future *never = async_future_new(loop, NULL);

		async_release(async_loop_create_task(loop, waits[i], never, NULL));
		async_loop_stop(loop);
		assert_int_equal(async_loop_run_forever(loop), 0);
		async_release(never);
		assert_int_equal(async_loop_close(loop), 0);
		async_loop_free(loop);
	}
	(void)state;
}

/* A task that was woken but not run when the loop closes. */
static void ready_tasks_are_abandoned_at_close(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);

	(void)state;
	async_release(async_loop_create_task(loop, await_borrowed, future, NULL));
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_int_equal(async_future_set_result(future, 1), 0);
	async_release(future);
	assert_int_equal(async_loop_close(loop), 0);
	async_loop_free(loop);
}

/* Who there is */

static intptr_t list_tasks(void *arg)
{
	async_task *a = async_create_task(sleep_long, NULL), *b = async_create_task(return_arg, NULL);
	async_task *tasks[4] = {NULL, NULL, NULL, NULL};

	(void)arg;
	assert_int_equal(async_all_tasks(NULL, NULL, 0), 3);
	assert_int_equal(async_all_tasks(NULL, tasks, 4), 3);
	assert_ptr_equal(tasks[0], async_current_task());
	assert_ptr_equal(tasks[1], a);
	assert_ptr_equal(tasks[2], b);
	assert_null(tasks[3]);
	give_way(1);
	assert_int_equal(async_all_tasks(NULL, tasks, 1), 2);
	async_cancel(a, NULL);
	assert_int_equal(async_await(a), -ECANCELED);
	assert_int_equal(async_await(b), 0);
	assert_int_equal(async_all_tasks(NULL, tasks, 4), 1);
	return 0;
}

static void all_tasks_are_the_live_ones(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	assert_int_equal(async_all_tasks(NULL, NULL, 0), -EPERM);
	assert_int_equal(async_all_tasks(loop, NULL, 0), 0);
	async_task *task = async_loop_create_task(loop, list_tasks, NULL, NULL);
	assert_int_equal(async_all_tasks(loop, NULL, 0), 1);
	assert_int_equal(async_loop_run_until_complete(loop, task), 0);
	assert_int_equal(async_all_tasks(loop, NULL, 0), 0);
	loop_end(loop);
}

static void check_no_current(void *arg)
{
	note("%s", async_current_task() ? "task" : "none");
	assert_ptr_equal(async_get_running_loop(), arg);
}

static intptr_t current_stays(void *arg)
{
	async_task *self = async_current_task();

	(void)arg;
	assert_non_null(self);
	async_loop *loop = async_get_running_loop();
	assert_int_equal(async_loop_call_soon(loop, check_no_current, loop, NULL), 0);
	give_way(1);
	assert_ptr_equal(async_current_task(), self);
	assert_int_equal(async_sleep(ASYNC_MS), 0);
	assert_ptr_equal(async_current_task(), self);
	return 0;
}

static void the_current_task(void **state)
{
	(void)state;
	assert_null(async_current_task());
	run_virtual(current_stays, NULL);
	assert_noted("none");
	assert_null(async_current_task());
}

/* Stacks */

static intptr_t own_stack_size(void *arg)
{
	(void)arg;
	return async_task_stack_size(async_current_task());
}

static intptr_t size_of_stack(size_t wanted)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.stack_size = wanted;
	return async_await(async_create_task_with(own_stack_size, NULL, &options));
}

static intptr_t stack_sizes(void *arg)
{
	async_task *task = async_create_task(return_arg, NULL);

	(void)arg;
	assert_int_equal(async_task_stack_size(task), ASYNC_STACK_SIZE_DEFAULT);
	assert_int_equal(async_task_stack_used(task), 0);
	assert_int_equal(size_of_stack(0), ASYNC_STACK_SIZE_DEFAULT);
	assert_int_equal(size_of_stack(ASYNC_STACK_SIZE_MIN), ASYNC_STACK_SIZE_MIN);
	assert_int_equal(size_of_stack(20000), 32768);
	assert_int_equal(size_of_stack(1 << 20), 1 << 20);
	give_way(1);
	assert_int_equal(async_task_stack_size(task), -EINVAL);
	assert_int_equal(async_task_stack_used(task), -EINVAL);
	async_release(task);
	assert_int_equal(async_task_stack_size(NULL), -EINVAL);
	return 0;
}

static void stacks_have_the_size_asked_for(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_int_equal(run_virtual(stack_sizes, NULL), 0);
	options.stack_size = 100000;
	assert_int_equal(run_with(own_stack_size, NULL, &options), 131072);
}

static __attribute__((noinline)) int touch(size_t size)
{
	volatile char *block = __builtin_alloca(size);

	for (size_t i = 0; i < size; i++)
		block[i] = 1;
	return block[size / 2];
}

static intptr_t measure(void *arg)
{
	intptr_t before = async_task_stack_used(async_current_task());

	assert_int_equal(touch((size_t)arg), 1);
	intptr_t after = async_task_stack_used(async_current_task());
	assert_true(before > 0);
	assert_true(after >= before);
	assert_true(after <= async_task_stack_size(async_current_task()));
	return after;
}

static void stack_use_is_measured(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.measure_stacks = true;
	intptr_t little = run_with(measure, (void *)100, &options), much = run_with(measure, (void *)20000, &options);
	assert_true(much >= 20000);
	assert_true(little < 20000);
}

/* Many */

static intptr_t spawn_many(void *arg)
{
	size_t count = (size_t)arg;
	intptr_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += async_await(async_create_task(return_arg, (void *)1));
	return sum;
}

static intptr_t sleep_short(void *arg)
{
	return async_sleep((intptr_t)arg);
}

static intptr_t many_at_once(void *arg)
{
	size_t count = (size_t)arg;
	async_task **tasks = test_calloc(count, sizeof(*tasks));

	for (size_t i = 0; i < count; i++)
		tasks[i] = async_create_task(sleep_short, (void *)(i % 100 + 1));
	assert_int_equal(async_all_tasks(NULL, NULL, 0), count + 1);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(async_await(tasks[i]), 0);
	test_free(tasks);
	return 0;
}

static void many_tasks(void **state)
{
	size_t count = test_many(50000);

	(void)state;
	assert_int_equal(run_virtual(spawn_many, (void *)count), count);
	assert_int_equal(run_virtual(many_at_once, (void *)count), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(await_gives_result),
		TEST(starts_in_next_iteration_in_order),
		TEST(names_are_given_and_changed),
		TEST(eager_runs_until_it_suspends),
		TEST(eager_from_a_callback),
		TEST(eager_on_an_idle_loop_is_not),
		TEST(awaiting_oneself_is_refused),
		TEST(awaiting_outside_its_place),
		TEST(yields_take_turns),
		TEST(a_waiter_runs_in_the_next_iteration),
		TEST(sleeps_end_in_order),
		TEST(sleeps_end_in_order_however_shuffled),
		TEST(results_that_nobody_takes_are_dropped),
		TEST(cancelled_tasks_leak_nothing),
		TEST(failed_creation_is_a_future),
		TEST(unrun_tasks_are_destroyed_at_close),
		TEST(waiting_tasks_are_abandoned_at_close),
		TEST(detached_waiters_are_abandoned_at_close),
		TEST(older_waiters_are_abandoned_at_close),
		TEST(every_kind_of_wait_is_abandoned_at_close),
		TEST(ready_tasks_are_abandoned_at_close),
		TEST(all_tasks_are_the_live_ones),
		TEST(the_current_task),
		TEST(stacks_have_the_size_asked_for),
		TEST(stack_use_is_measured),
		TEST(many_tasks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
