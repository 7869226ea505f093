/* SPDX-License-Identifier: MIT */
/* Pools of processes whose workers die, are replaced, or cannot be made. */
#include "process_pool_peers.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"

static intptr_t die(void *how)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	switch ((intptr_t)how) {
	case 0:
		signal(SIGABRT, SIG_DFL);
		abort();
	case 1:
		_exit(0);
	default:
		kill(getpid(), SIGKILL);
	}
	return 0;
}

static intptr_t a_death_breaks_the_pool(void *how)
{
	async_executor *executor = pool_with(2, 0);
	async_future *dying, *others[20];

	dying = async_run_in_executor(executor, die, how);
	assert_int_equal(async_await(dying), -EPIPE);
	for (size_t i = 0; i < countof(others); i++)
		others[i] = i % 2 ? async_run_in_executor(executor, twice, NULL)
				  : async_run_in_process(executor, echo_bytes, "", 0);
	for (size_t i = 0; i < countof(others); i++)
		assert_int_equal(async_await(others[i]), -EPIPE);
	assert_int_equal(async_executor_shutdown(executor, true, false), 0);
	assert_int_equal(async_executor_threads(executor), 0);
	assert_int_equal(async_await(async_run_in_executor(executor, twice, NULL)), -EPIPE);
	async_executor_free(executor);
	return 0;
}

static intptr_t abort_breaks(void *arg)
{
	(void)arg;
	return a_death_breaks_the_pool((void *)0);
}

static intptr_t exit_breaks(void *arg)
{
	(void)arg;
	return a_death_breaks_the_pool((void *)1);
}

static intptr_t kill_breaks(void *arg)
{
	(void)arg;
	return a_death_breaks_the_pool((void *)2);
}

static void test_a_death_breaks_the_pool(void **state)
{
	(void)state;
	run_clean(abort_breaks);
	run_clean(exit_breaks);
	run_clean(kill_breaks);
}

/* What runs beside, what is queued: everything fails when one of them is killed. */
static intptr_t a_killed_worker_fails_all(void *arg)
{
	async_executor *executor = pool_with(2, 0);
	async_future *first = async_run_in_executor(executor, wait_for_ever, shared);
	async_future *second = async_run_in_executor(executor, wait_for_ever, shared);
	async_future *queued = async_run_in_executor(executor, count_run, shared);

	(void)arg;
	while (atomic_load(&shared->begun) < 2)
		give_way(1);
	kill(atomic_load(&shared->worker), SIGKILL);
	assert_int_equal(async_await(first), -EPIPE);
	assert_int_equal(async_await(second), -EPIPE);
	assert_int_equal(async_await(queued), -EPIPE);
	assert_int_equal(atomic_load(&shared->runs), 0);
	assert_int_equal(async_executor_close(executor, false), 0);
	async_executor_free(executor);
	return 0;
}

static void test_a_killed_worker_fails_all(void **state)
{
	(void)state;
	run_clean(a_killed_worker_fails_all);
}

static intptr_t an_idle_worker_that_dies(void *arg)
{
	async_executor *executor = pool_with(1, 0);
	pid_t worker = (pid_t)async_await(async_run_in_executor(executor, own_pid, NULL));

	(void)arg;
	assert_true(worker > 0);
	kill(worker, SIGKILL);
	assert_int_equal(async_await(async_run_in_executor(executor, twice, NULL)), -EPIPE);
	async_executor_free(executor);
	return 0;
}

static void test_an_idle_worker_that_dies(void **state)
{
	(void)state;
	run_clean(an_idle_worker_that_dies);
}

static intptr_t the_fork_server_dies(void *arg)
{
	async_executor *executor = pool_with(1, 0);
	async_future *running = begin_waiting(executor);
	async_future *queued = async_run_in_executor(executor, count_run, shared);

	(void)arg;
	kill(atomic_load(&shared->server), SIGKILL);
	assert_int_equal(async_await(running), -EPIPE);
	assert_int_equal(async_await(queued), -EPIPE);
	assert_int_equal(async_await(async_run_in_executor(executor, twice, NULL)), -EPIPE);
	async_executor_free(executor);
	return 0;
}

/* Its workers die with it; who adopts them here can wait for that. */
static void test_the_fork_server_dies(void **state)
{
	(void)state;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	assert_int_equal(run_virtual(the_fork_server_dies, NULL), 0);
	while (wait(NULL) > 0)
		;
	assert_int_equal(errno, ECHILD);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static intptr_t begin_and_stay(void *arg)
{
	return async_await(async_run_in_executor(arg, wait_for_ever, shared));
}

/* A process that is killed while its workers are busy. */
static void test_nothing_survives_the_parent(void **state)
{
	(void)state;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	memset(shared, 0, sizeof(*shared));
	pid_t parent = fork();
	if (parent == 0) {
		async_executor *executor = pool_with(2, 0);

		async_run(begin_and_stay, executor);
		_exit(1);
	}
	while (!atomic_load(&shared->begun))
		sched_yield();
	kill(parent, SIGKILL);
	/* The fork server is this process's child now, and reaps its workers itself. */
	int children = 0;
	while (wait(NULL) > 0)
		children++;
	assert_int_equal(errno, ECHILD);
	assert_int_equal(children, 2);
	assert_int_equal(kill(atomic_load(&shared->worker), 0), -1);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static intptr_t workers_are_replaced(void *arg)
{
	async_executor *executor = pool_with(1, 2);
	intptr_t pids[6];

	(void)arg;
	for (size_t i = 0; i < countof(pids); i++)
		pids[i] = async_await(async_run_in_executor(executor, own_pid, NULL));
	for (size_t i = 0; i < countof(pids); i += 2) {
		assert_true(pids[i] > 0);
		assert_int_equal(pids[i], pids[i + 1]);
		assert_true(i == 0 || pids[i] != pids[i - 1]);
	}
	async_executor_free(executor);
	return 0;
}

static void test_workers_are_replaced(void **state)
{
	(void)state;
	run_clean(workers_are_replaced);
}

/* The second fork is the fork server's first. */
static intptr_t a_worker_that_cannot_be_made(void *arg)
{
	(void)arg;
	fault_arm("fork", 2, -EAGAIN);
	async_executor *executor = pool_with(2, 0);
	fault_disarm();
	assert_int_equal(async_await(async_run_in_executor(executor, twice, (void *)1)), -EAGAIN);
	/* Not broken: the next attempt may succeed. */
	assert_int_equal(async_await(async_run_in_executor(executor, twice, (void *)1)), 2);
	fault_arm("socketpair", 1, -EMFILE);
	async_future *beside = begin_waiting(executor), *other = async_run_in_executor(executor, twice, (void *)5);
	give_way(1);
	/* There is one who can do it. */
	atomic_store(&shared->go_on, 1);
	assert_int_equal(async_await(beside), 1);
	assert_int_equal(async_await(other), 10);
	fault_disarm();
	async_executor_free(executor);
	return 0;
}

static void test_a_worker_that_cannot_be_made(void **state)
{
	(void)state;
	run_clean(a_worker_that_cannot_be_made);
}

static intptr_t one_of_each(void *executor)
{
	intptr_t word = async_await(async_run_in_executor(executor, twice, (void *)1));
	intptr_t bytes = async_await(async_run_in_process(executor, echo_bytes, "bytes", 5));

	assert_true(word == 2 || word < 0);
	assert_true(bytes > 0 || bytes < 0);
	if (bytes > 0)
		async_process_result_free((async_process_result *)bytes);
	return 0;
}

/* Whatever fails, in whichever process: an error in the end, nothing left over, and nobody waits for ever. */
static void test_every_failure(void **state)
{
	struct async_process_pool_options options = ASYNC_PROCESS_POOL_OPTIONS_INIT;
	struct async_options loop_options = test_options();
	const int errors[] = {-ENOMEM, -EMFILE};
	unsigned long calls = 1;

	(void)state;
	options.max_workers = 1;
	for (unsigned long nth = 1; nth <= calls; nth++) {
		int fds = count_fds();
		async_executor *executor = NULL;

		fault_arm(NULL, nth, errors[nth % 2]);
		int error = async_process_pool_new(&options, &executor);
		if (!error) {
			/* The loop's own failures are other tests'. */
			(void)!async_run_with(one_of_each, executor, &loop_options);
			async_executor_free(executor);
		}
		calls = fault_disarm();
		/* Those that are counted only in the other processes. */
		calls = calls < 20 ? 20 : calls;
		assert_true(error <= 0);
		assert_no_child();
		assert_int_equal(count_fds(), fds);
	}
}

/* What a job prints gets into the channel of its worker. Nothing of it is taken for a response. */
static intptr_t write_into_channel(void *kind)
{
	static const uint64_t zeros[4], ones[] = {1, 1, 1, 1};
	static const char text[] = "some text that is longer than what stands before the bytes of a result";
	struct stat status;

	for (int fd = 3; fd < 100; fd++) {
		if (fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode))
			continue;
		const void *bytes = kind == (void *)0 ? (const void *)zeros : kind == (void *)1 ? ones : (const void *)text;
		ssize_t written = write(fd, bytes, kind == (void *)2 ? sizeof(text) : sizeof(zeros));
		(void)written;
	}
	return 0;
}

static intptr_t nonsense_breaks(void *arg)
{
	(void)arg;
	for (uintptr_t kind = 0; kind < 3; kind++) {
		async_executor *executor = pool_with(1, 0);

		assert_int_equal(async_await(async_run_in_executor(executor, write_into_channel, (void *)kind)), -EPIPE);
		assert_int_equal(async_await(async_run_in_executor(executor, twice, NULL)), -EPIPE);
		assert_int_equal(async_executor_shutdown(executor, true, false), 0);
		async_executor_free(executor);
	}
	return 0;
}

static void test_nonsense_breaks_the_pool(void **state)
{
	(void)state;
	run_clean(nonsense_breaks);
}

/* Waiting that fails for good is the end of the pool, and nobody waits for a job of it. */
static intptr_t poll_fails(void *arg)
{
	async_executor *executor = pool_with(2, 0);
	async_future *first = begin_waiting(executor);

	(void)arg;
	fault_arm("poll", 1, -EINVAL);
	async_future *second = async_run_in_executor(executor, twice, NULL);
	assert_int_equal(async_await(first), -EPIPE);
	assert_int_equal(async_await(second), -EPIPE);
	assert_true(fault_disarm() > 0);
	assert_int_equal(async_executor_shutdown(executor, true, false), 0);
	async_executor_free(executor);
	/* In the fork server, which has its own count of calls. */
	fault_arm("poll", 1, -ENOMEM);
	executor = pool_with(1, 0);
	fault_disarm();
	assert_int_equal(async_await(async_run_in_executor(executor, twice, NULL)), -EPIPE);
	async_executor_free(executor);
	return 0;
}

static void test_poll_fails(void **state)
{
	(void)state;
	run_clean(poll_fails);
}

static intptr_t give_word(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t one_job_of_many_workers(void *arg)
{
	struct rlimit limit, few;

	(void)arg;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = (struct rlimit){64, limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	async_executor *executor = pool_with(200, 0);
	intptr_t result = async_await(async_run_in_executor(executor, give_word, (void *)7));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	async_executor_free(executor);
	return result;
}

/* More workers than the process may have descriptors: those that there are, are heard. */
static void test_more_workers_than_descriptors(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(one_job_of_many_workers, NULL), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_death_breaks_the_pool),
		TEST(test_a_killed_worker_fails_all),
		TEST(test_an_idle_worker_that_dies),
		TEST(test_the_fork_server_dies),
		TEST(test_nothing_survives_the_parent),
		TEST(test_workers_are_replaced),
		TEST(test_a_worker_that_cannot_be_made),
		TEST(test_nonsense_breaks_the_pool),
		TEST(test_poll_fails),
		TEST(test_more_workers_than_descriptors),
		TEST(test_every_failure),
	};

	return cmocka_run_group_tests(tests, map_shared, unmap_shared);
}
