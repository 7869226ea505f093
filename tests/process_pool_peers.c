/* SPDX-License-Identifier: MIT */
#include "process_pool_peers.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared *shared;

async_executor *pool_with(size_t workers, size_t tasks)
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

void assert_no_child(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

int count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 900; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

void run_clean(async_fn *fn)
{
	int fds = count_fds();

	assert_int_equal(run_virtual(fn, NULL), 0);
	assert_no_child();
	assert_int_equal(count_fds(), fds);
}

intptr_t twice(void *arg)
{
	return 2 * (intptr_t)arg;
}

intptr_t own_pid(void *arg)
{
	(void)arg;
	return getpid();
}

intptr_t echo_bytes(const void *arg, size_t size, async_reply *reply)
{
	int error = async_reply_write(reply, arg, size / 2);

	if (error == 0)
		error = async_reply_write(reply, (const char *)arg + size / 2, size - size / 2);
	return error < 0 ? error : (intptr_t)size;
}

intptr_t wait_for_ever(void *arg)
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

intptr_t count_run(void *arg)
{
	atomic_fetch_add(&((struct shared *)arg)->runs, 1);
	return 1;
}

async_future *begin_waiting(async_executor *executor)
{
	async_future *running = async_run_in_executor(executor, wait_for_ever, shared);

	while (!atomic_load(&shared->begun))
		give_way(1);
	return running;
}

int map_shared(void **state)
{
	(void)state;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared == MAP_FAILED;
}

int unmap_shared(void **state)
{
	(void)state;
	return munmap(shared, sizeof(*shared));
}
