/* SPDX-License-Identifier: MIT */
#include <async/run.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <async/future.h>
#include <async/loop.h>
#include <async/task.h>
#include <async/wait.h>

#include "base/memory.h"
#include "core/handle.h"
#include "core/loop.h"
#include "core/task.h"

/* How often tasks that swallow a cancellation are asked again. */
#define SHUTDOWN_INTERVAL (100 * ASYNC_MS)

/* One run of the process can have SIGINT. */
static _Atomic(async_handle *) interrupt_handle;
static atomic_bool interrupted;

static void on_sigint(int number)
{
	async_handle *handle = atomic_load(&interrupt_handle);
	int saved = errno;

	if (handle && !atomic_exchange(&interrupted, true)) {
		async_handle_post(handle);
	} else {
		/* The second one, or a loop that does not listen any more: end at once. */
		signal(number, SIG_DFL);
		raise(number);
	}
	errno = saved;
}

static void cancel_main(void *arg)
{
	async_cancel(arg, "SIGINT");
}

static bool replace_default(int number, void (*handler)(int))
{
	struct sigaction action, old;

	if (sigaction(number, NULL, &old) < 0 || (old.sa_flags & SA_SIGINFO) || old.sa_handler != SIG_DFL)
		return false;
	memset(&action, 0, sizeof(action));
	action.sa_handler = handler;
	action.sa_flags = SA_RESTART;
	sigemptyset(&action.sa_mask);
	return sigaction(number, &action, NULL) == 0;
}

struct signals {
	bool sigint, sigpipe;
	async_handle *handle;
};

static void signals_take(struct signals *signals, async_loop *loop, async_task *main_task)
{
	*signals = (struct signals){.sigpipe = replace_default(SIGPIPE, SIG_IGN)};
	if (loop->options.ignore_sigint || atomic_load(&interrupt_handle) ||
	    handle_prepare(loop, cancel_main, main_task, false, &signals->handle) < 0)
		return;
	atomic_store(&interrupted, false);
	atomic_store(&interrupt_handle, signals->handle);
	signals->sigint = replace_default(SIGINT, on_sigint);
	if (!signals->sigint)
		atomic_store(&interrupt_handle, NULL);
}

static void signals_give_back(struct signals *signals)
{
	if (signals->sigint) {
		signal(SIGINT, SIG_DFL);
		atomic_store(&interrupt_handle, NULL);
	}
	if (signals->sigpipe)
		signal(SIGPIPE, SIG_DFL);
	async_handle_cancel(signals->handle);
}

/* Every task but the one that asks, with a reference each. NULL: there is none, or no memory. */
static async_task **other_tasks(size_t *ret_count)
{
	intptr_t count = async_all_tasks(NULL, NULL, 0);
	async_task **tasks = mem_array((size_t)count, sizeof(*tasks)), *self = async_current_task();
	size_t kept = 0;

	*ret_count = 0;
	if (!tasks)
		return NULL;
	async_all_tasks(NULL, tasks, (size_t)count);
	for (intptr_t i = 0; i < count; i++)
		if (tasks[i] != self)
			tasks[kept++] = async_ref(tasks[i]);
	if (kept == 0) {
		mem_free(tasks);
		return NULL;
	}
	*ret_count = kept;
	return tasks;
}

/* Cancels everything and waits. What swallows it is asked again, and named when the time is over. */
static intptr_t shut_down(void *arg)
{
	async_loop *loop = arg;
	async_time deadline = clock_add(loop_now(loop), loop->options.shutdown_timeout);
	async_task **tasks;
	size_t count;
	intptr_t waited = 0;

	while (waited >= 0 && (tasks = other_tasks(&count))) {
		bool late = loop_now(loop) >= deadline;

		for (size_t i = 0; i < count && !late; i++)
			async_cancel(tasks[i], "shutdown");
		if (!late)
			waited = async_wait(tasks, count, ASYNC_WAIT_ALL_COMPLETED, SHUTDOWN_INTERVAL);
		for (size_t i = 0; i < count; i++) {
			if (late)
				loop_report(loop, "ignores its cancellation and is abandoned", tasks[i], 0);
			async_release(tasks[i]);
		}
		mem_free(tasks);
		if (late)
			break;
	}
	return 0;
}

intptr_t async_run_with(async_fn *fn, void *arg, const struct async_options *options)
{
	struct signals signals;
	async_loop *loop;
	intptr_t result;

	if (!fn)
		return -EINVAL;
	if (loop_running)
		return -EBUSY;
	int error = async_loop_new(options, &loop);
	if (error)
		return error;
	async_task *main_task = task_create(loop, fn, arg, NULL, CALLER);
	signals_take(&signals, loop, main_task);
	result = async_loop_run_until_complete(loop, async_ref(main_task));
	if (result == -ECANCELED && signals.sigint && atomic_load(&interrupted))
		result = -EINTR;
	if (loop->tasks > 0)
		(void)!async_loop_run_until_complete(loop, async_loop_create_task(loop, shut_down, loop, NULL));
	signals_give_back(&signals);
	async_release(main_task);
	async_loop_close(loop);
	async_handle_release(signals.handle);
	async_loop_free(loop);
	return result;
}

intptr_t async_run(async_fn *fn, void *arg)
{
	return async_run_with(fn, arg, NULL);
}
