/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "base/memory.h"
#include "executor/executor.h"

static void run_job(struct job *job)
{
	struct executor_job *mine = container_of(job, struct executor_job, base.job);

	mine->result = mine->fn(mine->arg);
}

/* A job that the pool never saw. */
static void end_unrun(struct async_loop *loop, struct executor_job *job, int error)
{
	job->result = error;
	atomic_store(&job->base.job.state, JOB_WITHDRAWN);
	loop->jobs--;
	job->base.done(&job->base);
}

static void append(struct submission *submission, struct job *job)
{
	job->next = NULL;
	if (submission->last)
		submission->last->next = job;
	else
		submission->first = job;
	submission->last = job;
	submission->count++;
}

/* Empties the list of what is still wanted and ends the rest. */
static struct job *take_wanted(struct async_loop *loop, struct submission *submission, size_t *ret_count)
{
	struct submission wanted = {0};
	struct job *job = submission->first, *next;

	submission->first = submission->last = NULL;
	submission->count = 0;
	for (; job; job = next) {
		struct executor_job *mine = container_of(job, struct executor_job, base.job);

		next = job->next;
		if (atomic_load_explicit(&mine->cancelled, memory_order_relaxed))
			end_unrun(loop, mine, -ECANCELED);
		else
			append(&wanted, job);
	}
	*ret_count = wanted.count;
	return wanted.first;
}

/* Gives the jobs of this iteration to the pool. */
static void submit_jobs(struct async_loop *loop, struct loop_hook *hook)
{
	struct submission *submission = container_of(hook, struct submission, hook);
	size_t count;

	if (!submission->first)
		return;
	struct job *job = take_wanted(loop, submission, &count), *next;
	int error = count > 0 ? pool_submit(submission->executor->pool, job, count) : 0;
	for (; error && job; job = next) {
		next = job->next;
		end_unrun(loop, container_of(job, struct executor_job, base.job), error);
	}
}

static void close_submission(struct async_loop *loop, struct loop_hook *hook)
{
	struct submission *submission = container_of(hook, struct submission, hook);

	/* What was queued in the last iteration is the pool's to drop or to run, like what came before. */
	submit_jobs(loop, hook);
	loop_wait_jobs(loop);
	list_remove(&hook->link);
	if (submission->owned)
		async_executor_free(submission->executor);
	mem_free(submission);
}

static struct submission *find(struct async_loop *loop, async_executor *executor)
{
	list_for_each(node, &loop->hooks) {
		struct loop_hook *hook = list_entry(node, struct loop_hook, link);
		struct submission *submission = container_of(hook, struct submission, hook);

		if (hook->turn == submit_jobs && (executor ? submission->executor == executor : submission->owned))
			return submission;
	}
	return NULL;
}

/* The default executor is the process's own pool, unless the loop wants one of another size. */
static int make_default(struct async_loop *loop, async_executor **ret_executor)
{
	struct async_thread_pool_options options = ASYNC_THREAD_POOL_OPTIONS_INIT;

	if (loop->options.max_workers) {
		options.max_workers = loop->options.max_workers;
		return async_thread_pool_new(&options, ret_executor);
	}
	async_executor *executor = mem_zalloc(sizeof(*executor));
	if (!executor)
		return -ENOMEM;
	int error = pool_shared_acquire(&executor->pool);
	if (error) {
		mem_free(executor);
		return error;
	}
	executor->shared = true;
	*ret_executor = executor;
	return 0;
}

static int make(struct async_loop *loop, async_executor *executor, struct submission **ret_submission)
{
	struct submission *submission = mem_zalloc(sizeof(*submission));

	if (!submission)
		return -ENOMEM;
	submission->owned = !executor;
	int error = executor ? 0 : make_default(loop, &executor);
	if (error) {
		mem_free(submission);
		return error;
	}
	submission->executor = executor;
	submission->hook.turn = submit_jobs;
	submission->hook.close = close_submission;
	loop_add_hook(loop, &submission->hook);
	*ret_submission = submission;
	return 0;
}

int executor_queue(struct async_loop *loop, async_executor *executor, struct executor_job *job)
{
	struct submission *submission = find(loop, executor);
	int error = submission ? 0 : make(loop, executor, &submission);

	if (error)
		return error;
	job->base.job.run = run_job;
	job->base.job.sink = &loop->sink;
	atomic_init(&job->base.job.state, JOB_IDLE);
	atomic_init(&job->cancelled, false);
	/* Unless it runs. */
	job->result = -ECANCELED;
	job->submission = submission;
	append(submission, &job->base.job);
	loop->jobs++;
	/* The end of this iteration is for service, which submits. */
	if (submission->count == 1)
		loop_notify(loop);
	return 0;
}

bool executor_withdraw(struct async_loop *loop, struct executor_job *job)
{
	struct job *raw = &job->base.job;

	/* One that was not submitted yet is sorted out when the rest is. */
	if (atomic_load(&raw->state) != JOB_IDLE &&
	    pool_withdraw(job->submission->executor->pool, raw) == POOL_REMOVED) {
		loop->jobs--;
		return true;
	}
	atomic_store(&job->cancelled, true);
	return false;
}

bool async_job_cancelled(void)
{
	struct job *job = pool_current_job();

	if (!job || job->run != run_job)
		return false;
	return atomic_load(&container_of(job, struct executor_job, base.job)->cancelled);
}
