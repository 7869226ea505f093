/* SPDX-License-Identifier: MIT */
/* What is around pools of processes: threads, loops, forks, and what a worker has of its parent. */
#include "process_pool_peers.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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
	assert_int_equal(atomic_load(&shared->told), -EPERM);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_refuses_beside_threads),
		TEST(test_outlives_its_maker),
		TEST(test_serves_several_loops),
		TEST(test_surroundings),
		TEST(test_jobs_have_a_program_of_their_own),
		TEST(test_initializers),
		TEST(test_after_fork),
	};

	return cmocka_run_group_tests(tests, map_shared, unmap_shared);
}
