/* SPDX-License-Identifier: MIT */
/* The trace: what is told of tasks, loops and workers, out of rings that are written while they are read. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/trace.h"
#include "harness.h"

#define TRACKS_MAX 70000u

/* What a reading gave, as text: the spans of each track in their order, and the flows. */
static struct {
	struct track {
		enum async_trace_track kind;
		char name[ASYNC_TASK_NAME_MAX];
		char spans[400];
		async_time end; /* of its last span */
		async_time longest;
	} tracks[TRACKS_MAX];
	uint32_t count;
	char flows[4000];
	char counters[2000];
	uint64_t lost;
	size_t records, overlaps, backwards;
	bool ended;
} seen;

static struct track *track_named(const char *name)
{
	for (uint32_t i = 1; i <= seen.count; i++)
		if (strcmp(seen.tracks[i].name, name) == 0)
			return &seen.tracks[i];
	fail_msg("no track is named %s", name);
	return NULL;
}

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
}

static int look(const struct async_trace_record *record, void *arg)
{
	static const char *const states[] = {"running", "ready", "waits", "callback"};
	struct track *track = &seen.tracks[record->track];

	(void)arg;
	assert_true(record->track < TRACKS_MAX && record->other < TRACKS_MAX);
	assert_false(seen.ended);
	seen.records++;
	seen.backwards += record->end < record->begin;
	switch (record->type) {
	case ASYNC_TRACE_NEW:
		assert_true(record->track <= seen.count + 1);
		seen.count = record->track > seen.count ? record->track : seen.count;
		track->kind = record->kind;
		snprintf(track->name, sizeof(track->name), "%s", record->name);
		break;
	case ASYNC_TRACE_SPAN:
		assert_true(record->track > 0 && record->track <= seen.count);
		seen.overlaps += record->begin < track->end;
		track->end = record->end;
		track->longest = record->end - record->begin > track->longest ? record->end - record->begin
									       : track->longest;
		append(track->spans, sizeof(track->spans), "%s%s", *track->spans ? ", " : "", states[record->state]);
		if (record->name && record->state == ASYNC_TRACE_PARKED)
			append(track->spans, sizeof(track->spans), " for %s", record->name);
		break;
	case ASYNC_TRACE_FLOW:
		append(seen.flows, sizeof(seen.flows), "%s %s %s; ", seen.tracks[record->other].name, record->name,
		       track->name);
		break;
	case ASYNC_TRACE_COUNTER:
		append(seen.counters, sizeof(seen.counters), "%s %llu; ", record->name,
		       (unsigned long long)record->value);
		break;
	case ASYNC_TRACE_LOST:
		seen.lost = record->value;
		seen.ended = true;
	}
	return 0;
}

static void read_all(void)
{
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(async_trace_read(look, NULL), 0);
	assert_true(seen.ended);
	assert_int_equal(seen.overlaps, 0);
	assert_int_equal(seen.backwards, 0);
}

static void start(void)
{
	assert_int_equal(async_trace_start(NULL), 0);
}

/* Runs `fn` on a virtual clock with the trace on, and reads what was recorded. */
static void trace(async_fn *fn)
{
	start();
	assert_int_equal(run_virtual(fn, NULL), 0);
	async_trace_stop();
	read_all();
}

static async_task *named(const char *name, async_fn *fn, void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.name = name;
	return async_create_task_with(fn, arg, &options);
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

static intptr_t nothing(void *arg)
{
	(void)arg;
	return 0;
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

static intptr_t rename_task(void *arg)
{
	(void)arg;
	async_task_set_name(async_current_task(), "\"after\"\n\xff");
	return async_sleep(1);
}

static intptr_t rename_and_end(void *arg)
{
	(void)arg;
	return async_await(named("before", rename_task, NULL));
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

static char *contents(const char *path)
{
	static char text[1 << 20];
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	ssize_t size = read(fd, text, sizeof(text) - 1);
	assert_true(size >= 0);
	text[size] = '\0';
	close(fd);
	return text;
}

static size_t occurrences(const char *text, const char *word)
{
	size_t count = 0;

	for (const char *at = text; (at = strstr(at, word)); at++)
		count++;
	return count;
}

static const char *temporary(void)
{
	static char path[] = "/tmp/async-trace-XXXXXX";

	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	return path;
}

static void test_json(void **state)
{
	const char *path = temporary();
	int fd = open(path, O_WRONLY);

	(void)state;
	trace(rename_and_end);
	assert_int_equal(async_trace_write(fd), 0);
	close(fd);
	const char *text = contents(path);
	unlink(path);
	assert_non_null(strstr(text, "\"name\":\"\\\"after\\\"\\u000a\\ufffd\""));
	assert_non_null(strstr(text, "\"name\":\"waits for \\\"after\\\""));
	assert_true(occurrences(text, "\"ph\":\"s\"") > 0);
	assert_int_equal(occurrences(text, "\"ph\":\"s\""), occurrences(text, "\"ph\":\"f\""));
	assert_int_equal(occurrences(text, "{"), occurrences(text, "}"));
	assert_non_null(strstr(text, "\n],\"otherData\":{\"lost\":0}}\n"));
}

static intptr_t two_slices(void *arg)
{
	(void)arg;
	give_way(2);
	return 0;
}

static void test_written_on_a_slow_task(void **state)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;
	struct async_options loop = test_options();
	const char *path = temporary();

	(void)state;
	loop.slow_task = 1;
	options.path = path;
	options.on_slow_task = true;
	assert_int_equal(async_trace_start(&options), 0);
	loop_end(loop_with(&loop));
	assert_int_equal(run_with(two_slices, NULL, &loop), 0);
	async_trace_stop();
	assert_non_null(strstr(contents(path), "\"name\":\"Task-1\""));
	unlink(path);
}

static void in_child(void (*fn)(const char *path), const char *path, char *said, size_t size, int *status)
{
	stderr_capture();
	pid_t pid = fork();
	if (pid == 0) {
		fn(path);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, status, 0), pid);
	stderr_release(said, size);
}

static intptr_t abort_task(void *arg)
{
	(void)arg;
	abort();
}

static void crash(const char *path)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;

	signal(SIGABRT, SIG_DFL);
	options.path = path;
	options.on_crash = true;
	if (async_trace_start(&options) == 0)
		async_run(abort_task, NULL);
}

static void test_written_in_a_crash(void **state)
{
	const char *path = temporary();
	char said[8192];
	int status;

	(void)state;
	in_child(crash, path, said, sizeof(said), &status);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(said, "async: crashed; the trace is in /tmp/"));
	const char *text = contents(path);
	unlink(path);
	assert_non_null(strstr(text, "\"name\":\"Task-1\""));
	assert_non_null(strstr(text, "],\"otherData\":"));
}

static intptr_t overflow(void *arg)
{
	volatile char frame[4096];

	frame[0] = (char)(intptr_t)arg;
	return arg == &arg ? 0 : overflow((void *)&frame) + frame[0];
}

static void overflow_in_a_trace(const char *path)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;

	signal(SIGSEGV, SIG_DFL);
	options.path = path;
	options.on_crash = true;
	if (async_trace_start(&options) == 0)
		async_run(overflow, NULL);
}

static void test_an_overflow_is_still_named(void **state)
{
	const char *path;
	char said[8192];
	int status;

	(void)state;
	if (under_tool("asan") || under_tool("tsan") || under_tool("valgrind"))
		skip();
	path = temporary();
	in_child(overflow_in_a_trace, path, said, sizeof(said), &status);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	assert_non_null(strstr(said, "stack overflow in task Task-1"));
	assert_non_null(strstr(said, "async: crashed; the trace is in /tmp/"));
	assert_non_null(strstr(contents(path), "],\"otherData\":"));
	unlink(path);
}

static void exit_with_trace(const char *path)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;
	char with_number[100];

	snprintf(with_number, sizeof(with_number), "%s.%%p", path);
	options.path = with_number;
	options.on_exit = true;
	if (async_trace_start(&options) < 0 || async_run(nothing, NULL) < 0)
		_exit(1);
	/* Only the writer of this process's trace is to run, not what the parent registered. */
	snprintf(with_number, sizeof(with_number), "%s.%d", path, getpid());
	if (rename(with_number, path) == 0)
		_exit(2);
	exit(0);
}

static void test_written_at_exit(void **state)
{
	const char *path = temporary();
	char said[8192], name[100];
	int status;

	(void)state;
	stderr_capture();
	pid_t pid = fork();
	if (pid == 0)
		exit_with_trace(path);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	stderr_release(said, sizeof(said));
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	snprintf(name, sizeof(name), "%s.%d", path, (int)pid);
	assert_non_null(strstr(contents(name), "\"name\":\"Task-1\""));
	unlink(name);
	unlink(path);
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
	memset(&seen, 0, sizeof(seen));
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
		TEST(test_json),
		TEST(test_written_on_a_slow_task),
		TEST(test_written_in_a_crash),
		TEST(test_an_overflow_is_still_named),
		TEST(test_written_at_exit),
		TEST(test_a_forked_child_does_not_record),
		TEST(test_want_of_everything),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
