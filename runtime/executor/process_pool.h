/* SPDX-License-Identifier: MIT */
/*
 * DESIGN: four parties
 *
 *     loops ---jobs---> manager <===control===> fork server ---fork---> workers
 *                          ^                                               ^
 *                          '==================channels====================='
 *
 * The fork server is forked when the pool is made, while the process is small and has one thread, and stays as it
 * was then; it makes every worker, reaps it and reports its end. The manager is a thread of this process, started
 * with the first job; it alone talks to the others, so nothing here depends on a loop: jobs come back through their
 * sinks, as from threads. It hands each worker one job at a time.
 *
 * Nobody is waited for in vain. A worker that dies closes its channel and is reported; a fork server that dies closes
 * the control socket; either breaks the pool. The workers die with the fork server (PR_SET_PDEATHSIG, which is
 * reliable there because the server has one thread), and the fork server ends when the control socket is
 * closed or a pidfd says that this process is gone: the death signal would come when the *thread* that made the pool
 * ends.
 */
#ifndef EXECUTOR_PROCESS_POOL_H
#define EXECUTOR_PROCESS_POOL_H

#include <poll.h>
#include <pthread.h>
#include <sys/types.h>

#include <async/process_pool.h>

#include "executor/executor.h"
#include "worker/futex.h"

enum {
	PROCESS_NAME_MAX = 11, /* what a name's 15 bytes leave beside "-N" */
};

/* On a channel, before the bytes of the argument. */
struct process_request {
	uint64_t id; /* never the same in one pool, and nothing that a program would print */
	async_process_fn *process_fn; /* NULL: `fn` is called with `arg` */
	async_fn *fn;
	void *arg;
	size_t size;
	uint32_t fpenv; /* of who submitted it */
};

/* On a channel, before the bytes of the result. A job can write there too, having the descriptor: nothing of it is
 * believed before it is checked. */
struct process_response {
	uint64_t id; /* the request's */
	intptr_t value;
	size_t size;
};

enum server_event {
	SERVER_READY,   /* `value` is 0, or why it cannot go on */
	SERVER_SPAWNED, /* `value` is the worker's pid, or -errno */
	SERVER_DIED,
};

/* On the control socket, from the server; to it goes the number of a slot, with the worker's end of its channel. */
struct server_report {
	enum server_event event;
	size_t slot;
	intptr_t value;
};

struct async_process_result {
	intptr_t value;
	size_t size;
	_Alignas(max_align_t) char bytes[];
};

/* A job whose argument is bytes. */
struct process_job {
	struct job_future base;
	async_process_fn *fn;
	void *bytes;
	size_t size;
};

enum channel_state {
	CHANNEL_FREE,
	CHANNEL_IDLE,
	CHANNEL_BUSY,
	CHANNEL_RETIRING, /* closed: the worker is about to end */
};

/* This process's end of the socket to a worker. The manager's, but for `job`. */
struct channel {
	enum channel_state state;
	int fd;
	pid_t pid; /* in the fork server: of the worker, or 0 */
	size_t tasks;
	struct executor_job *job; /* written under the pool's lock */

	struct process_request request;
	const char *bytes;
	size_t sent; /* of both */

	struct process_response response;
	struct async_process_result *result;
	size_t received; /* of both */
};

struct process_pool {
	/* The same in all processes. */
	char name[PROCESS_NAME_MAX + 1];
	size_t max_workers, max_tasks;
	async_fn *initializer;
	void *initializer_arg;
	pid_t owner, server;
	atomic_bool *cancelled; /* shared memory: by slot, that the future of its job was cancelled */

	int control, wake;
	atomic_size_t workers;

	struct futex_mutex lock; /* over what follows, and each job's `link` and state */
	struct list queue;
	bool stopping, broken;
	bool managed;       /* there is a manager */
	bool cannot_spawn;  /* until the next submission */

	struct futex_mutex join_lock;
	bool ended;         /* the manager is joined, the fork server reaped */
	pthread_t manager;

	uint64_t requests;  /* the id of the last */
	ssize_t spawning;   /* the slot whose worker the fork server is making, or -1 */
	struct pollfd *polled; /* of the manager: control, wake, channels */
	struct channel channels[];
};

/* In the fork server: never returns. `control` is its end. */
_Noreturn void fork_server_run(struct process_pool *pool, int control);
/* In a worker. `fd` is its end of the channel. */
_Noreturn void process_worker_run(struct process_pool *pool, size_t slot, int fd);

/* Takes what is queued, so that nobody cancels it any more; under the lock. Then gives it back, without the lock. */
void process_pool_take_queue(struct process_pool *pool, struct list *queue);
void process_pool_skip(struct list *queue, int error);

/* The manager's body. */
void *process_manager_run(void *pool);
/* Closes everything and waits for the fork server. */
void process_pool_end(struct process_pool *pool);

/* Begins to send a job: `channel->job`. */
void channel_begin(struct channel *channel, uint64_t id);
/* Sends what can be sent without waiting. Returns 0, or -errno if there is nobody at the other end. */
int channel_write(struct channel *channel);
static inline bool channel_sending(const struct channel *channel)
{
	return channel->sent < sizeof(channel->request) + channel->request.size;
}
/* Receives what there is. Returns 1 (a response is complete), 0 (not yet), -errno (nobody there, or nonsense). */
int channel_read(struct channel *channel);
/* What the complete response means for its job: a value, an error, or a struct async_process_result. */
intptr_t channel_result(struct channel *channel);
/* Forgets a job and what was received for it. */
void channel_reset(struct channel *channel);

static inline struct process_job *process_job_of(struct executor_job *job)
{
	return container_of(job, struct process_job, base.job);
}

/* Whether bytes can be sent there. */
bool executor_is_process_pool(const async_executor *executor);

#endif
