/* SPDX-License-Identifier: MIT */
/* Task-local values: who sees what. */
#include "harness.h"

#include <pthread.h>

#include "base/fault.h"

static struct async_local colour = ASYNC_LOCAL_INIT(NULL);
static struct async_local size = ASYNC_LOCAL_INIT((void *)7);

static intptr_t get(const struct async_local *local)
{
	return (intptr_t)async_local_get(local);
}

static void set(const struct async_local *local, intptr_t value)
{
	assert_int_equal(async_local_set(local, (void *)value, NULL), 0);
}

static intptr_t see(void *arg)
{
	(void)arg;
	return get(&colour) * 100 + get(&size);
}

static intptr_t see_and_change(void *arg)
{
	intptr_t seen = see(NULL);

	set(&colour, (intptr_t)arg);
	set(&size, (intptr_t)arg);
	give_way(2);
	assert_int_equal(get(&colour), (intptr_t)arg);
	assert_int_equal(get(&size), (intptr_t)arg);
	return seen;
}

static intptr_t basics(void *arg)
{
	void *previous = &colour;

	(void)arg;
	assert_int_equal(get(&colour), 0);
	assert_int_equal(get(&size), 7);
	assert_int_equal(async_local_set(&size, (void *)8, &previous), 0);
	assert_int_equal((intptr_t)previous, 7);
	assert_int_equal(async_local_set(&size, (void *)9, &previous), 0);
	assert_int_equal((intptr_t)previous, 8);
	assert_int_equal(get(&size), 9);
	assert_int_equal(get(&colour), 0);
	assert_int_equal(async_local_set(NULL, NULL, NULL), -EINVAL);
	assert_null(async_local_get(NULL));
	return 0;
}

static void test_get_and_set(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(basics, NULL), 0);
}

/* A child sees what was set before it was created, and not what is set before it runs. */
static intptr_t inherits(void *arg)
{
	(void)arg;
	async_task *none = async_create_task(see_and_change, (void *)50);
	set(&colour, 1);
	async_task *one = async_create_task(see_and_change, (void *)51);
	set(&colour, 2);
	set(&size, 3);
	async_task *both = async_create_task(see_and_change, (void *)52);
	set(&size, 4);
	assert_int_equal(async_await(none), 7);
	assert_int_equal(async_await(one), 107);
	assert_int_equal(async_await(both), 203);
	/* What they set is theirs. */
	assert_int_equal(see(NULL), 204);
	return 0;
}

static void test_snapshot_at_creation(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(inherits, NULL), 0);
	for_each_seed(inherits, 200);
}

static intptr_t eager(void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	(void)arg;
	options.eager = true;
	set(&colour, 1);
	async_task *child = async_create_task_with(see_and_change, (void *)53, &options);
	assert_int_equal(see(NULL), 107);
	assert_int_equal(async_await(child), 107);
	assert_int_equal(see(NULL), 107);
	return 0;
}

static void test_eager_task(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(eager, NULL), 0);
}

static void note_values(void *arg)
{
	(void)arg;
	note("%ld", (long)see(NULL));
	set(&colour, get(&colour) + 1);
}

static void note_done(async_future *future, void *arg)
{
	(void)future;
	note_values(arg);
}

/* A callback has the values of who scheduled it, and keeps what it sets to itself. */
static intptr_t callbacks(void *arg)
{
	async_loop *loop = async_get_running_loop();
	async_future *future = async_future_new(NULL, NULL);
	async_handle *prepared;

	(void)arg;
	set(&colour, 1);
	async_loop_call_soon(loop, note_values, NULL, NULL);
	set(&colour, 2);
	async_loop_call_later(loop, 10, note_values, NULL, NULL);
	set(&colour, 3);
	async_loop_call_soon_threadsafe(loop, note_values, NULL);
	set(&colour, 4);
	async_add_done_callback(future, note_done, NULL);
	async_add_done_callback(future, note_done, future);
	async_remove_done_callback(future, note_done, future);
	set(&colour, 5);
	assert_int_equal(async_handle_new(loop, note_values, NULL, &prepared), 0);
	set(&colour, 6);
	give_way(2);
	assert_noted("107 307");
	async_future_set_result(future, 0);
	give_way(2);
	assert_noted("407");
	/* Its own values last from call to call. */
	async_handle_post(prepared);
	give_way(2);
	async_handle_post(prepared);
	give_way(2);
	assert_noted("507 607");
	int error = async_sleep(10);
	assert_noted("207");
	assert_int_equal(see(NULL), 607);
	async_handle_release(prepared);
	async_release(future);
	return error;
}

static void test_callbacks(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(callbacks, NULL), 0);
}

/* A task that a callback creates has the callback's values. */
static void create_from_callback(void *arg)
{
	async_release(async_create_task(see_and_change, arg));
	*(async_task **)arg = async_create_task(see, NULL);
}

static intptr_t from_callback(void *arg)
{
	async_task *child = NULL;

	(void)arg;
	set(&colour, 3);
	async_loop_call_soon(async_get_running_loop(), create_from_callback, &child, NULL);
	set(&colour, 4);
	give_way(4);
	assert_int_equal(async_await(child), 307);
	return 0;
}

static void test_task_of_a_callback(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(from_callback, NULL), 0);
	for_each_seed(from_callback, 200);
}

static intptr_t values_in_thread(void *arg)
{
	void *previous;

	assert_int_equal(async_local_set(&colour, (void *)9, &previous), 0);
	assert_int_equal((intptr_t)previous, 0);
	assert_int_equal(run_virtual(see, NULL), 907);
	assert_int_equal(run_virtual(see_and_change, (void *)54), 907);
	assert_int_equal(see(NULL), 907);
	return (intptr_t)arg;
}

static void *thread_main(void *arg)
{
	return (void *)values_in_thread(arg);
}

/* A thread has values of its own, which its tasks begin with. */
static void test_threads(void **state)
{
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, thread_main, (void *)1), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, (void *)1);
	assert_int_equal(see(NULL), 7);
}

static intptr_t many(void *arg)
{
	static struct async_local keys[ASYNC_LOCAL_MAX + 1];

	(void)arg;
	/* From both ends, so that the table grows at its beginning and in its middle. */
	for (size_t i = 0; i < ASYNC_LOCAL_MAX; i++) {
		size_t key = i % 2 ? i / 2 : ASYNC_LOCAL_MAX - 1 - i / 2;

		set(&keys[key], (intptr_t)key + 1);
	}
	for (size_t i = 0; i < ASYNC_LOCAL_MAX; i++)
		assert_int_equal(get(&keys[i]), i + 1);
	assert_int_equal(async_local_set(&keys[ASYNC_LOCAL_MAX], keys, NULL), -ENOSPC);
	assert_int_equal(get(&keys[ASYNC_LOCAL_MAX]), 0);
	set(&keys[5], 99);
	assert_int_equal(get(&keys[5]), 99);
	return 0;
}

static intptr_t look_and_set(void *arg)
{
	intptr_t seen = (intptr_t)async_local_get(&colour);

	(void)arg;
	return async_local_set(&colour, (void *)77, NULL) < 0 ? -1 : seen;
}

/* As asyncio's: to_thread copies the context, run_in_executor does not. */
static intptr_t use_workers(void *arg)
{
	(void)arg;
	set(&colour, 5);
	assert_int_equal(async_to_thread(look_and_set, NULL), 5);
	assert_int_equal((intptr_t)async_local_get(&colour), 5);
	assert_int_not_equal(async_await(async_run_in_executor(NULL, look_and_set, NULL)), 5);
	return 0;
}

static void test_workers(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(use_workers, NULL), 0);
}

static void test_many_keys(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(many, NULL), 0);
}

static intptr_t no_memory(void *arg)
{
	(void)arg;
	set(&colour, 1);
	async_task *child = async_create_task(see, NULL);
	/* The table is the child's, too: a change needs one more. */
	fault_arm("malloc", 1, -ENOMEM);
	assert_int_equal(async_local_set(&colour, (void *)2, NULL), -ENOMEM);
	fault_disarm();
	assert_int_equal(get(&colour), 1);
	assert_int_equal(async_await(child), 107);
	return 0;
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(no_memory, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_get_and_set),
		TEST(test_snapshot_at_creation),
		TEST(test_eager_task),
		TEST(test_callbacks),
		TEST(test_task_of_a_callback),
		TEST(test_threads),
		TEST(test_workers),
		TEST(test_many_keys),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
