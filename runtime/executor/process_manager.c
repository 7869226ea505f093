/* SPDX-License-Identifier: MIT */
/* The thread that hands jobs to worker processes and their results back. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/own_fd.h"
#include "executor/process_pool.h"

enum {
	POLLED_CONTROL,
	POLLED_WAKE,
	POLLED_CHANNELS,
};

static struct executor_job *job_of_link(struct list *node)
{
	return container_of(list_entry(node, struct job, link), struct executor_job, base.job);
}

/* Takes the channel's job away, for the caller to give back. */
static async_job *channel_release(struct process_pool *pool, struct channel *channel)
{
	futex_mutex_lock(&pool->lock);
	async_job *job = channel->job ? job_public(&channel->job->base.job) : NULL;
	channel->job = NULL;
	futex_mutex_unlock(&pool->lock);
	return job;
}

static void channel_close(struct process_pool *pool, struct channel *channel, enum channel_state state)
{
	if (channel->fd >= 0)
		close(channel->fd);
	channel->fd = -1;
	channel->state = state;
	channel_reset(channel);
	if (state == CHANNEL_FREE)
		atomic_fetch_sub(&pool->workers, 1);
}

/* Every job fails, begun or not. The caller's thread ends the pool. */
static bool break_pool(struct process_pool *pool)
{
	struct list queue;

	list_init(&queue);
	futex_mutex_lock(&pool->lock);
	pool->broken = pool->stopping = true;
	process_pool_take_queue(pool, &queue);
	futex_mutex_unlock(&pool->lock);
	for (size_t i = 0; i < pool->max_workers; i++) {
		async_job *job = channel_release(pool, &pool->channels[i]);

		if (job)
			async_job_complete(job, -EPIPE);
	}
	process_pool_skip(&queue, -EPIPE);
	return false;
}

static int send_spawn(int control, size_t slot, int fd)
{
	_Alignas(struct cmsghdr) char ancillary[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {&slot, sizeof(slot)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = ancillary,
				 .msg_controllen = sizeof(ancillary)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	long sent = SYS("sendmsg", sendmsg(control, &message, MSG_NOSIGNAL));
	return sent < 0 ? (int)sent : 0;
}

/* Asks for a worker. Jobs may be sent to it at once. */
static int spawn(struct process_pool *pool, size_t slot)
{
	struct channel *channel = &pool->channels[slot];
	int fds[2];
	int error = own_socketpair(SOCK_STREAM, fds);

	if (error)
		return error;
	error = send_spawn(pool->control, slot, fds[1]);
	close(fds[1]);
	if (error) {
		close(fds[0]);
		return error;
	}
	channel->fd = fds[0];
	channel->state = CHANNEL_IDLE;
	channel->tasks = 0;
	channel_reset(channel);
	pool->spawning = (ssize_t)slot;
	atomic_fetch_add(&pool->workers, 1);
	return 0;
}

/* No worker could be made. The others go on; if there is none, the jobs fail. */
static void spawn_failed(struct process_pool *pool, int error)
{
	struct list failed;

	list_init(&failed);
	futex_mutex_lock(&pool->lock);
	pool->cannot_spawn = true;
	if (atomic_load(&pool->workers) == 0)
		process_pool_take_queue(pool, &failed);
	futex_mutex_unlock(&pool->lock);
	process_pool_skip(&failed, error);
}

/* A slot for a new worker, if one is wanted and may be made now; else -1. */
static ssize_t slot_to_spawn(struct process_pool *pool)
{
	futex_mutex_lock(&pool->lock);
	bool wanted = !list_empty(&pool->queue) && !pool->cannot_spawn;
	futex_mutex_unlock(&pool->lock);
	if (!wanted || pool->spawning >= 0)
		return -1;
	for (size_t i = 0; i < pool->max_workers; i++)
		if (pool->channels[i].state == CHANNEL_FREE)
			return (ssize_t)i;
	return -1;
}

/* Gives an idle worker the next job. False: there is none. */
static bool assign(struct process_pool *pool, size_t slot)
{
	struct channel *channel = &pool->channels[slot];

	futex_mutex_lock(&pool->lock);
	struct list *node = list_pop(&pool->queue);
	if (node) {
		channel->job = job_of_link(node);
		atomic_store_explicit(&channel->job->base.job.state, JOB_RUNNING, memory_order_relaxed);
		atomic_store(&pool->cancelled[slot], false);
	}
	futex_mutex_unlock(&pool->lock);
	if (!node)
		return false;
	channel->state = CHANNEL_BUSY;
	channel_begin(channel, ++pool->requests);
	/* That nobody is there any more, reading tells. */
	(void)channel_write(channel);
	return true;
}

static void dispatch(struct process_pool *pool)
{
	ssize_t slot;
	int error;

	for (size_t i = 0; i < pool->max_workers; i++)
		if (pool->channels[i].state == CHANNEL_IDLE && !assign(pool, i))
			return;
	slot = slot_to_spawn(pool);
	if (slot < 0)
		return;
	error = spawn(pool, (size_t)slot);
	if (error)
		spawn_failed(pool, error);
	else
		assign(pool, (size_t)slot);
}

/* Takes what a worker has to say. False: it is gone, or talks nonsense. */
static bool listen_to(struct process_pool *pool, struct channel *channel)
{
	int result = channel_read(channel);

	if (result <= 0)
		return result == 0;
	async_job *job = channel_release(pool, channel);
	intptr_t value = channel_result(channel);
	channel_reset(channel);
	channel->state = CHANNEL_IDLE;
	if (++channel->tasks == pool->max_tasks)
		channel_close(pool, channel, CHANNEL_RETIRING);
	async_job_complete(job, value);
	return true;
}

/* The fork server could not make the worker, so the job that was sent to it was not begun. */
static void not_spawned(struct process_pool *pool, struct channel *channel, int error)
{
	futex_mutex_lock(&pool->lock);
	if (channel->job) {
		list_prepend(&pool->queue, &channel->job->base.job.link);
		atomic_store_explicit(&channel->job->base.job.state, JOB_QUEUED, memory_order_relaxed);
		channel->job = NULL;
	}
	futex_mutex_unlock(&pool->lock);
	channel_close(pool, channel, CHANNEL_FREE);
	spawn_failed(pool, error);
}

/* A worker has ended. What it had sent before still counts. */
static bool worker_died(struct process_pool *pool, struct channel *channel)
{
	if (channel->state == CHANNEL_BUSY || channel->state == CHANNEL_IDLE)
		(void)listen_to(pool, channel);
	bool expected = channel->state == CHANNEL_RETIRING;
	channel_close(pool, channel, CHANNEL_FREE);
	return expected;
}

/* False: the pool is broken. */
static bool listen_to_server(struct process_pool *pool)
{
	struct server_report report;
	long received = SYS("recv", recv(pool->control, &report, sizeof(report), MSG_DONTWAIT | MSG_TRUNC));

	if (received == -EAGAIN || received == -EINTR)
		return true;
	if (received != sizeof(report) || report.slot >= pool->max_workers)
		return false;
	struct channel *channel = &pool->channels[report.slot];
	if (report.event == SERVER_DIED)
		return channel->state != CHANNEL_FREE && worker_died(pool, channel);
	if (report.event != SERVER_SPAWNED || pool->spawning != (ssize_t)report.slot)
		return false;
	pool->spawning = -1;
	if (report.value < 0)
		not_spawned(pool, channel, (int)report.value);
	return true;
}

/* False: there is no waiting any more. */
static bool wait_for_news(struct process_pool *pool)
{
	uint64_t count;
	/* No more than there are: poll(2) refuses as soon as it is given more than the limit on descriptors. */
	size_t polled = POLLED_CHANNELS;

	pool->polled[POLLED_CONTROL] = (struct pollfd){.fd = pool->control, .events = POLLIN};
	pool->polled[POLLED_WAKE] = (struct pollfd){.fd = pool->wake, .events = POLLIN};
	for (size_t i = 0; i < pool->max_workers; i++) {
		struct channel *channel = &pool->channels[i];
		short events = channel_sending(channel) ? POLLIN | POLLOUT : POLLIN;
		/* That nobody is there means nothing before the fork server has said that somebody should be. */
		bool awaited = pool->spawning == (ssize_t)i;

		pool->polled[POLLED_CHANNELS + i] = (struct pollfd){.fd = awaited ? -1 : channel->fd, .events = events};
		if (channel->fd >= 0 && !awaited)
			polled = POLLED_CHANNELS + i + 1;
	}
	long ready;
	do
		ready = SYS("poll", poll(pool->polled, polled, -1));
	while (ready == -EINTR);
	if (ready < 0)
		return false;
	if (pool->polled[POLLED_WAKE].revents)
		/* Non-blocking: that it was read already is as good. */
		(void)!read(pool->wake, &count, sizeof(count));
	return true;
}

/* False: the pool is broken. Every worker is heard before, so that what is done counts as done. */
static bool deal_with_news(struct process_pool *pool)
{
	bool alive = true;

	for (size_t i = 0; i < pool->max_workers; i++) {
		struct channel *channel = &pool->channels[i];
		short events = channel->fd >= 0 ? pool->polled[POLLED_CHANNELS + i].revents : 0;

		if (events & POLLOUT)
			(void)channel_write(channel);
		if (events & (POLLIN | POLLHUP | POLLERR) && !listen_to(pool, channel))
			alive = false;
	}
	if (pool->polled[POLLED_CONTROL].revents && !listen_to_server(pool))
		alive = false;
	return alive;
}

static bool has_work(struct process_pool *pool)
{
	for (size_t i = 0; i < pool->max_workers; i++)
		if (pool->channels[i].state == CHANNEL_BUSY)
			return true;
	futex_mutex_lock(&pool->lock);
	bool more = !pool->stopping || !list_empty(&pool->queue);
	futex_mutex_unlock(&pool->lock);
	return more;
}

void process_pool_end(struct process_pool *pool)
{
	for (size_t i = 0; i < pool->max_workers; i++)
		if (pool->channels[i].state != CHANNEL_FREE)
			channel_close(pool, &pool->channels[i], CHANNEL_FREE);
	close(pool->control);
	pool->control = -1;
	/* It may have been reaped by a wait for any child. */
	while (waitpid(pool->server, NULL, 0) < 0 && errno == EINTR)
		;
}

void *process_manager_run(void *arg)
{
	struct process_pool *pool = arg;

	pthread_setname_np(pthread_self(), "async-manager");
	for (;;) {
		dispatch(pool);
		if (!has_work(pool))
			break;
		if (!(wait_for_news(pool) && deal_with_news(pool)) && !break_pool(pool))
			break;
	}
	process_pool_end(pool);
	return NULL;
}
