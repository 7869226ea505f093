/* SPDX-License-Identifier: MIT */
/* Pools of processes: bytes in and out, cancelling, the ways to end. */
#include "process_pool_peers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static intptr_t words(void *arg)
{
	async_executor *executor = pool_with(2, 0);

	(void)arg;
	assert_int_equal(async_executor_threads(executor), 0);
	assert_int_equal(async_await(async_run_in_executor(executor, twice, (void *)21)), 42);
	assert_int_equal(async_await(async_run_in_executor(executor, twice, (void *)-4)), -8);
	assert_true(async_await(async_run_in_executor(executor, own_pid, NULL)) != getpid());
	assert_int_equal(async_executor_threads(executor), 1);
	async_executor_free(executor);
	return 0;
}

static void test_words(void **state)
{
	(void)state;
	run_clean(words);
}

static void assert_echoed(async_executor *executor, const char *bytes, size_t size)
{
	intptr_t result = async_await(async_run_in_process(executor, echo_bytes, bytes, size));

	assert_true(result > 0);
	async_process_result *echoed = (async_process_result *)result;
	assert_int_equal(async_process_result_value(echoed), size);
	assert_int_equal(async_process_result_size(echoed), size);
	assert_int_equal((uintptr_t)async_process_result_data(echoed) % _Alignof(max_align_t), 0);
	assert_true(size == 0 || memcmp(async_process_result_data(echoed), bytes, size) == 0);
	async_process_result_free(echoed);
}

static intptr_t payloads(void *arg)
{
	const size_t most = (1 << 20) + test_many(50 << 20);
	const size_t sizes[] = {0, 1, 7, 4095, 65536, 212992, 1 << 20, most};
	async_executor *executor = pool_with(1, 0);
	char *bytes = malloc(most);

	(void)arg;
	for (size_t i = 0; i < most; i++)
		bytes[i] = (char)(i * 2654435761u >> 13);
	for (size_t i = 0; i < countof(sizes); i++)
		assert_echoed(executor, sizes[i] ? bytes : NULL, sizes[i]);
	free(bytes);
	async_process_result_free(NULL);
	assert_null(async_process_result_data(NULL));
	assert_int_equal(async_process_result_size(NULL), 0);
	assert_int_equal(async_process_result_value(NULL), -EINVAL);
	async_executor_free(executor);
	return 0;
}

static void test_payloads(void **state)
{
	(void)state;
	run_clean(payloads);
}

static intptr_t write_too_much(const void *arg, size_t size, async_reply *reply)
{
	(void)size;
	assert_int_equal(async_reply_write(reply, NULL, 1), -EINVAL);
	assert_int_equal(async_reply_write(NULL, arg, 1), -EINVAL);
	assert_int_equal(async_reply_write(reply, arg, 1), 0);
	return async_reply_write(reply, arg, ASYNC_PROCESS_BYTES_MAX);
}

static intptr_t refused_arguments(void *arg)
{
	async_executor *executor = pool_with(1, 0), *threads;

	(void)arg;
	assert_int_equal(async_await(async_run_in_process(executor, echo_bytes, "x", ASYNC_PROCESS_BYTES_MAX + 1)),
			 -EMSGSIZE);
	assert_int_equal(async_await(async_run_in_process(executor, write_too_much, "x", 1)), -EMSGSIZE);
	assert_int_equal(async_await(async_run_in_process(executor, NULL, "x", 1)), -EINVAL);
	assert_int_equal(async_await(async_run_in_process(executor, echo_bytes, NULL, 1)), -EINVAL);
	assert_int_equal(async_await(async_run_in_process(NULL, echo_bytes, "x", 1)), -EINVAL);
	assert_int_equal(async_thread_pool_new(NULL, &threads), 0);
	assert_int_equal(async_await(async_run_in_process(threads, echo_bytes, "x", 1)), -EINVAL);
	async_executor_free(threads);
	async_executor_free(executor);
	return 0;
}

static void test_refused_arguments(void **state)
{
	struct async_process_pool_options options = ASYNC_PROCESS_POOL_OPTIONS_INIT;
	async_executor *executor;

	(void)state;
	run_clean(refused_arguments);
	assert_int_equal(async_process_pool_new(&options, NULL), -EINVAL);
	options.max_workers = ASYNC_PROCESSES_MAX + 1;
	assert_int_equal(async_process_pool_new(&options, &executor), -EINVAL);
	options.max_workers = 1;
	options.size = 3;
	assert_int_equal(async_process_pool_new(&options, &executor), -EINVAL);
	executor = pool_with(1, 0);
	assert_int_equal(async_result(async_run_in_process(executor, echo_bytes, "x", 1)), -EPERM);
	async_executor_free(executor);
	assert_no_child();
}

static intptr_t map(void *arg)
{
	enum { COUNT = 100 };
	async_executor *executor = pool_with(3, 10);
	void *args[COUNT];
	intptr_t results[COUNT];

	(void)arg;
	for (intptr_t i = 0; i < COUNT; i++)
		args[i] = (void *)i;
	assert_int_equal(async_await(async_executor_map(executor, twice, args, COUNT, 0, results)), COUNT);
	for (intptr_t i = 0; i < COUNT; i++)
		assert_int_equal(results[i], 2 * i);
	assert_int_equal(async_await(async_executor_map(executor, twice, args, COUNT, 4, results)), COUNT);
	async_executor_free(executor);
	return 0;
}

static void test_map(void **state)
{
	(void)state;
	run_clean(map);
}

static intptr_t cancelling(void *arg)
{
	async_executor *executor = pool_with(1, 0);
	async_future *running = begin_waiting(executor);
	async_future *queued = async_run_in_executor(executor, count_run, shared);
	async_future *bytes = async_run_in_process(executor, echo_bytes, "unsent", 6);

	(void)arg;
	give_way(2);
	assert_int_equal(async_cancel(queued, NULL), 1);
	assert_int_equal(async_await(queued), -ECANCELED);
	assert_int_equal(async_cancel(bytes, NULL), 1);
	assert_int_equal(async_await(bytes), -ECANCELED);
	/* The future now; the job is told, and ends when it likes. */
	assert_int_equal(async_cancel(running, NULL), 1);
	assert_true(async_cancelled(running));
	async_release(running);
	assert_int_equal(async_await(async_run_in_executor(executor, twice, (void *)4)), 8);
	assert_int_equal(atomic_load(&shared->told), 1);
	assert_int_equal(atomic_load(&shared->runs), 0);
	/* The next one is not taken for cancelled. */
	atomic_store(&shared->begun, 0);
	atomic_store(&shared->told, 0);
	running = begin_waiting(executor);
	atomic_store(&shared->go_on, 1);
	assert_int_equal(async_await(running), 1);
	assert_int_equal(atomic_load(&shared->told), 0);
	async_executor_free(executor);
	return 0;
}

static void test_cancelling(void **state)
{
	(void)state;
	run_clean(cancelling);
}

/* The bytes that come for a future that was cancelled are freed. */
static intptr_t a_result_that_nobody_takes(void *arg)
{
	async_executor *executor = pool_with(1, 0);

	(void)arg;
	async_release(async_run_in_process(executor, echo_bytes, "forgotten", 9));
	async_future *cancelled = async_run_in_process(executor, echo_bytes, "cancelled", 9);
	give_way(1);
	async_cancel(cancelled, NULL);
	async_release(cancelled);
	assert_echoed(executor, "taken", 5);
	async_executor_free(executor);
	return 0;
}

static void test_a_result_that_nobody_takes(void **state)
{
	(void)state;
	run_clean(a_result_that_nobody_takes);
}

static intptr_t shutting_down(void *arg)
{
	async_executor *executor = pool_with(1, 0);
	async_future *running = begin_waiting(executor);
	async_future *queued = async_run_in_executor(executor, count_run, shared);

	(void)arg;
	assert_int_equal(async_executor_shutdown(executor, false, false), 0);
	assert_int_equal(async_await(async_run_in_executor(executor, twice, NULL)), -ESHUTDOWN);
	atomic_store(&shared->go_on, 1);
	assert_int_equal(async_executor_close(executor, false), 0);
	assert_int_equal(async_await(running), 1);
	assert_int_equal(async_await(queued), 1);
	assert_no_child();
	async_executor_free(executor);
	return 0;
}

static intptr_t shutting_down_at_once(void *arg)
{
	async_executor *executor = pool_with(1, 0);
	async_future *running = begin_waiting(executor);
	async_future *queued = async_run_in_executor(executor, count_run, shared);

	(void)arg;
	assert_int_equal(async_executor_shutdown(executor, false, true), 0);
	assert_int_equal(async_await(queued), -ECANCELED);
	assert_false(async_done(running));
	atomic_store(&shared->go_on, 1);
	assert_int_equal(async_await(running), 1);
	assert_int_equal(async_executor_shutdown(executor, true, true), 0);
	assert_int_equal(atomic_load(&shared->runs), 0);
	async_executor_free(executor);
	/* One that never had a job. */
	executor = pool_with(1, 0);
	assert_int_equal(async_executor_shutdown(executor, false, false), 0);
	assert_int_equal(async_executor_shutdown(executor, true, false), 0);
	async_executor_free(executor);
	return 0;
}

static void test_shutting_down(void **state)
{
	(void)state;
	run_clean(shutting_down);
	run_clean(shutting_down_at_once);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_words),
		TEST(test_payloads),
		TEST(test_refused_arguments),
		TEST(test_map),
		TEST(test_cancelling),
		TEST(test_a_result_that_nobody_takes),
		TEST(test_shutting_down),
	};

	return cmocka_run_group_tests(tests, map_shared, unmap_shared);
}
