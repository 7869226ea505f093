/* SPDX-License-Identifier: MIT */
/* The end of a run is bounded: what does not end by itself is named and left behind. */
#include "harness.h"

#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker_peers.h"

static atomic_int begun, ended, gate;

/* Goes on when the gate is opened, which is after the run has returned. */
static intptr_t hold(void *arg)
{
	atomic_fetch_add(&begun, 1);
	while (!atomic_load(&gate))
		futex_wait(&gate, 0);
	/* It may have been on a stack that was left behind. */
	if (arg)
		atomic_fetch_add((atomic_int *)arg, 1);
	atomic_fetch_add(&ended, 1);
	return 0;
}

/* In place of the C library's. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	(void)host, (void)service, (void)list;
	if (hints && hints->ai_flags & AI_NUMERICHOST)
		return EAI_NONAME;
	hold(NULL);
	return EAI_AGAIN;
}

/* A call that neither backend can do without a thread. */
int truncate(const char *path, off_t length)
{
	(void)path, (void)length;
	return (int)hold(NULL);
}

static void *end_at_once(void *arg)
{
	return arg;
}

/* ThreadSanitizer has a thread of its own from the first one on. */
static int begin_threads(void **state)
{
	pthread_t thread;

	(void)state;
	return pthread_create(&thread, NULL, end_at_once, NULL) || pthread_join(thread, NULL);
}

static size_t threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	size_t count = 0;

	assert_non_null(tasks);
	while (readdir(tasks))
		count++;
	closedir(tasks);
	return count;
}

static char said[4096];

static int collect(const struct async_error_context *context, void *arg)
{
	size_t length = strlen(said);

	snprintf(said + length, sizeof(said) - length, "%s|", context->message);
	return record_report(context, arg);
}

static void record(void)
{
	assert_int_equal(async_loop_set_error_handler(async_get_running_loop(), collect, NULL), 0);
}

static struct async_options impatient(enum async_clock clock)
{
	struct async_options options = test_options();

	options.clock = clock;
	options.shutdown_timeout = ASYNC_MS;
	/* The watchdog has a thread, and a loop that is left behind has leaks. */
	options.debug = false;
	return options;
}

/* Runs it on both clocks and with either kind of default executor; `held` of what it begins is still there
 * afterwards. */
static void run_and_leave(async_fn *fn, int held, const char *named)
{
	for (int i = 0; i < 4; i++) {
		struct async_options options = impatient(i % 2 ? ASYNC_CLOCK_VIRTUAL : ASYNC_CLOCK_REAL);
		size_t before = threads();

		options.max_workers = i / 2 ? 3 : 0;
		reports = (struct reports){0};
		said[0] = '\0';
		begun = ended = gate = 0;
		assert_int_equal(async_run_with(fn, NULL, &options), 7);
		assert_int_equal(ended, 0);
		assert_int_equal(begun, held);
		assert_non_null(strstr(said, named));
		assert_non_null(strstr(said, "left behind"));
		gate_open(&gate);
		wait_until(threads() == before);
		assert_int_equal(ended, held);
	}
}

static intptr_t leave_job(void *arg)
{
	(void)arg;
	record();
	async_release(async_run_in_executor(NULL, hold, NULL));
	give_way(1);
	wait_until(atomic_load(&begun) == 1);
	return 7;
}

static void a_job_is_left_behind(void **state)
{
	/* By what the library reads such things with, if the machine has that. */
	void *libdw = dlopen("libdw.so.1", RTLD_LAZY);

	(void)state;
	run_and_leave(leave_job, 1, libdw ? "the job hold (tests/test_run_end.c:" : "the job hold (");
	if (libdw)
		dlclose(libdw);
}

static intptr_t in_thread_of(void *arg)
{
	atomic_int on_my_stack = 0;
	intptr_t result = async_to_thread(hold, &on_my_stack);

	note("%ld", (long)result);
	return (intptr_t)arg + on_my_stack;
}

static intptr_t leave_thread(void *arg)
{
	(void)arg;
	record();
	async_release(async_create_task(in_thread_of, NULL));
	give_way(2);
	wait_until(atomic_load(&begun) == 1);
	return 7;
}

static void an_argument_on_a_stack_stays(void **state)
{
	(void)state;
	run_and_leave(leave_thread, 1, "ignores its cancellation");
	/* By the function that the program gave, too. */
	run_and_leave(leave_thread, 1, "the job hold (");
	assert_noted("");
}

static intptr_t resolve(void *arg)
{
	struct addrinfo *list;

	(void)arg;
	return async_resolve("held.invalid", "80", NULL, &list);
}

static intptr_t leave_name(void *arg)
{
	(void)arg;
	record();
	async_release(async_create_task(resolve, NULL));
	give_way(2);
	wait_until(atomic_load(&begun) == 1);
	return 7;
}

static void a_name_is_left_behind(void **state)
{
	(void)state;
	run_and_leave(leave_name, 1, "the look-up of \"held.invalid\"");
}

static intptr_t cut(void *arg)
{
	(void)arg;
	return async_truncate("/nowhere/held", 1);
}

static intptr_t leave_file(void *arg)
{
	(void)arg;
	record();
	async_release(async_create_task(cut, NULL));
	give_way(2);
	wait_until(atomic_load(&begun) == 1);
	return 7;
}

static void a_file_is_left_behind(void **state)
{
	(void)state;
	run_and_leave(leave_file, 1, "waits for truncate of \"/nowhere/held\"");
}

static int destroyed;

static void destroy(void *arg)
{
	(void)arg;
	destroyed++;
}

/* One thread: the other two never begin, and are given back. */
static intptr_t leave_queue(void *arg)
{
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;
	async_future **futures = arg;

	record();
	options.destroy = destroy;
	for (int i = 0; i < 3; i++)
		futures[i] = async_run_in_executor_with(NULL, hold, NULL, &options);
	give_way(1);
	wait_until(atomic_load(&begun) == 1);
	return 7;
}

static void what_is_queued_never_begins(void **state)
{
	struct async_options options = impatient(ASYNC_CLOCK_REAL);
	async_future *futures[3];
	size_t before = threads();

	(void)state;
	options.max_workers = 1;
	begun = ended = gate = destroyed = 0;
	reports = (struct reports){0};
	assert_int_equal(async_run_with(leave_queue, futures, &options), 7);
	assert_int_equal(destroyed, 2);
	assert_int_equal(reports.count, 1);
	assert_int_equal(async_result(futures[0]), -ESHUTDOWN);
	assert_int_equal(async_result(futures[1]), -ECANCELED);
	assert_int_equal(async_result(futures[2]), -ECANCELED);
	for (int i = 0; i < 3; i++)
		async_release(futures[i]);
	gate_open(&gate);
	wait_until(threads() == before);
	assert_int_equal(begun, 1);
}

static intptr_t until_told(void *arg)
{
	atomic_fetch_add(&begun, 1);
	while (!async_job_cancelled())
		sched_yield();
	return (intptr_t)arg;
}

static intptr_t leave_attentive(void *arg)
{
	(void)arg;
	record();
	async_release(async_run_in_executor(NULL, until_told, NULL));
	give_way(1);
	wait_until(atomic_load(&begun) == 1);
	return 7;
}

/* Whoever asks ends by itself when nobody waits any more. */
static void a_job_is_told_at_last(void **state)
{
	struct async_options options = impatient(ASYNC_CLOCK_REAL);
	size_t before = threads();

	(void)state;
	begun = 0;
	assert_int_equal(async_run_with(leave_attentive, NULL, &options), 7);
	wait_until(threads() == before);
}

/* Two loops share the pool: the end of the one does not wait for what the other has left. */
static intptr_t answer(void *arg)
{
	return (intptr_t)arg;
}

static void leave_job_in_thread(void *arg)
{
	struct async_options options = impatient(ASYNC_CLOCK_REAL);

	(void)arg;
	assert_int_equal(async_run_with(leave_job, NULL, &options), 7);
}

static intptr_t leave_and_go_on(void *arg)
{
	async_future *first = async_run_in_executor(NULL, answer, NULL);

	(void)arg;
	assert_int_equal(async_await(first), 0);
	in_thread(leave_job_in_thread, NULL);
	return async_to_thread(answer, (void *)5);
}

static void another_loop_goes_on(void **state)
{
	struct async_options options = impatient(ASYNC_CLOCK_REAL);
	size_t before = threads();

	(void)state;
	begun = ended = gate = 0;
	assert_int_equal(async_run_with(leave_and_go_on, NULL, &options), 5);
	/* The pool was left with the last loop. A new one begins anew. */
	assert_int_equal(ended, 0);
	gate_open(&gate);
	wait_until(threads() == before);
}

/* Tasks */

static int cancellations;

static intptr_t clean_child(void *arg)
{
	(void)arg;
	return async_sleep(2 * ASYNC_S);
}

static intptr_t clean_up(void *arg)
{
	(void)arg;
	int error = async_sleep(1000 * ASYNC_S);
	int rest = async_sleep(3 * ASYNC_S);
	intptr_t child = async_await(async_create_task(clean_child, NULL));

	note("%d:%d:%ld", error, rest, (long)child);
	return error;
}

static intptr_t leave_cleaner(void *arg)
{
	(void)arg;
	record();
	async_release(async_create_task(clean_up, NULL));
	give_way(1);
	return 7;
}

static void a_clean_up_is_not_disturbed(void **state)
{
	struct async_options options = test_options();

	(void)state;
	reports = (struct reports){0};
	assert_int_equal(async_run_with(leave_cleaner, NULL, &options), 7);
	assert_noted("-125:0:0");
	assert_int_equal(reports.count, 0);
}

static intptr_t count_cancellations(void *arg)
{
	(void)arg;
	while (cancellations < 3)
		cancellations += async_sleep(1000 * ASYNC_S) == -ECANCELED;
	note("at %d", (int)(async_loop_time(NULL) / ASYNC_S));
	return 0;
}

static intptr_t leave_stubborn(void *arg)
{
	(void)arg;
	record();
	async_release(async_create_task(count_cancellations, NULL));
	give_way(1);
	return 7;
}

static void a_grace_cancels_again(void **state)
{
	struct async_options options = test_options();

	(void)state;
	cancellations = 0;
	reports = (struct reports){0};
	options.shutdown_grace = 2 * ASYNC_S;
	assert_int_equal(async_run_with(leave_stubborn, NULL, &options), 7);
	assert_noted("at 4");
	assert_int_equal(reports.count, 0);
	/* By default there is none: it is named. */
	cancellations = 0;
	options.shutdown_grace = 0;
	assert_int_equal(async_run_with(leave_stubborn, NULL, &options), 7);
	assert_int_equal(cancellations, 1);
	assert_int_equal(reports.count, 1);
	options.shutdown_grace = -1;
	assert_int_equal(async_run_with(leave_stubborn, NULL, &options), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_job_is_left_behind),
		TEST(an_argument_on_a_stack_stays),
		TEST(a_name_is_left_behind),
		TEST(a_file_is_left_behind),
		TEST(what_is_queued_never_begins),
		TEST(a_job_is_told_at_last),
		TEST(another_loop_goes_on),
		TEST(a_clean_up_is_not_disturbed),
		TEST(a_grace_cancels_again),
	};

	return cmocka_run_group_tests(tests, begin_threads, NULL);
}
