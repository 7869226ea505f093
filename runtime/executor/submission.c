/* SPDX-License-Identifier: MIT */
/* What a loop has to do with executors: hands over what an iteration submitted, takes back what is over. */
#include <errno.h>
#include <stdio.h>

#include "base/forked.h"
#include "base/memory.h"
#include "context/exceptions.h"
#include "context/fpenv.h"
#include "executor/executor.h"
#include "executor/process_pool.h"
#include "core/task.h"
#include "executor/thread_pool.h"

static void on_done(struct loop_job *base)
{
	struct executor_job *job = container_of(base, struct executor_job, base);

	list_remove(&job->link);
	if (atomic_load_explicit(&base->job.state, memory_order_relaxed) == JOB_BROKEN)
		job->result = -EPIPE;
	job->over(job);
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

/* Empties the list of what is still wanted. The rest goes the way of all jobs, through the sink. */
static struct job *take_wanted(struct submission *submission, size_t *ret_count)
{
	struct submission wanted = {0};
	struct job *job = submission->first, *next;

	submission->first = submission->last = NULL;
	submission->count = 0;
	for (; job; job = next) {
		struct executor_job *mine = container_of(job, struct executor_job, base.job);

		next = job->next;
		if (atomic_load_explicit(&mine->cancelled, memory_order_relaxed)) {
			async_job_skip(job_public(job), -ECANCELED);
			continue;
		}
		mine->submitted = true;
		append(&wanted, job);
	}
	*ret_count = wanted.count;
	return wanted.first;
}

static void submit(struct submission *submission)
{
	async_executor *executor = submission->executor;
	size_t count;
	struct job *job = take_wanted(submission, &count), *next;
	int error = count > 0 ? FENCED_VALUE(executor->ops.submit(executor->data, job_public(job), count)) : 0;

	for (; error && job; job = next) {
		struct executor_job *mine = container_of(job, struct executor_job, base.job);

		next = job->next;
		mine->submitted = false;
		async_job_skip(job_public(job), error);
	}
}

static void forget(struct submission *submission)
{
	list_remove(&submission->hook.link);
	executor_unref(submission->executor);
	mem_free(submission);
}

/* Gives the jobs of this iteration to their executor. */
static void submit_jobs(struct async_loop *loop, struct loop_hook *hook)
{
	struct submission *submission = container_of(hook, struct submission, hook);

	(void)loop;
	if (submission->first)
		submit(submission);
	else if (list_empty(&submission->jobs) &&
		 atomic_load_explicit(&submission->executor->freed, memory_order_acquire))
		forget(submission);
}

/* What was queued in the last iteration is the executors' to drop or to run, like what came before. */
static void submit_all(struct async_loop *loop)
{
	list_for_each(node, &loop->hooks) {
		struct loop_hook *hook = list_entry(node, struct loop_hook, link);
		struct submission *submission = container_of(hook, struct submission, hook);

		if (hook->turn == submit_jobs && submission->first)
			submit(submission);
	}
}

/* Takes back what has not begun, and tells the others that nobody waits any more. */
static void withdraw_jobs(struct async_loop *loop, struct submission *submission)
{
	struct list asked, *node;

	list_init(&asked);
	list_splice(&asked, &submission->jobs);
	while ((node = list_pop(&asked))) {
		struct executor_job *job = list_entry(node, struct executor_job, link);

		list_append(&submission->jobs, node);
		if (executor_withdraw(loop, job))
			job->over(job);
	}
	loop_take_jobs(loop);
}

/* The address of the function that the program gave. */
static uintptr_t function_of(struct executor_job *job)
{
	async_fn *in_thread = to_thread_function(job);

	if (!job->fn)
		return (uintptr_t)process_job_of(job)->fn;
	return (uintptr_t)(in_thread ? in_thread : job->fn);
}

static void name_job(struct async_loop *loop, struct executor_job *job)
{
	char where[384], what[400];

	if (lookup_host(job))
		snprintf(what, sizeof(what), "the look-up of \"%s\"", lookup_host(job));
	else
		snprintf(what, sizeof(what), "the job %s",
			 loop_locate_code((const void *)function_of(job), where, sizeof(where)));
	loop_leave_behind(loop, what, NULL, job->queued_at);
}

/* The time to wait is over. What runs goes on with its memory and its threads as they are; nobody hears of its end. */
static void leave_jobs(struct async_loop *loop, struct submission *submission)
{
	withdraw_jobs(loop, submission);
	list_for_each_safe(node, &submission->jobs) {
		struct executor_job *job = list_entry(node, struct executor_job, link);
		int state = atomic_load_explicit(&job->base.job.state, memory_order_relaxed);

		/* Others were withdrawn, and a worker has not come to them yet. */
		if (state == JOB_RUNNING || state == JOB_QUEUED || state == JOB_IDLE)
			name_job(loop, job);
		loop->left_behind = true;
		async_future *future = job->future;
		if (!future)
			continue;
		if (!future_done(future))
			future_complete(future, -ESHUTDOWN);
		/* Who looks for lost memory does not follow pointers to the middle of it. */
		job->future = submission->left;
		submission->left = future;
	}
}

static void close_submission(struct async_loop *loop, struct loop_hook *hook)
{
	struct submission *submission = container_of(hook, struct submission, hook);
	/* In a forked child there is nobody to submit to or to wait for. */
	bool orphaned = loop_forked(loop), own = submission->role != EXECUTOR_GIVEN;

	if (!orphaned) {
		submit_all(loop);
		if (!loop_wait_jobs(loop))
			leave_jobs(loop, submission);
	}
	if (!orphaned && !list_empty(&submission->jobs)) {
		if (own)
			executor_leave(submission->executor);
		/* The jobs are found through the submission, and know nothing of the executor. */
		executor_unref(submission->executor);
		submission->executor = NULL;
		submission->hook.close = NULL;
		return;
	}
	if (!orphaned && own)
		async_executor_free(submission->executor);
	forget(submission);
}

static struct submission *find(struct async_loop *loop, async_executor *executor, enum executor_role role)
{
	list_for_each(node, &loop->hooks) {
		struct loop_hook *hook = list_entry(node, struct loop_hook, link);
		struct submission *submission = container_of(hook, struct submission, hook);

		if (hook->turn == submit_jobs && submission->role == role &&
		    (role != EXECUTOR_GIVEN || submission->executor == executor))
			return submission;
	}
	return NULL;
}

void executor_forget(async_executor *executor)
{
	struct submission *submission = loop_running ? find(loop_running, executor, EXECUTOR_GIVEN) : NULL;

	if (submission && list_empty(&submission->jobs))
		forget(submission);
}

void executor_flush(async_executor *executor)
{
	struct submission *submission = loop_running ? find(loop_running, executor, EXECUTOR_GIVEN) : NULL;

	if (submission && submission->first)
		submit(submission);
}

static int make(struct async_loop *loop, async_executor *executor, enum executor_role role,
		struct submission **ret_submission)
{
	struct submission *submission = mem_zalloc(sizeof(*submission));
	size_t max_workers = role == EXECUTOR_NAMES ? 0 : loop->options.max_workers;

	if (!submission)
		return -ENOMEM;
	submission->role = role;
	list_init(&submission->jobs);
	int error = executor ? 0 : thread_pool_default(max_workers, &executor);
	if (error) {
		mem_free(submission);
		return error;
	}
	atomic_fetch_add(&executor->refs, 1);
	submission->executor = executor;
	submission->hook.turn = submit_jobs;
	submission->hook.close = close_submission;
	loop_add_hook(loop, &submission->hook);
	*ret_submission = submission;
	return 0;
}

int executor_queue(struct async_loop *loop, async_executor *executor, struct executor_job *job)
{
	if (executor && executor->forked != forked)
		return -EPERM;
	enum executor_role role = executor                         ? EXECUTOR_GIVEN
				  : job->base.job.lane == LANE_NAMES ? EXECUTOR_NAMES
								     : EXECUTOR_DEFAULT;
	struct submission *submission = find(loop, executor, role);
	int error = submission ? 0 : make(loop, executor, role, &submission);

	if (error)
		return error;
	job->base.done = on_done;
	job->base.job.run = executor_run;
	job->base.job.sink = &loop->sink;
	job->base.job.trace_id = 0;
	if (trace_on())
		job_trace(&job->base.job, TRACE_JOB_CALL, loop->number, loop->current ? loop->current->id : 0,
			  function_of(job));
	atomic_init(&job->base.job.state, JOB_IDLE);
	atomic_init(&job->cancelled, false);
	job->submitted = false;
	job->fpenv = fpenv_get();
	/* Unless it runs. */
	job->result = -ECANCELED;
	job->submission = submission;
	append(submission, &job->base.job);
	job->queued_at = loop->serviced_at;
	list_append(&submission->jobs, &job->link);
	loop->jobs++;
	/* The end of this iteration is for service, which submits. */
	if (submission->count == 1)
		loop_notify(loop);
	return 0;
}

bool executor_withdraw(struct async_loop *loop, struct executor_job *job)
{
	async_executor *executor = job->submission->executor;

	/* One that was not submitted yet is sorted out when the rest is. The flag comes first: whoever is asked may
	 * have to tell a job that runs. */
	atomic_store(&job->cancelled, true);
	if (!job->submitted || !executor->ops.cancel)
		return false;
	if (!FENCED_VALUE(executor->ops.cancel(executor->data, job_public(&job->base.job))))
		return false;
	list_remove(&job->link);
	loop->jobs--;
	return true;
}
