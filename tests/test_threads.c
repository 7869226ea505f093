/* SPDX-License-Identifier: MIT */
/* Several threads: async_run_coroutine_threadsafe, and futures in the wrong thread. */
#include "harness.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/fault.h"

/* A loop in a thread of its own, which runs until it is stopped, and then closes. */
struct host {
	async_loop *loop;
	pthread_t thread;
	sem_t stopped, may_close;
};

static void *run_host(void *arg)
{
	struct host *host = arg;
	int error = async_loop_run_forever(host->loop);

	sem_post(&host->stopped);
	sem_wait(&host->may_close);
	return (void *)(intptr_t)(error ? error : async_loop_close(host->loop));
}

static void host_run(struct host *host)
{
	sem_init(&host->stopped, 0, 0);
	sem_init(&host->may_close, 0, 0);
	assert_int_equal(pthread_create(&host->thread, NULL, run_host, host), 0);
}

static void host_start(struct host *host)
{
	host->loop = loop_real();
	host_run(host);
}

static void host_stop(struct host *host)
{
	async_loop_stop(host->loop);
	sem_wait(&host->stopped);
}

static void host_close(struct host *host)
{
	void *result;

	sem_post(&host->may_close);
	assert_int_equal(pthread_join(host->thread, &result), 0);
	assert_null(result);
}

static void host_end(struct host *host)
{
	host_stop(host);
	host_close(host);
	async_loop_free(host->loop);
}

static async_concurrent *call(struct host *host, async_fn *fn, void *arg)
{
	async_concurrent *concurrent = NULL;

	assert_int_equal(async_run_coroutine_threadsafe(host->loop, fn, arg, NULL, &concurrent), 0);
	return concurrent;
}

static intptr_t result_of(async_concurrent *concurrent)
{
	intptr_t result = async_concurrent_result(concurrent, ASYNC_FOREVER);

	assert_true(async_concurrent_done(concurrent));
	async_concurrent_release(concurrent);
	return result;
}

static intptr_t give(void *arg)
{
	int error = async_sleep(0);

	return error ? error : (intptr_t)arg;
}

static atomic_int wakes;

static intptr_t until_cancelled(void *begun)
{
	sem_post(begun);
	int error = async_sleep(ASYNC_FOREVER);
	wakes++;
	return error;
}

static void test_results(void **state)
{
	struct host host;

	(void)state;
	host_start(&host);
	assert_int_equal(result_of(call(&host, give, (void *)5)), 5);
	assert_int_equal(result_of(call(&host, give, (void *)-EIO)), -EIO);
	assert_int_equal(result_of(call(&host, give, (void *)-ECANCELED)), -ECANCELED);
	/* Whoever asks twice gets the same. */
	async_concurrent *concurrent = async_concurrent_ref(call(&host, give, (void *)6));
	assert_int_equal(result_of(concurrent), 6);
	assert_false(async_concurrent_cancelled(concurrent));
	assert_int_equal(result_of(concurrent), 6);
	host_end(&host);
	assert_int_equal(reports.count, 0);
}

/* The expiry of a wait cancels nothing. */
static void test_timeout(void **state)
{
	struct host host;
	sem_t begun;

	(void)state;
	sem_init(&begun, 0, 0);
	host_start(&host);
	async_concurrent *concurrent = call(&host, until_cancelled, &begun);
	sem_wait(&begun);
	wakes = 0;
	assert_int_equal(async_concurrent_result(concurrent, 0), -ETIMEDOUT);
	assert_int_equal(async_concurrent_result(concurrent, -1), -ETIMEDOUT);
	assert_int_equal(async_concurrent_result(concurrent, ASYNC_MS), -ETIMEDOUT);
	assert_false(async_concurrent_done(concurrent));
	assert_int_equal(wakes, 0);
	assert_int_equal(async_concurrent_cancel(concurrent, "too late"), 1);
	assert_int_equal(async_concurrent_cancel(concurrent, "too late"), 0);
	assert_true(async_concurrent_cancelled(concurrent));
	assert_int_equal(result_of(concurrent), -ECANCELED);
	/* The loop hears of it: what it is asked next comes after. */
	assert_int_equal(result_of(call(&host, give, (void *)1)), 1);
	assert_int_equal(wakes, 1);
	host_end(&host);
	assert_int_equal(reports.count, 0);
}

static atomic_int destroyed, dropped, ran;

static void count_destroy(void *arg)
{
	(void)arg;
	destroyed++;
}

static void count_drop(intptr_t result)
{
	(void)result;
	dropped++;
}

static intptr_t count_run(void *arg)
{
	ran++;
	return (intptr_t)arg;
}

static struct async_task_options counted(void)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.destroy = count_destroy;
	options.drop = count_drop;
	destroyed = dropped = ran = 0;
	return options;
}

/* Cancelled before the loop has heard of it: the body never runs. */
static void test_cancelled_before_it_begins(void **state)
{
	struct async_task_options options = counted();
	struct host host = {.loop = loop_real()};
	async_concurrent *concurrent;

	(void)state;
	assert_int_equal(async_run_coroutine_threadsafe(host.loop, count_run, NULL, &options, &concurrent), 0);
	assert_int_equal(async_concurrent_cancel(concurrent, NULL), 1);
	assert_int_equal(result_of(concurrent), -ECANCELED);
	assert_int_equal(destroyed, 0);
	assert_int_equal(async_loop_run_once(host.loop), 0);
	assert_int_equal(destroyed, 1);
	assert_int_equal(ran, 0);
	loop_end(host.loop);
}

static void test_who_gets_the_value(void **state)
{
	struct async_task_options options = counted();
	async_loop *loop = loop_real();
	async_concurrent *concurrent;

	(void)state;
	/* Taken. */
	assert_int_equal(async_run_coroutine_threadsafe(loop, count_run, (void *)1, &options, &concurrent), 0);
	while (!async_concurrent_done(concurrent))
		assert_true(async_loop_run_once(loop) >= 0);
	assert_int_equal(result_of(concurrent), 1);
	assert_int_equal(dropped, 0);
	/* Done, and nobody asked. */
	assert_int_equal(async_run_coroutine_threadsafe(loop, count_run, (void *)1, &options, &concurrent), 0);
	while (!async_concurrent_done(concurrent))
		assert_true(async_loop_run_once(loop) >= 0);
	assert_int_equal(dropped, 0);
	async_concurrent_release(concurrent);
	assert_int_equal(dropped, 1);
	/* Nobody can ask when it is done; nobody could at all. */
	assert_int_equal(async_run_coroutine_threadsafe(loop, count_run, (void *)1, &options, &concurrent), 0);
	async_concurrent_release(concurrent);
	assert_int_equal(async_run_coroutine_threadsafe(loop, count_run, (void *)1, &options, NULL), 0);
	for (int i = 0; i < 5; i++)
		assert_true(async_loop_run_once(loop) >= 0);
	assert_int_equal(dropped, 3);
	assert_int_equal(reports.count, 0);
	/* A failure of it goes to the error handler. */
	assert_int_equal(async_run_coroutine_threadsafe(loop, count_run, (void *)-EIO, &options, NULL), 0);
	for (int i = 0; i < 5; i++)
		assert_true(async_loop_run_once(loop) >= 0);
	assert_int_equal(reports.count, 1);
	assert_int_equal(reports.error, -EIO);
	/* Started eagerly, it is done within the call. */
	options.eager = true;
	assert_int_equal(async_run_coroutine_threadsafe(loop, count_run, (void *)8, &options, &concurrent), 0);
	assert_true(async_loop_run_once(loop) >= 0);
	assert_int_equal(result_of(concurrent), 8);
	loop_end(loop);
	assert_int_equal(destroyed, 0);
}

/* A loop that closes tells those who wait. */
static void test_close(void **state)
{
	struct async_task_options options = counted();
	struct host host;
	async_concurrent *begun, *not_begun, *late = NULL;
	sem_t has_begun;

	(void)state;
	sem_init(&has_begun, 0, 0);
	host_start(&host);
	begun = call(&host, until_cancelled, &has_begun);
	sem_wait(&has_begun);
	host_stop(&host);
	assert_int_equal(async_run_coroutine_threadsafe(host.loop, count_run, NULL, &options, &not_begun), 0);
	host_close(&host);
	assert_int_equal(result_of(begun), -ESHUTDOWN);
	assert_int_equal(result_of(not_begun), -ESHUTDOWN);
	assert_int_equal(destroyed, 1);
	assert_int_equal(async_run_coroutine_threadsafe(host.loop, count_run, NULL, &options, &late), -ESHUTDOWN);
	assert_null(late);
	assert_int_equal(destroyed, 2);
	assert_int_equal(ran, 0);
	async_loop_free(host.loop);
}

static intptr_t asks_its_own_loop(void *arg)
{
	async_concurrent *concurrent;

	(void)arg;
	async_loop *loop = async_get_running_loop();
	assert_int_equal(async_run_coroutine_threadsafe(loop, give, (void *)4, NULL, &concurrent), 0);
	assert_int_equal(async_concurrent_result(concurrent, 0), -ETIMEDOUT);
	assert_int_equal(async_concurrent_result(concurrent, ASYNC_S), -EDEADLK);
	give_way(6);
	return result_of(concurrent);
}

static void test_misuse(void **state)
{
	struct async_task_options options = counted(), wrong = {.size = 1};
	async_concurrent *concurrent;
	async_loop *loop = loop_real();

	(void)state;
	assert_int_equal(async_run_coroutine_threadsafe(NULL, give, NULL, &options, &concurrent), -EINVAL);
	assert_int_equal(async_run_coroutine_threadsafe(loop, NULL, NULL, &options, &concurrent), -EINVAL);
	assert_int_equal(destroyed, 2);
	assert_int_equal(async_run_coroutine_threadsafe(loop, give, NULL, &wrong, &concurrent), -EINVAL);
	assert_int_equal(async_concurrent_result(NULL, 0), -EINVAL);
	assert_int_equal(async_concurrent_cancel(NULL, NULL), -EINVAL);
	assert_false(async_concurrent_done(NULL));
	assert_false(async_concurrent_cancelled(NULL));
	async_concurrent_release(NULL);
	loop_end(loop);
	assert_int_equal(run_virtual(asks_its_own_loop, NULL), 4);
}

static void test_no_memory(void **state)
{
	struct async_task_options options = counted();
	async_loop *loop = loop_real();
	async_concurrent *concurrent = NULL;

	(void)state;
	options.name = "named";
	for (unsigned long nth = 1; nth <= 3; nth++) {
		fault_arm("malloc", nth, -ENOMEM);
		assert_int_equal(async_run_coroutine_threadsafe(loop, give, NULL, &options, &concurrent), -ENOMEM);
		fault_disarm();
		assert_int_equal(destroyed, nth);
	}
	assert_int_equal(async_run_coroutine_threadsafe(loop, give, (void *)3, &options, &concurrent), 0);
	fault_arm("malloc", 1, -ENOMEM);
	assert_int_equal(async_concurrent_cancel(concurrent, NULL), -ENOMEM);
	fault_disarm();
	while (!async_concurrent_done(concurrent))
		assert_true(async_loop_run_once(loop) >= 0);
	assert_int_equal(result_of(concurrent), 3);
	loop_end(loop);
}

/* Results, cancellations and releases of many threads meet. */
struct caller {
	struct host *host;
	pthread_t thread;
	unsigned number;
};

static void *call_often(void *arg)
{
	struct caller *caller = arg;
	size_t rounds = test_many(2000);
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.drop = count_drop;
	for (size_t i = 0; i < rounds; i++) {
		async_concurrent *concurrent;
		intptr_t expected = (intptr_t)(i * 8 + caller->number), result = expected;

		if (async_run_coroutine_threadsafe(caller->host->loop, give, (void *)expected, &options, &concurrent))
			return caller;
		switch (i % 4) {
		case 0:
			result = async_concurrent_result(concurrent, ASYNC_FOREVER);
			break;
		case 1:
			if (async_concurrent_cancel(concurrent, NULL) == 1)
				expected = -ECANCELED;
			result = async_concurrent_result(concurrent, ASYNC_FOREVER);
			break;
		case 2:
			result = async_concurrent_result(concurrent, ASYNC_US);
			if (result == -ETIMEDOUT)
				result = expected;
		}
		async_concurrent_release(concurrent);
		if (result != expected)
			return caller;
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	struct caller callers[4];
	struct host host;

	(void)state;
	host_start(&host);
	for (unsigned i = 0; i < countof(callers); i++) {
		callers[i] = (struct caller){.host = &host, .number = i};
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
	}
	for (unsigned i = 0; i < countof(callers); i++) {
		void *failed;

		assert_int_equal(pthread_join(callers[i].thread, &failed), 0);
		assert_null(failed);
	}
	host_end(&host);
	assert_int_equal(reports.count, 0);
}

/* Everything that a thread can try with the future of another one's loop. */
struct foreign {
	async_future *task;
	async_loop *loop;
	async_loop *own;
	sem_t ready, over;
};

static intptr_t hold(void *arg)
{
	struct foreign *foreign = arg;

	foreign->task = async_ref(async_current_task());
	foreign->loop = async_get_running_loop();
	sem_post(&foreign->ready);
	/* Keep changing what the other thread must not look at. */
	while (sem_trywait(&foreign->over) != 0) {
		async_task *child = async_create_task(give, NULL);

		async_cancel(async_current_task(), "own");
		assert_int_equal(async_await(child), -ECANCELED);
		async_uncancel(async_current_task());
	}
	return 3;
}

static void never_called(async_future *future, void *arg)
{
	(void)future;
	(void)arg;
	fail();
}

static intptr_t wait_for_it(void *arg)
{
	async_future *task = arg, *pair[] = {task, task};
	intptr_t results[2];

	assert_int_equal(async_wait(pair, 1, ASYNC_WAIT_ALL_COMPLETED, 0), -EPERM);
	/* Not even a reference of one's own. */
	async_future *none = async_ref(task);
	assert_ptr_not_equal(none, task);
	assert_int_equal(async_result(none), -EPERM);
	pair[0] = pair[1] = none;
	assert_int_equal(async_await(none), -EPERM);
	assert_int_equal(async_await(async_gather(pair, 2, 0, results)), -EPERM);
	return 0;
}

static void *try_everything(void *arg)
{
	struct foreign *foreign = arg;
	async_future *task = foreign->task;
	char name[8];

	assert_false(async_done(task));
	assert_false(async_cancelled(task));
	assert_int_equal(async_result(task), -EPERM);
	assert_int_equal(async_error(task), -EPERM);
	assert_int_equal(async_cancel(task, NULL), -EPERM);
	assert_null(async_cancel_reason(task));
	assert_int_equal(async_future_set_result(task, 1), -EPERM);
	assert_int_equal(async_add_done_callback(task, never_called, NULL), -EPERM);
	assert_int_equal(async_remove_done_callback(task, never_called, NULL), -EPERM);
	assert_int_equal(async_cancelling(task), -EPERM);
	assert_int_equal(async_uncancel(task), -EPERM);
	assert_int_equal(async_task_set_name(task, "x"), -EPERM);
	assert_string_equal(async_task_get_name(task, name, sizeof(name)), "");
	assert_int_equal(async_task_stack_used(task), -EPERM);
	assert_ptr_equal(async_future_loop(task), foreign->loop);
	assert_int_equal(async_result(async_loop_create_task(foreign->loop, give, NULL, NULL)), -EPERM);
	assert_int_equal(async_result(async_future_new(foreign->loop, NULL)), -EPERM);
	assert_int_equal(async_loop_call_soon(foreign->loop, note_callback, NULL, NULL), -EPERM);
	assert_int_equal(async_loop_close(foreign->loop), -EPERM);
	assert_int_equal(async_loop_run_forever(foreign->loop), -EPERM);
	async_loop *own = foreign->own;
	async_task *main_task = async_loop_create_task(own, wait_for_it, task, NULL);
	assert_int_equal(async_loop_run_until_complete(own, main_task), 0);
	/* The await family takes a reference even so: the only one. */
	assert_int_equal(async_await(task), -EPERM);
	return NULL;
}

static void test_future_of_another_thread(void **state)
{
	struct foreign foreign = {.own = loop_real()};
	struct host host;

	(void)state;
	sem_init(&foreign.ready, 0, 0);
	sem_init(&foreign.over, 0, 0);
	host_start(&host);
	async_concurrent *held = call(&host, hold, &foreign);
	sem_wait(&foreign.ready);
	try_everything(&foreign);
	sem_post(&foreign.over);
	assert_int_equal(result_of(held), 3);
	/* In debug mode a reference that was lost would be reported. */
	host_end(&host);
	loop_end(foreign.own);
	assert_int_equal(reports.count, 0);
}

static struct async_local who = ASYNC_LOCAL_INIT(NULL);

static intptr_t see_and_set(void *arg)
{
	intptr_t seen = (intptr_t)async_local_get(&who);

	assert_int_equal(async_local_set(&who, arg, NULL), 0);
	return seen;
}

/* The task has the values of the thread that asked for it. */
static void test_locals(void **state)
{
	struct host host;

	(void)state;
	host_start(&host);
	assert_int_equal(async_local_set(&who, (void *)41, NULL), 0);
	async_concurrent *first = call(&host, see_and_set, (void *)1);
	assert_int_equal(async_local_set(&who, (void *)42, NULL), 0);
	async_concurrent *second = call(&host, see_and_set, (void *)2);
	assert_int_equal(async_local_set(&who, NULL, NULL), 0);
	assert_int_equal(result_of(first), 41);
	assert_int_equal(result_of(second), 42);
	assert_null(async_local_get(&who));
	host_end(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_results),
		TEST(test_timeout),
		TEST(test_cancelled_before_it_begins),
		TEST(test_who_gets_the_value),
		TEST(test_close),
		TEST(test_misuse),
		TEST(test_no_memory),
		TEST(test_many_threads),
		TEST(test_future_of_another_thread),
		TEST(test_locals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
