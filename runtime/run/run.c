/* SPDX-License-Identifier: MIT */
#include <async/run.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <async/dump.h>
#include <async/future.h>
#include <async/loop.h>
#include <async/task.h>

#include "base/thread_guard.h"
#include "compose/cancel_all.h"
#include "core/handle.h"
#include "core/local.h"
#include "core/loop.h"
#include "core/task.h"

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

/* A post that comes late finds the next run, which nobody interrupted. */
static void cancel_main(void *arg)
{
	struct async_runner *runner = arg;

	if (runner->main_task && atomic_load(&interrupted))
		async_cancel(runner->main_task, "SIGINT");
}

static bool replace_default(int number, void (*handler)(int))
{
	struct sigaction action, old;

	if (sigaction(number, NULL, &old) < 0 || (old.sa_flags & SA_SIGINFO) || old.sa_handler != SIG_DFL)
		return false;
	memset(&action, 0, sizeof(action));
	action.sa_handler = handler;
	/* On the stack of overflow reports: that of a task may be small. */
	action.sa_flags = SA_RESTART | SA_ONSTACK;
	sigemptyset(&action.sa_mask);
	return sigaction(number, &action, NULL) == 0;
}

/* SIGQUIT says what every task does, then ends the process as it would have. All runs that want it share it. */
static pthread_mutex_t quit_mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned quit_users;
static bool quit_taken;

static void on_sigquit(int number)
{
	(void)!async_dump_tasks(STDERR_FILENO);
	signal(number, SIG_DFL);
	raise(number);
}

static void quit_take(void)
{
	pthread_mutex_lock(&quit_mutex);
	if (quit_users++ == 0)
		quit_taken = replace_default(SIGQUIT, on_sigquit);
	pthread_mutex_unlock(&quit_mutex);
}

static void quit_give_back(void)
{
	pthread_mutex_lock(&quit_mutex);
	if (--quit_users == 0 && quit_taken)
		signal(SIGQUIT, SIG_DFL);
	pthread_mutex_unlock(&quit_mutex);
}

struct signals {
	bool sigint, sigpipe, sigquit;
};

/* `fresh`: the first SIGINT from here on is the first. */
static struct signals signals_take(struct async_runner *runner, bool fresh)
{
	struct signals signals = {.sigpipe = replace_default(SIGPIPE, SIG_IGN)};
	async_handle *nobody = NULL;

	signals.sigquit = runner->loop->options.dump_on_sigquit;
	if (signals.sigquit)
		quit_take();
	if (!runner->interrupt || !atomic_compare_exchange_strong(&interrupt_handle, &nobody, runner->interrupt))
		return signals;
	if (fresh)
		atomic_store(&interrupted, false);
	signals.sigint = replace_default(SIGINT, on_sigint);
	if (!signals.sigint)
		atomic_store(&interrupt_handle, NULL);
	return signals;
}

static void signals_give_back(const struct signals *signals)
{
	if (signals->sigint) {
		signal(SIGINT, SIG_DFL);
		atomic_store(&interrupt_handle, NULL);
	}
	if (signals->sigpipe)
		signal(SIGPIPE, SIG_DFL);
	if (signals->sigquit)
		quit_give_back();
}

enum runner_state {
	RUNNER_NEW, /* what ASYNC_RUNNER_INIT says */
	RUNNER_OPEN,
	RUNNER_CLOSED,
};

int async_runner_open(struct async_runner *runner, const struct async_options *options)
{
	struct async_runner opened = {.state = RUNNER_OPEN};

	if (!runner)
		return -EINVAL;
	if (runner->state == RUNNER_OPEN)
		return -EBUSY;
	int error = async_loop_new(options, &opened.loop);
	if (!error && !opened.loop->options.ignore_sigint)
		error = handle_prepare(opened.loop, cancel_main, runner, false, &opened.interrupt);
	if (error) {
		async_loop_free(opened.loop);
		return error;
	}
	opened.locals = locals_capture();
	*runner = opened;
	return 0;
}

/* The main task has the runner's own task-local values, not a copy of them. */
static async_task *create_main(struct async_runner *runner, async_fn *fn, void *arg, const void *creator)
{
	struct locals *outer = locals_enter(runner->locals);
	async_task *task = task_create(runner->loop, fn, arg, NULL, creator);

	runner->locals = locals_leave(outer);
	return task;
}

static void keep_locals(struct async_runner *runner)
{
	if (!async_is_task(runner->main_task))
		return;
	locals_unref(runner->locals);
	runner->locals = locals_ref(task_of(runner->main_task)->locals);
}

static intptr_t run(struct async_runner *runner, async_fn *fn, void *arg, const void *creator)
{
	if (!runner || !fn || runner->state == RUNNER_NEW)
		return -EINVAL;
	if (runner->state == RUNNER_CLOSED)
		return -ESHUTDOWN;
	if (loop_running)
		return -EBUSY;
	int error = loop_check(runner->loop);
	if (error)
		return error;
	struct thread_guard guard;
	thread_guard_enter(&guard, "a run");
	struct signals signals = signals_take(runner, true);
	runner->main_task = create_main(runner, fn, arg, creator);
	intptr_t result = async_loop_run_until_complete(runner->loop, async_ref(runner->main_task));
	signals_give_back(&signals);
	/* Unless somebody else wanted it to end, too. */
	if (result == -ECANCELED && signals.sigint && atomic_load(&interrupted) &&
	    async_uncancel(runner->main_task) == 0)
		result = -EINTR;
	keep_locals(runner);
	async_release(runner->main_task);
	runner->main_task = NULL;
	thread_guard_leave(&guard);
	return result;
}

intptr_t async_runner_run(struct async_runner *runner, async_fn *fn, void *arg)
{
	return run(runner, fn, arg, CALLER);
}

async_loop *async_runner_get_loop(const struct async_runner *runner)
{
	return runner && runner->state == RUNNER_OPEN ? runner->loop : NULL;
}

int async_runner_close(struct async_runner *runner)
{
	if (!runner)
		return -EINVAL;
	if (runner->state != RUNNER_OPEN)
		return 0;
	if (loop_running)
		return -EBUSY;
	async_loop *loop = runner->loop;
	if (atomic_load(&loop->running))
		return -EPERM;
	struct thread_guard guard;
	thread_guard_enter(&guard, "a run that ends");
	/* Cleaning up is under way: the first SIGINT has nothing to cancel, unless it came in the last run. */
	struct signals signals = signals_take(runner, false);
	loop_begin_end(loop);
	if (loop->tasks > 0)
		loop_cancel_all(loop);
	async_loop_close(loop);
	signals_give_back(&signals);
	async_handle_release(runner->interrupt);
	async_loop_free(loop);
	locals_unref(runner->locals);
	*runner = (struct async_runner){.state = RUNNER_CLOSED};
	thread_guard_leave(&guard);
	return 0;
}

static intptr_t run_once(async_fn *fn, void *arg, const struct async_options *options, const void *creator)
{
	struct async_runner runner = ASYNC_RUNNER_INIT;
	struct thread_guard guard;

	if (!fn)
		return -EINVAL;
	if (loop_running)
		return -EBUSY;
	int error = async_runner_open(&runner, options);
	if (error)
		return error;
	thread_guard_enter(&guard, "async_run");
	intptr_t result = run(&runner, fn, arg, creator);
	async_runner_close(&runner);
	thread_guard_leave(&guard);
	return result;
}

intptr_t async_run_with(async_fn *fn, void *arg, const struct async_options *options)
{
	return run_once(fn, arg, options, CALLER);
}

intptr_t async_run(async_fn *fn, void *arg)
{
	return run_once(fn, arg, NULL, CALLER);
}
