/* SPDX-License-Identifier: MIT */
/* Names, file calls and the program's jobs have threads of their own: none is held up by the others. */
#include "harness.h"

#include <fcntl.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "worker_peers.h"

static atomic_int held, gate;

static intptr_t pass(void *arg)
{
	atomic_fetch_add(&held, 1);
	while (!atomic_load(&gate))
		futex_wait(&gate, 0);
	return (intptr_t)arg;
}

/* In place of the C library's: a name server that does not answer before the gate is open. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	(void)service, (void)list;
	if (hints && hints->ai_flags & AI_NUMERICHOST)
		return EAI_NONAME;
	if (strcmp(host, "held.invalid") == 0)
		pass(NULL);
	return EAI_AGAIN;
}

static void begin(void)
{
	atomic_store(&held, 0);
	atomic_store(&gate, 0);
}

static intptr_t resolve(void *name)
{
	struct addrinfo *list;

	return async_resolve(name, "80", NULL, &list);
}

static void names_go_on(void)
{
	assert_int_equal(async_await(async_create_task(resolve, (void *)(uintptr_t)"quick.invalid")), -EAGAIN);
}

static void files_go_on(void)
{
	char path[] = "/tmp/async-lanes-XXXXXX", other[sizeof(path) + 2];
	int fd = mkstemp(path);
	struct stat st;

	assert_true(fd >= 0);
	snprintf(other, sizeof(other), "%s.b", path);
	assert_int_equal(async_stat(path, &st), 0);
	assert_int_equal(async_fstat(fd, &st), 0);
	assert_int_equal(async_fsync(fd), 0);
	assert_int_equal(async_rename(path, other), 0);
	assert_int_equal(async_unlink(other), 0);
	assert_int_equal(async_mkdir(other, 0700), 0);
	assert_int_equal(async_rmdir(other), 0);
	assert_int_equal(async_close(fd), 0);
	fd = async_open("/", O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	assert_int_equal(async_close(fd), 0);
}

static intptr_t answer(void *arg)
{
	return (intptr_t)arg;
}

static void jobs_go_on(void)
{
	struct async_job_options slow = ASYNC_JOB_OPTIONS_INIT;

	slow.slow = true;
	assert_int_equal(async_to_thread(answer, (void *)3), 3);
	assert_int_equal(async_await(async_run_in_executor_with(NULL, answer, (void *)4, &slow)), 4);
}

/* More names than threads: those that cannot begin wait in order. */
static intptr_t hold_names(void *arg)
{
	enum { MANY = SHARED_NAMES + 3 };
	async_task *tasks[MANY];

	(void)arg;
	begin();
	for (int i = 0; i < MANY; i++)
		tasks[i] = async_create_task(resolve, (void *)(uintptr_t)"held.invalid");
	give_way(2);
	wait_until(atomic_load(&held) == SHARED_NAMES);
	jobs_go_on();
	files_go_on();
	assert_int_equal(atomic_load(&held), SHARED_NAMES);
	gate_open(&gate);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(async_await(tasks[i]), -EAGAIN);
	assert_int_equal(atomic_load(&held), MANY);
	return 0;
}

static void names_hold_up_names_alone(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(hold_names, NULL), 0);
}

static intptr_t hold_jobs(void *arg)
{
	size_t workers = arg ? (size_t)(uintptr_t)arg : pool_default_threads(), many = workers + 3;
	async_future **jobs = calloc(many, sizeof(async_future *));
	struct async_job_options slow = ASYNC_JOB_OPTIONS_INIT;

	begin();
	slow.slow = true;
	for (size_t i = 0; i < many; i++)
		jobs[i] = async_run_in_executor_with(NULL, pass, NULL, i % 2 ? &slow : NULL);
	give_way(1);
	wait_until(atomic_load(&held) == (int)workers);
	names_go_on();
	files_go_on();
	assert_int_equal(atomic_load(&held), workers);
	gate_open(&gate);
	for (size_t i = 0; i < many; i++)
		assert_int_equal(async_await(jobs[i]), 0);
	free(jobs);
	return 0;
}

static void jobs_hold_up_jobs_alone(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_int_equal(run_virtual(hold_jobs, NULL), 0);
	options.max_workers = 1;
	assert_int_equal(run_with(hold_jobs, (void *)1, &options), 0);
}

/* What io_uring can do needs no thread of ours. */
static intptr_t hold_files(void *arg)
{
	struct inbox inbox = {.sink.wake = ring};
	struct work works[SHARED_FILES];
	struct pool *pool;
	struct stat st;

	(void)arg;
	begin();
	assert_int_equal(pool_shared_acquire(&pool), 0);
	work_init(works, SHARED_FILES, &inbox);
	work_hold(works, SHARED_FILES, &held, &gate);
	for (size_t i = 0; i < SHARED_FILES; i++)
		works[i].job.lane = LANE_FILES;
	submit(pool, works, SHARED_FILES);
	wait_until(atomic_load(&held) == SHARED_FILES);
	jobs_go_on();
	names_go_on();
	const char *backend = getenv("ASYNC_TEST_BACKEND");
	if (backend && strcmp(backend, "io_uring") == 0)
		files_go_on();
	assert_int_equal(atomic_load(&held), SHARED_FILES);
	gate_open(&gate);
	inbox_collect(&inbox, SHARED_FILES);
	pool_shared_release(pool);
	assert_int_equal(async_stat("/", &st), 0);
	return 0;
}

static void files_hold_up_files_alone(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(hold_files, NULL), 0);
}

static void set_up(struct work *works, size_t count, struct inbox *inbox, enum pool_lane lane, atomic_int *count_of,
		   atomic_int *gate_of)
{
	work_init(works, count, inbox);
	work_hold(works, count, count_of, gate_of);
	for (size_t i = 0; i < count; i++)
		works[i].job.lane = lane;
}

/* Three threads and no fourth to be had: one is kept for each lane, whatever the others have queued. */
static void few_threads_are_shared_out(void **state)
{
	const struct pool_options options = {.max_threads = 4, .names = 4, .files = 4, .name = "test"};
	struct inbox inbox = {.sink.wake = ring};
	struct work names[2], files[1], jobs[8];
	atomic_int counts[3] = {0}, name_gate = 0, rest_gate = 0;
	struct pool *pool;

	(void)state;
	assert_int_equal(pool_new(&options, &pool), 0);
	set_up(names, 2, &inbox, LANE_NAMES, &counts[0], &name_gate);
	names[0].job.next = NULL;
	set_up(files, 1, &inbox, LANE_FILES, &counts[1], &rest_gate);
	set_up(jobs, 8, &inbox, LANE_JOBS, &counts[2], &rest_gate);
	fault_arm("pthread_create", 4, -EAGAIN);
	submit(pool, names, 1);
	submit(pool, files, 1);
	submit(pool, jobs, 8);
	wait_until(atomic_load(&counts[0]) == 1 && atomic_load(&counts[1]) == 1 && atomic_load(&counts[2]) == 1);
	assert_int_equal(fault_disarm(), 4);
	gate_open(&name_gate);
	inbox_collect(&inbox, 1);
	atomic_store(&name_gate, 0);
	/* The thread that is free is not for the seven jobs that wait. */
	submit(pool, &names[1], 1);
	wait_until(atomic_load(&counts[0]) == 2);
	assert_int_equal(atomic_load(&counts[2]), 1);
	assert_int_equal(pool_threads(pool), 3);
	gate_open(&name_gate);
	gate_open(&rest_gate);
	inbox_collect(&inbox, 10);
	pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_hold_up_names_alone),
		TEST(jobs_hold_up_jobs_alone),
		TEST(files_hold_up_files_alone),
		TEST(few_threads_are_shared_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
