/* SPDX-License-Identifier: MIT */
/* The trace: what is told of tasks, loops and workers, out of rings that are written while they are read. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/trace.h"
#include "trace_peers.h"

static struct track *track_named(const char *name)
{
	for (uint32_t i = 1; i <= seen.count; i++)
		if (strcmp(seen.tracks[i].name, name) == 0)
			return &seen.tracks[i];
	fail_msg("no track is named %s", name);
	return NULL;
}

static intptr_t wait_for_event(void *event)
{
	return async_event_wait(event);
}

static intptr_t set_event(void *event)
{
	async_event_set(event);
	return 0;
}

static intptr_t one_wakes_the_other(void *arg)
{
	struct async_event event = ASYNC_EVENT_INIT;
	async_task *waits = named("waits", wait_for_event, &event), *wakes = named("wakes", set_event, &event);

	(void)arg;
	/* Both, whatever becomes of the first: they use this stack. */
	intptr_t result = async_await(wakes);
	if (result < 0)
		async_cancel(waits, NULL);
	intptr_t waited = async_await(waits);
	return result < 0 ? result : waited;
}

static void test_running_ready_and_parked(void **state)
{
	(void)state;
	trace(one_wakes_the_other);
	assert_string_equal(track_named("waits")->spans, "ready, running, waits for an event, ready, running");
	assert_string_equal(track_named("wakes")->spans, "ready, running");
	/* Awaiting a task is told with its name. */
	assert_non_null(strstr(track_named("Task-1")->spans, "running, waits for wakes, "));
	assert_int_equal(track_named("Task-1")->kind, ASYNC_TRACE_TASK);
	assert_int_equal(seen.lost, 0);
}

static void test_who_wakes_whom(void **state)
{
	(void)state;
	trace(one_wakes_the_other);
	assert_non_null(strstr(seen.flows, "Task-1 creates waits; Task-1 creates wakes; "));
	assert_non_null(strstr(seen.flows, "wakes wakes waits; "));
	assert_non_null(strstr(seen.flows, "wakes wakes Task-1; "));
}

static void count_call(void *arg)
{
	++*(int *)arg;
}

static intptr_t call_and_sleep(void *arg)
{
	static int calls;

	(void)arg;
	async_loop_call_soon(NULL, count_call, &calls, NULL);
	return async_sleep(ASYNC_S);
}

static void test_the_loop_itself(void **state)
{
	(void)state;
	trace(call_and_sleep);
	struct track *loop = NULL;
	for (uint32_t i = 1; i <= seen.count; i++)
		if (seen.tracks[i].kind == ASYNC_TRACE_LOOP)
			loop = &seen.tracks[i];
	assert_non_null(loop);
	assert_non_null(strstr(loop->spans, "callback"));
	assert_non_null(strstr(track_named("Task-1")->spans, "waits for sleep, "));
	assert_non_null(strstr(seen.counters, "timers 1; "));
	assert_non_null(strstr(seen.counters, "tasks 1; "));
}

static intptr_t many_ready(void *arg)
{
	async_task *tasks[5];

	(void)arg;
	for (int i = 0; i < 5; i++)
		tasks[i] = async_create_task(nothing, NULL);
	/* Two looks at what is ready, with five in the queue and one that gives way. */
	async_loop_stop(async_get_running_loop());
	give_way(1);
	return async_await(async_gather(tasks, 5, 0, NULL)) < 0 ? -1 : 0;
}

static void test_ready_tasks_are_counted(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	start();
	async_task *task = async_loop_create_task(loop, many_ready, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_int_equal(async_loop_run_until_complete(loop, task), 0);
	async_trace_stop();
	read_all();
	assert_non_null(strstr(seen.counters, "ready tasks 1; "));
	assert_non_null(strstr(seen.counters, "ready tasks 6; "));
	loop_end(loop);
}

static intptr_t start_eagerly(void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	(void)arg;
	options.eager = true;
	options.name = "eager";
	async_task *task = async_create_task_with(call_and_sleep, NULL, &options);
	return async_await(task);
}

static void test_eager(void **state)
{
	(void)state;
	trace(start_eagerly);
	assert_non_null(strstr(track_named("eager")->spans, "running, waits for sleep, "));
	/* Its creator goes on as soon as it is left. */
	assert_non_null(strstr(track_named("Task-1")->spans, "running, ready, running, waits for eager, "));
	assert_null(strstr(seen.counters, "ready tasks 4294967"));
	assert_null(strstr(seen.counters, "ready tasks 1099511"));
}

static intptr_t cancel_before_it_runs(void *arg)
{
	async_task *task = named("never", nothing, NULL);

	(void)arg;
	async_cancel(task, NULL);
	return async_await(task) == -ECANCELED ? 0 : -1;
}

static void test_a_task_that_never_runs(void **state)
{
	(void)state;
	trace(cancel_before_it_runs);
	assert_string_equal(track_named("never")->spans, "ready");
}

static void test_names_outlive_their_tasks(void **state)
{
	(void)state;
	trace(rename_and_end);
	assert_string_equal(track_named("\"after\"\n\xff")->spans,
			    "ready, running, waits for sleep, ready, running");
}

static intptr_t job(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t do_a_job(void *arg)
{
	(void)arg;
	return async_to_thread(job, NULL);
}

static void test_jobs(void **state)
{
	(void)state;
	trace(do_a_job);
	struct track *worker = NULL;
	for (uint32_t i = 1; i <= seen.count; i++)
		if (seen.tracks[i].kind == ASYNC_TRACE_WORKER)
			worker = &seen.tracks[i];
	assert_non_null(worker);
	assert_string_equal(worker->spans, "running");
	char flow[200];
	snprintf(flow, sizeof(flow), "Task-1 submits %s; ", worker->name);
	assert_non_null(strstr(seen.flows, flow));
	snprintf(flow, sizeof(flow), "%s ends loop ", worker->name);
	assert_non_null(strstr(seen.flows, flow));
	assert_non_null(strstr(seen.counters, "jobs that wait for a worker 1; "));
}

static intptr_t yield_1000(void *arg)
{
	(void)arg;
	give_way(1000);
	return 0;
}

static intptr_t two_yield(void *arg)
{
	async_task *tasks[] = {async_create_task(yield_1000, arg), async_create_task(yield_1000, arg)};

	return async_await(async_gather(tasks, 2, 0, NULL)) < 0 ? -1 : 0;
}

static void test_a_ring_keeps_the_last(void **state)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;

	(void)state;
	options.events = 50; /* rounded up */
	assert_int_equal(async_trace_start(&options), 0);
	assert_int_equal(run_virtual(two_yield, NULL), 0);
	async_trace_stop();
	read_all();
	assert_true(seen.lost > 1900);
	/* The end of the last task is among what is left, and so is some of the turns that they took. */
	assert_non_null(strstr(track_named("Task-2")->spans, "ready, running, ready"));
	assert_true(seen.records < 64 * 4);
}

static void test_a_new_recording_forgets_the_old(void **state)
{
	(void)state;
	trace(two_yield);
	trace(do_a_job);
	assert_int_equal(seen.lost, 0);
	for (uint32_t i = 1; i <= seen.count; i++)
		assert_string_not_equal(seen.tracks[i].name, "Task-2");
}

static intptr_t start_and_wait(void *arg)
{
	(void)arg;
	start();
	intptr_t result = async_sleep(ASYNC_S);
	async_trace_stop();
	return result;
}

static void test_starting_amid_a_run(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(start_and_wait, NULL), 0);
	read_all();
	assert_string_equal(track_named("Task-1")->spans, "running, waits for sleep, ready, running");
}

static int stop_at_once(const struct async_trace_record *record, void *arg)
{
	(void)record;
	++*(int *)arg;
	return 7;
}

static int read_again(const struct async_trace_record *record, void *arg)
{
	(void)record, (void)arg;
	assert_int_equal(async_trace_start(NULL), -EBUSY);
	return async_trace_read(stop_at_once, arg);
}

static void test_limits(void **state)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;
	int calls = 0;

	(void)state;
	options.events = ASYNC_TRACE_EVENTS_MAX + 1;
	assert_int_equal(async_trace_start(&options), -EINVAL);
	options.events = 0;
	options.on_exit = true;
	assert_int_equal(async_trace_start(&options), -EINVAL);
	assert_int_equal(async_trace_read(NULL, NULL), -EINVAL);
	start();
	assert_int_equal(async_trace_start(NULL), -EBUSY);
	assert_int_equal(async_trace_read(look, NULL), -ENODATA);
	assert_int_equal(run_virtual(nothing, NULL), 0);
	async_trace_stop();
	assert_int_equal(async_trace_read(stop_at_once, &calls), 7);
	assert_int_equal(calls, 1);
	assert_int_equal(async_trace_read(read_again, &calls), -EBUSY);
	assert_int_equal(async_trace_write(-1), -EBADF);
	read_all();
}

static atomic_bool reading_ends;

static void *record_until_told(void *arg)
{
	while (!atomic_load(&reading_ends))
		assert_int_equal(run_with(two_yield, arg, NULL), 0);
	return NULL;
}

/* Rings so small that they are overwritten all the time. */
static void test_reading_what_is_written(void **state)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;
	pthread_t thread;

	(void)state;
	options.events = 256;
	atomic_store(&reading_ends, false);
	assert_int_equal(async_trace_start(&options), 0);
	assert_int_equal(run_virtual(nothing, NULL), 0);
	pthread_create(&thread, NULL, record_until_told, NULL);
	for (int i = 0; i < 200; i++)
		read_all();
	atomic_store(&reading_ends, true);
	pthread_join(thread, NULL);
	async_trace_stop();
	read_all();
	assert_true(seen.lost > 0);
}

static void count_in_child(const char *path)
{
	(void)path;
	if (trace_on())
		_exit(1);
	/* It may have a trace of its own. */
	if (async_trace_start(NULL) < 0 || async_run(nothing, NULL) < 0)
		_exit(2);
	async_trace_stop();
	forget_seen();
	_exit(async_trace_read(look, NULL) == 0 && seen.count == 2 ? 0 : 3);
}

static void test_a_forked_child_does_not_record(void **state)
{
	char said[8192];
	int status;

	(void)state;
	start();
	assert_int_equal(run_virtual(nothing, NULL), 0);
	in_child(count_in_child, NULL, said, sizeof(said), &status);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	async_trace_stop();
	read_all();
	assert_int_equal(seen.lost, 0);
}

static intptr_t trace_once(void)
{
	intptr_t result = async_trace_start(NULL);

	if (result < 0)
		return result;
	result = async_run(one_wakes_the_other, NULL);
	async_trace_stop();
	int fd = open("/dev/null", O_WRONLY);
	int error = async_trace_write(fd);
	close(fd);
	/* Without memory for a ring nothing was recorded, and the program went on. */
	return result < 0 ? result : error == -ENODATA ? 0 : error;
}

static void test_want_of_everything(void **state)
{
	static const int errors[] = {-ENOMEM, -EINTR, -EIO};

	(void)state;
	fail_every_call(trace_once, errors, countof(errors));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_limits),
		TEST(test_running_ready_and_parked),
		TEST(test_who_wakes_whom),
		TEST(test_the_loop_itself),
		TEST(test_ready_tasks_are_counted),
		TEST(test_eager),
		TEST(test_a_task_that_never_runs),
		TEST(test_names_outlive_their_tasks),
		TEST(test_jobs),
		TEST(test_a_ring_keeps_the_last),
		TEST(test_a_new_recording_forgets_the_old),
		TEST(test_starting_amid_a_run),
		TEST(test_reading_what_is_written),
		TEST(test_a_forked_child_does_not_record),
		TEST(test_want_of_everything),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
