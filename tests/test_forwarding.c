/* SPDX-License-Identifier: MIT */
/* Cancellation goes on along whatever the task waits for. */
#include "cancel_peers.h"
#include "disposals.h"

#include <stdlib.h>

static intptr_t sleep_long(void *arg)
{
	int result = async_sleep(1000 * ASYNC_S);

	note("%s:%d", arg ? (const char *)arg : "sleeper", result);
	return result;
}

static intptr_t await_owned(void *arg)
{
	return async_await(arg);
}

static intptr_t read_reason(void *arg)
{
	(void)arg;
	assert_int_equal(async_sleep(ASYNC_S), -ECANCELED);
	return (intptr_t)async_cancel_reason(self_task());
}

static intptr_t reasons(void *arg)
{
	static const char why[] = "shutting down";
	async_task *inner = async_create_task(read_reason, NULL);
	async_task *outer = async_create_task(await_owned, inner);

	(void)arg;
	assert_null(async_cancel_reason(outer));
	give_way(2);
	async_cancel(outer, why);
	assert_ptr_equal(async_cancel_reason(outer), why);
	assert_ptr_equal((void *)async_await(outer), why);
	return 0;
}

static void the_reason_is_passed_on(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(reasons, NULL), 0);
}

static intptr_t forward(void *arg)
{
	async_task *inner = async_create_task(sleep_long, (void *)(uintptr_t)"inner");
	async_task *middle = async_create_task(await_owned, async_ref(inner));
	async_task *outer = async_create_task(await_owned, async_ref(middle));

	(void)arg;
	give_way(2);
	assert_int_equal(async_cancel(outer, NULL), 1);
	assert_int_equal(async_cancelling(outer), 1);
	assert_int_equal(async_cancelling(middle), 1);
	assert_int_equal(async_cancelling(inner), 1);
	/* inner, middle and outer end one iteration after the other. */
	give_way(1);
	assert_true(async_cancelled(inner));
	assert_false(async_done(middle));
	give_way(1);
	assert_true(async_cancelled(middle));
	assert_false(async_done(outer));
	give_way(1);
	assert_true(async_cancelled(outer));
	async_release(inner);
	async_release(middle);
	async_release(outer);
	return 0;
}

static void is_forwarded_along_a_chain(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(forward, NULL), 0);
	assert_noted("inner:-125");
}

static intptr_t swallow(void *arg)
{
	(void)arg;
	assert_int_equal(async_sleep(ASYNC_S), -ECANCELED);
	assert_int_equal(async_sleep(ASYNC_S), 0);
	return 77;
}

static intptr_t await_swallower(void *arg)
{
	intptr_t result = async_await(arg);

	assert_int_equal(async_cancelling(self_task()), 1);
	assert_int_equal(async_sleep(0), 0);
	return result;
}

static intptr_t swallowed(void *arg)
{
	async_task *inner = async_create_task(swallow, NULL);
	async_task *outer = async_create_task(await_swallower, inner);

	(void)arg;
	give_way(2);
	async_cancel(outer, NULL);
	return async_await(outer);
}

static void what_is_swallowed_inside_is_gone(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(swallowed, NULL), 77);
}

static intptr_t long_chain(void *arg)
{
	size_t length = (size_t)arg;
	async_future *end = async_future_new(NULL, NULL);
	async_task *last = async_ref(end);

	for (size_t i = 0; i < length; i++)
		last = async_create_task(await_owned, last);
	give_way(2);
	assert_int_equal(async_all_tasks(NULL, NULL, 0), length + 1);
	assert_int_equal(async_cancel(last, "all"), 1);
	assert_true(async_cancelled(end));
	assert_int_equal(async_await(last), -ECANCELED);
	assert_int_equal(async_all_tasks(NULL, NULL, 0), 1);
	async_release(end);
	return 0;
}

static void a_chain_can_be_long(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.stack_size = ASYNC_STACK_SIZE_MIN;
	assert_int_equal(run_with(long_chain, (void *)test_many(100000), &options), 0);
	assert_int_equal(reports.count, 0);
}

/* What arrives together with the cancellation */

static intptr_t arrives_together(void *arg)
{
	async_future *future = async_future_new(NULL, drop);
	async_task *task;

	(void)arg;
	dropped = 0;
	task = async_create_task(await_owned, async_ref(future));
	give_way(1);
	assert_int_equal(async_future_set_result(future, 12), 0);
	assert_int_equal(async_cancel(task, NULL), 1);
	assert_int_equal(async_await(task), -ECANCELED);
	/* The value stays in the future. */
	assert_int_equal(dropped, 0);
	assert_int_equal(async_result(future), 12);
	async_release(future);
	assert_int_equal(dropped, 0);

	/* Nobody else has that future: its value is dropped. */
	future = async_future_new(NULL, drop);
	task = async_create_task(await_owned, async_ref(future));
	give_way(1);
	async_future_set_result(future, 13);
	async_release(future);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_int_equal(dropped, 1);
	return 0;
}

static void a_value_that_arrived_is_kept_or_dropped(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(arrives_together, NULL), 0);
}

static intptr_t shared_future(void *arg)
{
	async_future *future = async_future_new(NULL, NULL);
	async_task *a = async_create_task(await_owned, async_ref(future));
	async_task *b = async_create_task(await_owned, async_ref(future));

	(void)arg;
	give_way(1);
	/* As in asyncio, cancelling one waiter cancels the future, and with it the other's wait. */
	async_cancel(a, NULL);
	assert_true(async_cancelled(future));
	assert_int_equal(async_await(a), -ECANCELED);
	assert_int_equal(async_await(b), -ECANCELED);
	assert_int_equal(async_cancelling(self_task()), 0);
	async_release(future);
	return 0;
}

static void a_shared_future_is_cancelled_for_all(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(shared_future, NULL), 0);
}

/* Through what combines */

static intptr_t await_gather(void *arg)
{
	async_future **children = arg;
	intptr_t results[2] = {1, 1};
	intptr_t result = async_await(async_gather(children, 2, ASYNC_GATHER_COLLECT, results));

	note("gather:%ld", (long)result);
	assert_int_equal(async_cancelling(self_task()), 1);
	return result;
}

static intptr_t through_gather(void *arg)
{
	async_future *children[] = {async_create_task(sleep_long, (void *)(uintptr_t)"a"),
				    async_create_task(sleep_long, (void *)(uintptr_t)"b")};
	async_task *task = async_create_task(await_gather, children);

	(void)arg;
	async_ref(children[0]);
	give_way(2);
	async_cancel(task, "why");
	assert_string_equal(async_cancel_reason(children[0]), "why");
	assert_int_equal(async_await(task), -ECANCELED);
	assert_true(async_cancelled(children[0]));
	async_release(children[0]);
	return 0;
}

static void goes_through_gather(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(through_gather, NULL), 0);
	assert_noted("a:-125 b:-125 gather:-125");
}

static intptr_t gather_tree(void *arg)
{
	size_t depth = (size_t)arg;
	async_future *children[2];

	for (int i = 0; i < 2; i++)
		children[i] = depth > 0 ? async_create_task(gather_tree, (void *)(depth - 1))
					: async_future_new(NULL, NULL);
	return async_await(async_gather(children, 2, ASYNC_GATHER_COLLECT, NULL));
}

static intptr_t through_tree(void *arg)
{
	async_task *task = async_create_task(gather_tree, (void *)6);

	(void)arg;
	give_way(20);
	assert_int_equal(async_all_tasks(NULL, NULL, 0), 1 + 127);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_int_equal(async_all_tasks(NULL, NULL, 0), 1);
	return 0;
}

static void goes_through_gathers_of_gathers(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(through_tree, NULL), 0);
	for_each_seed(through_tree, 20);
}

static intptr_t wait_borrowed(void *arg)
{
	async_future *future = arg;

	return async_wait(&future, 1, ASYNC_WAIT_ALL_COMPLETED, ASYNC_FOREVER);
}

static intptr_t not_through_wait(void *arg)
{
	async_future *future = async_future_new(NULL, NULL);
	async_task *task = async_create_task(wait_borrowed, future);

	(void)arg;
	give_way(1);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_false(async_done(future));
	async_release(future);
	return 0;
}

static void does_not_go_through_wait(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(not_through_wait, NULL), 0);
}

static intptr_t wait_for_owned(void *arg)
{
	intptr_t result = async_wait_for(arg, 100 * ASYNC_S);

	assert_int_equal(async_loop_time(NULL), 0);
	return result;
}

static intptr_t through_wait_for(void *arg)
{
	async_task *inner = async_create_task(sleep_long, NULL);
	async_task *task = async_create_task(wait_for_owned, async_ref(inner));

	(void)arg;
	give_way(2);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_true(async_cancelled(inner));
	async_release(inner);
	return 0;
}

static void goes_through_wait_for(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(through_wait_for, NULL), 0);
	assert_noted("sleeper:-125");
}

/* Circles */

static intptr_t await_slot(void *arg)
{
	async_task **slot = arg;

	return async_await(async_ref(*slot));
}

static intptr_t circle(void *arg)
{
	async_task *tasks[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		tasks[i] = async_create_task(await_slot, &tasks[(i + 1) % 3]);
	give_way(5);
	/* The one that closed it was refused, and the others came to know. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(async_await(tasks[i]), -EDEADLK);
	return 0;
}

static void a_circle_is_refused(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(circle, NULL), 0);
	for_each_seed(circle, 50);
}

static intptr_t await_made(void *arg)
{
	async_future *(*make)(async_future *) = *(async_future *(**)(async_future *))arg;

	assert_int_equal(async_await(make(async_ref(self_task()))), -EDEADLK);
	return 0;
}

static async_future *shielded(async_future *future)
{
	return async_shield(async_shield(future));
}

static async_future *gathered(async_future *future)
{
	async_future *others[] = {async_create_task(sleep_one, NULL), future, async_create_task(sleep_one, NULL)};
	async_future *all[] = {async_gather(others, 3, 0, NULL), async_create_task(sleep_one, NULL)};

	return async_gather(all, 2, ASYNC_GATHER_COLLECT, NULL);
}

static async_future *awaited(async_future *future)
{
	return async_create_task(await_owned, future);
}

static async_future *awaited_and_gathered(async_future *future)
{
	return awaited(gathered(shielded(future)));
}

static intptr_t await_for_a_while(void *arg)
{
	return async_wait_for(async_ref(arg), 10);
}

static intptr_t wait_for_group(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	assert_int_equal(async_group_begin(&group), 0);
	async_group_create_task(&group, sleep_one, NULL);
	async_group_create_task(&group, await_for_a_while, self_task());
	assert_int_equal(async_group_end(&group, 0), -EDEADLK);
	return (intptr_t)arg;
}

static intptr_t through_others(void *arg)
{
	async_future *(*const makes[])(async_future *) = {shielded, gathered, awaited, awaited_and_gathered};

	for (size_t i = 0; i < countof(makes); i++) {
		async_task *task = async_create_task(await_made, (void *)(uintptr_t)&makes[i]);

		assert_int_equal(async_await(task), 0);
	}
	assert_int_equal(async_await(async_create_task(wait_for_group, NULL)), 0);
	assert_int_equal(async_sleep(2 * ASYNC_S), 0);
	return (intptr_t)arg;
}

static void a_circle_through_others_is_refused(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(through_others, NULL), 0);
	for_each_seed(through_others, 50);
}

/* Each awaits the next, which has not begun; the last awaits the first. */
static intptr_t long_circle(void *arg)
{
	size_t length = (size_t)arg;
	async_task **tasks = calloc(length, sizeof(*tasks));

	for (size_t i = 0; i < length; i++)
		tasks[i] = async_create_task(await_slot, &tasks[(i + 1) % length]);
	assert_int_equal(async_await(async_ref(tasks[0])), -EDEADLK);
	for (size_t i = 0; i < length; i++)
		async_release(tasks[i]);
	free(tasks);
	return 0;
}

static void a_long_circle_is_refused(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.stack_size = ASYNC_STACK_SIZE_MIN;
	assert_int_equal(run_with(long_circle, (void *)test_many(20000), &options), 0);
	assert_int_equal(reports.count, 0);
}

/* Many that await one another one after the other, all of them awaited by a gathering: no circle, and no time. */
static intptr_t ladder(void *arg)
{
	size_t length = (size_t)arg;
	async_future **tasks = calloc(length, sizeof(*tasks)), *gate = async_future_new(NULL, NULL), *last = async_ref(gate);

	for (size_t i = 0; i < length; i++) {
		tasks[i] = async_create_task(await_owned, last);
		last = async_ref(tasks[i]);
	}
	async_release(last);
	async_future *all = async_gather(tasks, length, 0, NULL);
	give_way(2);
	async_future_set_result(gate, 1);
	async_release(gate);
	assert_int_equal(async_await(all), length);
	free(tasks);
	return 0;
}

static void no_circle_is_seen_where_none_is(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.stack_size = ASYNC_STACK_SIZE_MIN;
	assert_int_equal(run_with(ladder, (void *)test_many(20000), &options), 0);
	assert_int_equal(reports.count, 0);
}

/* One that divides so often that it is not looked for: a cancellation breaks it. */
static intptr_t gather_self(void *arg)
{
	async_future *plain = async_future_new(NULL, NULL), *future = async_ref(self_task());

	(void)arg;
	for (int i = 0; i < 20; i++) {
		async_future *both[] = {future, async_ref(plain)};

		future = async_gather(both, 2, 0, NULL);
	}
	async_release(plain);
	return async_await(future);
}

static intptr_t circle_through_gather(void *arg)
{
	async_task *task = async_create_task(gather_self, NULL);

	(void)arg;
	give_way(2);
	assert_false(async_done(task));
	async_cancel(task, NULL);
	return async_await(task);
}

static void breaks_a_circle_through_gather(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(circle_through_gather, NULL), -ECANCELED);
}

/* Whatever the order, a cancelled tree ends and nothing is left. */
static intptr_t cancel_storm(void *arg)
{
	async_future *gate = async_future_new(NULL, NULL);
	async_task *tasks[12];

	(void)arg;
	for (int i = 0; i < 12; i++)
		tasks[i] = i < 4   ? async_create_task(sleep_one, NULL)
			   : i < 8 ? async_create_task(await_owned, async_ref(tasks[i - 4]))
				   : async_create_task(wait_borrowed, gate);
	give_way(2);
	async_future_set_result(gate, 0);
	for (int i = 11; i >= 0; i -= 2)
		async_cancel(tasks[i], NULL);
	for (int i = 0; i < 12; i++) {
		intptr_t result = async_await(tasks[i]);

		/* The odd ones were cancelled, and through two of them what they wait for. */
		if (i % 2)
			assert_int_equal(result, -ECANCELED);
		else
			assert_int_equal(result, i < 8 ? 0 : 1);
	}
	async_release(gate);
	return 0;
}

static void holds_in_any_order(void **state)
{
	(void)state;
	for_each_seed(cancel_storm, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_reason_is_passed_on),
		TEST(is_forwarded_along_a_chain),
		TEST(what_is_swallowed_inside_is_gone),
		TEST(a_chain_can_be_long),
		TEST(a_value_that_arrived_is_kept_or_dropped),
		TEST(a_shared_future_is_cancelled_for_all),
		TEST(goes_through_gather),
		TEST(goes_through_gathers_of_gathers),
		TEST(does_not_go_through_wait),
		TEST(goes_through_wait_for),
		TEST(a_circle_is_refused),
		TEST(a_circle_through_others_is_refused),
		TEST(a_long_circle_is_refused),
		TEST(no_circle_is_seen_where_none_is),
		TEST(breaks_a_circle_through_gather),
		TEST(holds_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
