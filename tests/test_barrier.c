/* SPDX-License-Identifier: MIT */
/* Barriers: cycles, indices, and what breaks one. */
#include "harness.h"

/* A task's argument may be written to; these are not. */
#define NAMED(text) ((void *)(uintptr_t)(text))

static struct async_barrier barrier;

static intptr_t enter(void *arg)
{
	intptr_t result = async_barrier_wait(&barrier);

	note("%s:%s%d", (char *)arg, result == -ECANCELED ? "C" : result == -EPIPE ? "B" : "",
	     result < 0 ? 0 : (int)result);
	return result;
}

static intptr_t two_cycles(void *arg)
{
	async_task *tasks[6];

	(void)arg;
	barrier = (struct async_barrier)ASYNC_BARRIER_INIT(3);
	assert_int_equal(async_barrier_parties(&barrier), 3);
	tasks[0] = async_create_task(enter, NAMED("a"));
	tasks[1] = async_create_task(enter, NAMED("b"));
	give_way(1);
	assert_int_equal(async_barrier_waiting(&barrier), 2);
	assert_noted("");
	/* The third lets them go; those who come meanwhile belong to the next cycle. */
	tasks[2] = async_create_task(enter, NAMED("c"));
	tasks[3] = async_create_task(enter, NAMED("d"));
	tasks[4] = async_create_task(enter, NAMED("e"));
	give_way(1);
	assert_noted("c:2");
	assert_int_equal(async_barrier_waiting(&barrier), 0);
	give_way(1);
	assert_noted("a:0 b:1");
	give_way(3);
	assert_int_equal(async_barrier_waiting(&barrier), 2);
	tasks[5] = async_create_task(enter, NAMED("f"));
	give_way(2);
	assert_noted("f:2 d:0 e:1");
	return async_await(async_gather(tasks, 6, 0, NULL));
}

static void test_cycles_and_indices(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(two_cycles, NULL), 6);
}

static intptr_t cancelled_waiter(void *arg)
{
	async_task *tasks[4];

	(void)arg;
	barrier = (struct async_barrier)ASYNC_BARRIER_INIT(3);
	tasks[0] = async_create_task(enter, NAMED("a"));
	tasks[1] = async_create_task(enter, NAMED("b"));
	give_way(1);
	assert_int_equal(async_cancel(tasks[0], NULL), 1);
	give_way(1);
	assert_noted("a:C0");
	assert_false(async_barrier_broken(&barrier));
	assert_int_equal(async_barrier_waiting(&barrier), 1);
	tasks[2] = async_create_task(enter, NAMED("c"));
	give_way(2);
	assert_noted("");
	tasks[3] = async_create_task(enter, NAMED("d"));
	give_way(3);
	/* asyncio would give two of them the same index. */
	assert_noted("d:2 b:0 c:1");
	for (size_t i = 0; i < 4; i++)
		async_release(tasks[i]);
	return 0;
}

static void test_cancelled_waiter_leaves_without_breaking_it(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancelled_waiter, NULL), 0);
}

static void await_all(async_task **tasks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)!async_await(tasks[i]);
}

static intptr_t aborted(void *arg)
{
	async_task *tasks[3];

	(void)arg;
	barrier = (struct async_barrier)ASYNC_BARRIER_INIT(3);
	tasks[0] = async_create_task(enter, NAMED("a"));
	tasks[1] = async_create_task(enter, NAMED("b"));
	give_way(1);
	assert_int_equal(async_barrier_abort(&barrier), 0);
	assert_true(async_barrier_broken(&barrier));
	await_all(tasks, 2);
	assert_noted("a:B0 b:B0");
	/* Until it is reset. */
	assert_int_equal(async_barrier_wait(&barrier), -EPIPE);
	assert_int_equal(async_barrier_reset(&barrier), 0);
	assert_false(async_barrier_broken(&barrier));
	for (size_t i = 0; i < 3; i++)
		tasks[i] = async_create_task(enter, NAMED("again"));
	await_all(tasks, 3);
	assert_noted("again:2 again:0 again:1");
	return 0;
}

static void test_abort_breaks_it_until_reset(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(aborted, NULL), 0);
}

static intptr_t reset_while_waiting(void *arg)
{
	async_task *tasks[3];

	(void)arg;
	barrier = (struct async_barrier)ASYNC_BARRIER_INIT(3);
	tasks[0] = async_create_task(enter, NAMED("a"));
	tasks[1] = async_create_task(enter, NAMED("b"));
	give_way(1);
	assert_int_equal(async_barrier_reset(&barrier), 0);
	assert_false(async_barrier_broken(&barrier));
	/* Comes while the others leave: belongs to the new cycle. */
	tasks[2] = async_create_task(enter, NAMED("c"));
	give_way(5);
	assert_noted("a:B0 b:B0");
	assert_int_equal(async_barrier_waiting(&barrier), 1);
	async_cancel(tasks[2], NULL);
	await_all(tasks, 3);
	assert_noted("c:C0");
	return 0;
}

static void test_reset_sends_those_inside_away(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(reset_while_waiting, NULL), 0);
}

static int cycle_of[64];
static unsigned seen[64];

static intptr_t go_round(void *arg)
{
	int *cycle = arg;

	for (*cycle = 0; *cycle < 4;) {
		intptr_t index = async_barrier_wait(&barrier);

		if (index < 0)
			return index;
		assert_true(index < 3);
		assert_false(seen[*cycle] & 1u << index);
		seen[*cycle] |= 1u << index;
		/* Nobody is more than one cycle away. */
		++*cycle;
		for (int i = 0; i < 3; i++)
			assert_in_range(cycle_of[i] - *cycle + 1, 0, 2);
	}
	return 0;
}

/* Who is cancelled while waiting must not cost others their index; intruders come and are cancelled. */
static intptr_t rounds(void *arg)
{
	async_task *tasks[3], *intruder;

	(void)arg;
	barrier = (struct async_barrier)ASYNC_BARRIER_INIT(3);
	for (size_t i = 0; i < 3; i++) {
		cycle_of[i] = 0;
		seen[i] = seen[i + 1] = 0;
		tasks[i] = async_create_task(go_round, &cycle_of[i]);
	}
	/* Cancelled before anybody can complete a cycle with it. */
	intruder = async_create_task(go_round, &cycle_of[10]);
	async_cancel(intruder, NULL);
	intptr_t count = async_await(async_gather(tasks, 3, 0, NULL));
	assert_int_equal(async_await(intruder), -ECANCELED);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(seen[i], 7);
	return count == 3 ? 0 : count;
}

static void test_indices_are_unique_in_any_order(void **state)
{
	(void)state;
	for_each_seed(rounds, 200);
}

static unsigned taken;
static int left;

static intptr_t enter_once(void *arg)
{
	intptr_t index = async_barrier_wait(&barrier);

	(void)arg;
	if (index < 0) {
		left++;
		return index;
	}
	assert_false(taken & 1u << index);
	taken |= 1u << index;
	return 0;
}

static intptr_t with_cancellations(void *arg)
{
	async_task *tasks[5];

	(void)arg;
	barrier = (struct async_barrier)ASYNC_BARRIER_INIT(4);
	taken = 0;
	left = 0;
	for (size_t i = 0; i < 3; i++)
		tasks[i] = async_create_task(enter_once, NULL);
	give_way(2);
	async_cancel(tasks[1], NULL);
	/* It counts until it has run. */
	give_way(3);
	assert_int_equal(left, 1);
	tasks[3] = async_create_task(enter_once, NULL);
	give_way(2);
	assert_int_equal(async_barrier_waiting(&barrier), 3);
	tasks[4] = async_create_task(enter_once, NULL);
	await_all(tasks, 5);
	assert_int_equal(taken, 15);
	return 0;
}

static void test_indices_are_unique_after_a_cancellation(void **state)
{
	(void)state;
	for_each_seed(with_cancellations, 200);
}

static void test_misuse(void **state)
{
	struct async_barrier none = ASYNC_BARRIER_INIT(0);

	(void)state;
	barrier = (struct async_barrier)ASYNC_BARRIER_INIT(1);
	assert_int_equal(async_barrier_wait(&none), -EINVAL);
	assert_int_equal(async_barrier_wait(NULL), -EINVAL);
	assert_int_equal(async_barrier_reset(NULL), -EINVAL);
	assert_int_equal(async_barrier_abort(NULL), -EINVAL);
	assert_int_equal(async_barrier_wait(&barrier), -EPERM);
	assert_int_equal(async_barrier_reset(&barrier), -EPERM);
	assert_int_equal(async_barrier_abort(&barrier), -EPERM);
	assert_int_equal(run_virtual(enter, NAMED("alone")), 0);
	assert_noted("alone:0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cycles_and_indices),
		TEST(test_cancelled_waiter_leaves_without_breaking_it),
		TEST(test_abort_breaks_it_until_reset),
		TEST(test_reset_sends_those_inside_away),
		TEST(test_indices_are_unique_in_any_order),
		TEST(test_indices_are_unique_after_a_cancellation),
		TEST(test_misuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
