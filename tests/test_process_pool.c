/* SPDX-License-Identifier: MIT */
/* Pools of processes: bytes in and out, workers that die, what a worker has of its parent, the ways to end. */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"

/* What test and workers share: mapped before any pool is made. */
struct shared {
	atomic_int begun, runs, told, go_on;
	_Atomic pid_t worker, server;
};
static struct shared *shared;

static async_executor *pool_with(size_t workers, size_t tasks)
{
	struct async_process_pool_options options = ASYNC_PROCESS_POOL_OPTIONS_INIT;
	async_executor *executor = NULL;

	memset(shared, 0, sizeof(*shared));
	options.max_workers = workers;
	options.max_tasks_per_child = tasks;
	options.name = "tested";
	assert_int_equal(async_process_pool_new(&options, &executor), 0);
	return executor;
}

/* After a test nothing may be left: no process, and the descriptors there were. */
static void assert_no_child(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static int count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 900; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Runs a test's task, and looks for what it left behind. */
static void run_clean(async_fn *fn)
{
	int fds = count_fds();

	assert_int_equal(run_virtual(fn, NULL), 0);
	assert_no_child();
	assert_int_equal(count_fds(), fds);
}

static intptr_t twice(void *arg)
{
	return 2 * (intptr_t)arg;
}

static intptr_t own_pid(void *arg)
{
	(void)arg;
	return getpid();
}

static intptr_t echo(const void *arg, size_t size, async_reply *reply)
{
	int error = async_reply_write(reply, arg, size / 2);

	if (error == 0)
		error = async_reply_write(reply, (const char *)arg + size / 2, size - size / 2);
	return error < 0 ? error : (intptr_t)size;
}

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
	intptr_t result = async_await(async_run_in_process(executor, echo, bytes, size));

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
	const size_t most = test_many(50 << 20);
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
	assert_int_equal(async_await(async_run_in_process(executor, echo, "x", ASYNC_PROCESS_BYTES_MAX + 1)),
			 -EMSGSIZE);
	assert_int_equal(async_await(async_run_in_process(executor, write_too_much, "x", 1)), -EMSGSIZE);
	assert_int_equal(async_await(async_run_in_process(executor, NULL, "x", 1)), -EINVAL);
	assert_int_equal(async_await(async_run_in_process(executor, echo, NULL, 1)), -EINVAL);
	assert_int_equal(async_await(async_run_in_process(NULL, echo, "x", 1)), -EINVAL);
	assert_int_equal(async_thread_pool_new(NULL, &threads), 0);
	assert_int_equal(async_await(async_run_in_process(threads, echo, "x", 1)), -EINVAL);
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
	assert_int_equal(async_result(async_run_in_process(executor, echo, "x", 1)), -EPERM);
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
				  : async_run_in_process(executor, echo, "", 0);
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

/* Begins and does not end of itself. */
static intptr_t wait_for_ever(void *arg)
{
	struct shared *common = arg;

	atomic_store(&common->worker, getpid());
	atomic_store(&common->server, getppid());
	atomic_fetch_add(&common->begun, 1);
	while (!atomic_load(&common->go_on)) {
		if (async_job_cancelled()) {
			atomic_store(&common->told, 1);
			break;
		}
		sched_yield();
	}
	return 1;
}

static intptr_t count_run(void *arg)
{
	atomic_fetch_add(&((struct shared *)arg)->runs, 1);
	return 1;
}

static async_future *begin(async_executor *executor)
{
	async_future *running = async_run_in_executor(executor, wait_for_ever, shared);

	while (!atomic_load(&shared->begun))
		give_way(1);
	return running;
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
	async_future *running = begin(executor);
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

static intptr_t cancelling(void *arg)
{
	async_executor *executor = pool_with(1, 0);
	async_future *running = begin(executor);
	async_future *queued = async_run_in_executor(executor, count_run, shared);
	async_future *bytes = async_run_in_process(executor, echo, "unsent", 6);

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
	running = begin(executor);
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
	async_release(async_run_in_process(executor, echo, "forgotten", 9));
	async_future *cancelled = async_run_in_process(executor, echo, "cancelled", 9);
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
	async_future *running = begin(executor);
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
	async_future *running = begin(executor);
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

static void *wait_for_semaphore(void *arg)
{
	while (sem_wait(arg) < 0)
		;
	return NULL;
}

static intptr_t run_twice(void *executor)
{
	return async_await(async_run_in_executor(executor, twice, (void *)4));
}

static void test_refuses_beside_threads(void **state)
{
	struct async_process_pool_options options = ASYNC_PROCESS_POOL_OPTIONS_INIT;
	async_executor *executor;
	pthread_t thread;
	sem_t over;

	(void)state;
	sem_init(&over, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_semaphore, &over), 0);
	assert_int_equal(async_process_pool_new(&options, &executor), -EBUSY);
	assert_no_child();
	options.allow_threads = true;
	assert_int_equal(async_process_pool_new(&options, &executor), 0);
	assert_int_equal(run_virtual(run_twice, executor), 8);
	async_executor_free(executor);
	sem_post(&over);
	pthread_join(thread, NULL);
	assert_no_child();
}

static void *make_pool(void *arg)
{
	struct async_process_pool_options options = ASYNC_PROCESS_POOL_OPTIONS_INIT;

	options.allow_threads = true;
	assert_int_equal(async_process_pool_new(&options, arg), 0);
	return NULL;
}

/* The thread that made the pool may end before it, and others may use it. */
static void test_outlives_its_maker(void **state)
{
	async_executor *executor;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, make_pool, &executor), 0);
	pthread_join(thread, NULL);
	assert_int_equal(run_virtual(run_twice, executor), 8);
	assert_int_equal(run_virtual(run_twice, executor), 8);
	async_executor_free(executor);
	assert_no_child();
}

static void *run_loop(void *executor)
{
	struct async_options options = test_options();

	for (int i = 0; i < 20; i++)
		assert_int_equal(async_run_with(run_twice, executor, &options), 8);
	return NULL;
}

static void test_serves_several_loops(void **state)
{
	async_executor *executor = pool_with(2, 5);
	pthread_t threads[3];

	(void)state;
	for (size_t i = 0; i < countof(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_loop, executor), 0);
	for (size_t i = 0; i < countof(threads); i++)
		pthread_join(threads[i], NULL);
	async_executor_free(executor);
	assert_no_child();
}

/* What is wrong with a worker's surroundings: a bit for each thing. */
static intptr_t look_around(void *arg)
{
	intptr_t wrong = 0;
	struct sigaction action;
	sigset_t mask;
	char line[512], name[16] = "";
	int sockets = 0;

	(void)arg;
	for (int fd = STDERR_FILENO + 1; fd < 900; fd++)
		sockets += fcntl(fd, F_GETFD) >= 0;
	wrong |= sockets != 1 ? 1 : 0;
	sigaction(SIGINT, NULL, &action);
	wrong |= action.sa_handler != SIG_IGN ? 2 : 0;
	sigaction(SIGUSR1, NULL, &action);
	wrong |= action.sa_handler != SIG_DFL ? 4 : 0;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int number = 1; number < 32; number++)
		wrong |= sigismember(&mask, number) ? 8 : 0;
	wrong |= read(STDIN_FILENO, line, 1) != 0 ? 16 : 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	while (maps && fgets(line, sizeof(line), maps))
		wrong |= strstr(line, "io_uring") ? 32 : 0;
	if (maps)
		fclose(maps);
	prctl(PR_GET_NAME, name);
	wrong |= strcmp(name, "tested-0") != 0 ? 64 : 0;
	wrong |= async_get_running_loop() ? 128 : 0;
	raise(SIGINT);
	return wrong;
}

static void ignore_it(int number)
{
	(void)number;
}

static intptr_t surroundings(void *arg)
{
	int pipes[2];

	(void)arg;
	assert_int_equal(pipe(pipes), 0);
	/* Something for the reactor, so that it is open. */
	assert_int_equal(async_write(pipes[1], "x", 1), 1);
	char byte;
	assert_int_equal(async_read(pipes[0], &byte, 1), 1);
	sighandler_t old = signal(SIGUSR1, ignore_it);
	async_executor *executor = pool_with(1, 0);
	assert_int_equal(async_await(async_run_in_executor(executor, look_around, NULL)), 0);
	signal(SIGUSR1, old);
	async_executor_free(executor);
	close(pipes[0]);
	close(pipes[1]);
	return 0;
}

static void test_surroundings(void **state)
{
	(void)state;
	run_clean(surroundings);
}

/* A job has the stack of a program, though the pool was made on that of a task; and can use the library itself. */
static intptr_t deep(void *arg)
{
	volatile char large[512 * 1024];

	for (size_t i = 0; i < sizeof(large); i += 4096)
		large[i] = (char)i;
	return large[4096] == 0 ? (intptr_t)arg : -EIO;
}

static intptr_t run_own_loop(void *arg)
{
	return async_run(run_twice, arg);
}

static intptr_t jobs_have_a_program_of_their_own(void *arg)
{
	async_executor *executor = pool_with(1, 0);

	(void)arg;
	assert_int_equal(async_await(async_run_in_executor(executor, deep, (void *)3)), 3);
	/* With the default executor, which starts threads. */
	assert_int_equal(async_await(async_run_in_executor(executor, run_own_loop, NULL)), 8);
	/* But not with the pool that it belongs to. */
	assert_int_equal(async_await(async_run_in_executor(executor, run_own_loop, executor)), -EPERM);
	async_executor_free(executor);
	return 0;
}

static void test_jobs_have_a_program_of_their_own(void **state)
{
	const char *tool = getenv("TEST_TOOL");

	(void)state;
	/* It takes a task's fibre for a thread, and after a fork beside threads it lets nobody start one. */
	if (tool && strcmp(tool, "tsan") == 0)
		skip();
	run_clean(jobs_have_a_program_of_their_own);
}

static intptr_t initialize(void *arg)
{
	atomic_fetch_add(&((struct shared *)arg)->begun, 1);
	return atomic_load(&((struct shared *)arg)->told) ? -EIO : 0;
}

static intptr_t initializers(void *arg)
{
	struct async_process_pool_options options = ASYNC_PROCESS_POOL_OPTIONS_INIT;
	async_executor *executor;

	(void)arg;
	memset(shared, 0, sizeof(*shared));
	options.max_workers = 1;
	options.max_tasks_per_child = 1;
	options.initializer = initialize;
	options.initializer_arg = shared;
	assert_int_equal(async_process_pool_new(&options, &executor), 0);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(async_await(async_run_in_executor(executor, twice, (void *)1)), 2);
		assert_int_equal(atomic_load(&shared->begun), i);
	}
	atomic_store(&shared->told, 1);
	assert_int_equal(async_await(async_run_in_executor(executor, twice, (void *)1)), -EPIPE);
	assert_int_equal(async_await(async_run_in_executor(executor, twice, (void *)1)), -EPIPE);
	async_executor_free(executor);
	return 0;
}

static void test_initializers(void **state)
{
	(void)state;
	run_clean(initializers);
}

static intptr_t after_fork(void *arg)
{
	async_executor *executor = pool_with(1, 0);

	(void)arg;
	assert_int_equal(async_await(async_run_in_executor(executor, twice, (void *)1)), 2);
	pid_t child = fork();
	if (child == 0) {
		int error = async_executor_shutdown(executor, true, true);

		async_executor_free(executor);
		atomic_store(&shared->told, error);
		_exit(0);
	}
	/* Its status is a tool's that finds leaks there, which is where everything of this process is left over. */
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(atomic_load(&shared->told), -EDEADLK);
	/* The copy's end was not the pool's. */
	assert_int_equal(async_await(async_run_in_executor(executor, twice, (void *)1)), 2);
	async_executor_free(executor);
	return 0;
}

static void test_after_fork(void **state)
{
	(void)state;
	run_clean(after_fork);
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
	async_future *beside = begin(executor), *other = async_run_in_executor(executor, twice, (void *)5);
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
	intptr_t bytes = async_await(async_run_in_process(executor, echo, "bytes", 5));

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

static int set_up(void **state)
{
	(void)state;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared == MAP_FAILED;
}

static int tear_down(void **state)
{
	(void)state;
	return munmap(shared, sizeof(*shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_words),
		TEST(test_payloads),
		TEST(test_refused_arguments),
		TEST(test_map),
		TEST(test_a_death_breaks_the_pool),
		TEST(test_a_killed_worker_fails_all),
		TEST(test_an_idle_worker_that_dies),
		TEST(test_the_fork_server_dies),
		TEST(test_nothing_survives_the_parent),
		TEST(test_workers_are_replaced),
		TEST(test_cancelling),
		TEST(test_a_result_that_nobody_takes),
		TEST(test_shutting_down),
		TEST(test_refuses_beside_threads),
		TEST(test_outlives_its_maker),
		TEST(test_serves_several_loops),
		TEST(test_surroundings),
		TEST(test_jobs_have_a_program_of_their_own),
		TEST(test_initializers),
		TEST(test_after_fork),
		TEST(test_a_worker_that_cannot_be_made),
		TEST(test_every_failure),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
