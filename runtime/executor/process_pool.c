/* SPDX-License-Identifier: MIT */
/* The pool as its users see it. */
#include "executor/process_pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/own_fd.h"
#include "base/versioned.h"
#include "context/sanitizer.h"

/* ThreadSanitizer has one of its own, which it stops for a fork. */
#define THREADS_ALLOWED (instrument_tsan() ? 2 : 1)

/* The manager's. */
static void wake_up(struct process_pool *pool)
{
	const uint64_t one = 1;

	/* The counter cannot overflow, and full is as good. */
	if (write(pool->wake, &one, sizeof(one)) < 0)
		return;
}

/* Under the lock. Signals belong to the program's own threads. */
static int start_manager(struct process_pool *pool)
{
	sigset_t all, old;

	if (pool->managed)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = fault("pthread_create");
	if (!error)
		error = pthread_create(&pool->manager, NULL, process_manager_run, pool);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pool->managed = error == 0;
	return error ? -EAGAIN : 0;
}

static int submit(void *data, async_job *first, size_t count)
{
	struct process_pool *pool = data;
	struct list jobs;

	list_init(&jobs);
	for (async_job *job = first; count > 0; job = async_job_next(job), count--) {
		struct job *raw = &job_of(job)->base.job;

		atomic_store_explicit(&raw->state, JOB_QUEUED, memory_order_relaxed);
		list_append(&jobs, &raw->link);
	}
	futex_mutex_lock(&pool->lock);
	int error = pool->broken ? -EPIPE : pool->stopping ? -ESHUTDOWN : start_manager(pool);
	if (!error) {
		list_splice(&pool->queue, &jobs);
		pool->cannot_spawn = false;
	}
	futex_mutex_unlock(&pool->lock);
	if (!error)
		wake_up(pool);
	return error;
}

/* A job that runs is told, through memory that its process shares. */
static bool cancel(void *data, async_job *job)
{
	struct process_pool *pool = data;
	struct executor_job *mine = job_of(job);

	futex_mutex_lock(&pool->lock);
	bool queued = atomic_load_explicit(&mine->base.job.state, memory_order_relaxed) == JOB_QUEUED;
	if (queued) {
		list_remove(&mine->base.job.link);
		atomic_store_explicit(&mine->base.job.state, JOB_IDLE, memory_order_relaxed);
	}
	for (size_t i = 0; i < pool->max_workers; i++)
		if (pool->channels[i].job == mine)
			atomic_store(&pool->cancelled[i], true);
	futex_mutex_unlock(&pool->lock);
	return queued;
}

void process_pool_take_queue(struct process_pool *pool, struct list *queue)
{
	list_for_each(node, &pool->queue)
		atomic_store_explicit(&list_entry(node, struct job, link)->state, JOB_WITHDRAWN, memory_order_relaxed);
	list_splice(queue, &pool->queue);
}

void process_pool_skip(struct list *queue, int error)
{
	struct list *node;

	while ((node = list_pop(queue)))
		async_job_skip(job_public(list_entry(node, struct job, link)), error);
}

static void join_manager(struct process_pool *pool)
{
	futex_mutex_lock(&pool->join_lock);
	if (!pool->ended) {
		if (pool->managed)
			pthread_join(pool->manager, NULL);
		else
			process_pool_end(pool);
		pool->ended = true;
	}
	futex_mutex_unlock(&pool->join_lock);
}

static int shut_down(void *data, bool wait, bool cancel_futures)
{
	struct process_pool *pool = data;
	struct list cancelled;

	list_init(&cancelled);
	futex_mutex_lock(&pool->lock);
	pool->stopping = true;
	if (cancel_futures)
		process_pool_take_queue(pool, &cancelled);
	futex_mutex_unlock(&pool->lock);
	process_pool_skip(&cancelled, -ECANCELED);
	wake_up(pool);
	if (wait)
		join_manager(pool);
	return 0;
}

static size_t count_workers(void *data)
{
	struct process_pool *pool = data;

	return atomic_load(&pool->workers);
}

/* What holds no process: the rest of a pool, or its copy in a forked child. */
static void free_pool(void *data)
{
	struct process_pool *pool = data;

	if (pool->control >= 0)
		close(pool->control);
	if (pool->wake >= 0)
		close(pool->wake);
	if (pool->cancelled)
		munmap(pool->cancelled, pool->max_workers * sizeof(*pool->cancelled));
	mem_free(pool->polled);
	mem_free(pool);
}

static const struct async_executor_ops process_pool = {
	.submit = submit,
	.cancel = cancel,
	.shutdown = shut_down,
	.free = free_pool,
	.workers = count_workers,
};

bool executor_is_process_pool(const async_executor *executor)
{
	return executor->ops.submit == submit;
}

/* Threads that a fork cannot catch with a lock: those of io_uring's in the kernel, and the one that watches for slow
 * tasks. */
static bool is_harmless(const char *thread)
{
	char path[64], name[16] = "";

	snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", thread);
	int fd = own_open(path, O_RDONLY, 0);
	if (fd < 0)
		return false;
	ssize_t size = read(fd, name, sizeof(name) - 1);
	close(fd);
	return size > 0 && (strncmp(name, "iou-", 4) == 0 || strcmp(name, WATCHDOG_THREAD "\n") == 0);
}

/* 0 if no other thread of this process can be inside a lock. */
static int check_threads(void)
{
	int error;
	DIR *tasks = own_opendir("/proc/self/task", &error);
	struct dirent *entry;
	size_t threads = 0;

	/* Without /proc nobody knows. */
	if (!tasks)
		return error == -ENOENT ? -EBUSY : error;
	while ((entry = readdir(tasks)))
		threads += entry->d_name[0] != '.' && !is_harmless(entry->d_name);
	closedir(tasks);
	return threads > THREADS_ALLOWED ? -EBUSY : 0;
}

static int open_pool(struct process_pool *pool, int *ret_far_end)
{
	int fds[2];

	pool->polled = mem_array(2 + pool->max_workers, sizeof(pool->polled[0]));
	void *shared = fault("mmap") ? MAP_FAILED : mmap(NULL, pool->max_workers * sizeof(*pool->cancelled),
							 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pool->cancelled = shared == MAP_FAILED ? NULL : shared;
	if (!pool->polled || !pool->cancelled)
		return -ENOMEM;
	pool->wake = own_eventfd(0, EFD_NONBLOCK);
	if (pool->wake < 0)
		return pool->wake;
	int error = own_socketpair(SOCK_SEQPACKET, fds);
	if (error)
		return error;
	pool->control = fds[0];
	*ret_far_end = fds[1];
	return 0;
}

/* Waits for the fork server to be ready. */
static int greet(struct process_pool *pool)
{
	struct server_report report;
	long received;

	do
		received = SYS("recv", recv(pool->control, &report, sizeof(report), 0));
	while (received == -EINTR);
	if (received < 0)
		return (int)received;
	return received == sizeof(report) && report.event == SERVER_READY ? (int)report.value : -EPIPE;
}

static int start_server(struct process_pool *pool)
{
	sigset_t all, old;
	int far_end = -1;
	int error = open_pool(pool, &far_end);

	if (error)
		return error;
	/* Else both processes would write it. */
	fflush(stdout);
	/* A handler of this process must not run in the other one. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid_t pid = (pid_t)SYS("fork", fork());
	if (pid == 0)
		fork_server_run(pool, far_end);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	close(far_end);
	if (pid < 0)
		return pid;
	pool->server = pid;
	error = greet(pool);
	if (error)
		process_pool_end(pool);
	return error;
}

static struct process_pool *make_pool(const struct async_process_pool_options *options)
{
	size_t workers = options->max_workers ? options->max_workers : pool_processors();

	workers = workers < ASYNC_PROCESSES_MAX ? workers : ASYNC_PROCESSES_MAX;
	struct process_pool *pool = mem_zalloc(sizeof(*pool) + workers * sizeof(pool->channels[0]));
	if (!pool)
		return NULL;
	strncpy(pool->name, options->name ? options->name : "async", PROCESS_NAME_MAX);
	pool->max_workers = workers;
	pool->max_tasks = options->max_tasks_per_child;
	pool->initializer = options->initializer;
	pool->initializer_arg = options->initializer_arg;
	pool->owner = getpid();
	pool->control = pool->wake = -1;
	pool->spawning = -1;
	pool->requests = (uint64_t)clock_now() * 0x9e3779b97f4a7c15u;
	list_init(&pool->queue);
	for (size_t i = 0; i < workers; i++) {
		pool->channels[i].fd = -1;
		channel_reset(&pool->channels[i]);
	}
	return pool;
}

int async_process_pool_new(const struct async_process_pool_options *given, async_executor **ret_executor)
{
	struct async_process_pool_options options = ASYNC_PROCESS_POOL_OPTIONS_INIT;

	if (!ret_executor || (given && versioned_copy(&options, sizeof(options), given) < 0) ||
	    options.max_workers > ASYNC_PROCESSES_MAX)
		return -EINVAL;
	int error = options.allow_threads ? 0 : check_threads();
	if (error)
		return error;
	struct process_pool *pool = make_pool(&options);
	async_executor *executor = pool ? executor_make(&process_pool, pool) : NULL;
	error = executor ? start_server(pool) : -ENOMEM;
	if (error) {
		if (pool)
			free_pool(pool);
		mem_free(executor);
		return error;
	}
	*ret_executor = executor;
	return 0;
}
