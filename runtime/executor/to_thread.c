/* SPDX-License-Identifier: MIT */
/* A job that the calling task waits for: it lives on the task's stack. */
#include <errno.h>

#include "context/exceptions.h"
#include "core/local.h"
#include "core/schedule.h"
#include "executor/executor.h"

struct awaited_job {
	struct executor_job job;
	struct task *task;
};

static void on_over(struct executor_job *job)
{
	task_wake(container_of(job, struct awaited_job, job)->task, job->result);
}

static bool withdraw_job(struct task *task)
{
	struct awaited_job *mine = task->wait_object;

	if (!executor_withdraw(task->future.loop, &mine->job))
		return false;
	task_wake(task, -ECANCELED);
	return true;
}

static const struct wait_class wait_job = {
	.name = "a job in a thread",
	.withdraw = withdraw_job,
	.on = ASYNC_LAYOUT_ON_JOB,
	.detail = offsetof(struct awaited_job, job.base.job),
};

static const struct wait_class wait_end = {
	.name = "the end of an executor",
	.on = ASYNC_LAYOUT_ON_JOB,
	.detail = offsetof(struct awaited_job, job.base.job),
};

static intptr_t job_await(async_executor *executor, async_fn *fn, void *arg, const struct wait_class *class)
{
	struct task *task = task_current();
	struct awaited_job mine = {.task = task};

	if (!fn || !task)
		return fn ? -EPERM : -EINVAL;
	mine.job.fn = fn;
	mine.job.arg = arg;
	mine.job.over = on_over;
	int error = executor_queue(task->future.loop, executor, &mine.job);
	return error ? error : task_park(task, class, &mine);
}

intptr_t job_await_end(async_executor *executor, async_fn *fn, void *arg)
{
	return job_await(executor, fn, arg, &wait_end);
}

/* A call that sees the task-local values of who awaits it, and keeps what it sets to itself. */
struct call {
	async_fn *fn;
	void *arg;
	struct locals *locals;
};

static intptr_t run_call(void *arg)
{
	struct call *call = arg;
	struct locals *outer = locals_enter(call->locals);
	intptr_t result = FENCED_VALUE(call->fn(call->arg));

	call->locals = locals_leave(outer);
	return result;
}

async_fn *to_thread_function(const struct executor_job *job)
{
	return job->fn == run_call ? ((const struct call *)job->arg)->fn : NULL;
}

intptr_t async_to_thread(async_fn *fn, void *arg)
{
	struct call call = {.fn = fn, .arg = arg, .locals = locals_capture()};
	intptr_t result = job_await(NULL, fn ? run_call : NULL, &call, &wait_job);

	locals_unref(call.locals);
	return result;
}
