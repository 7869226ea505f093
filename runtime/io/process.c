/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. A child has a descriptor that is readable once it has ended: a pidfd, or, where there are none, a pipe that
 * a thread writes which waits for nothing else. One poll operation is on it from the start; when it completes, the
 * child is reaped and whoever waits is woken. So there is no SIGCHLD, and no number can be reused while we may use it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <async/io.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/own_fd.h"
#include "base/versioned.h"
#include "io/process.h"
#include "io/process_start.h"
#include "sync/waiters.h"

struct processes {
	struct loop_hook hook;
	struct list list;
};

/* The end of a child */

static void reap(async_process *process)
{
	struct list *node;
	pid_t pid = waitpid(process->pid, &process->status, WNOHANG);

	if (pid != process->pid)
		process->status = process->op.result < 0 ? (int)process->op.result : -ECHILD;
	process->ended = true;
	while ((node = list_pop(&process->waiters)))
		if (waiter_waits(node))
			waiter_wake(node);
}

static void on_exit_seen(struct op *op)
{
	async_process *process = container_of(op, async_process, op);

	if (!process->orphaned)
		reap(process);
}

static void *await_exit(void *arg)
{
	async_process *process = arg;
	siginfo_t info;

	while (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
		;
	ssize_t n = write(process->thread_fd, "", 1);
	(void)n;
	close(process->thread_fd);
	return NULL;
}

static int start_thread(async_process *process)
{
	sigset_t all, old;

	int ends[2], error = own_pipe(ends);
	if (error)
		return error;
	process->exit_fd = ends[0];
	process->thread_fd = ends[1];
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = fault("pthread_create");
	if (!error)
		error = -pthread_create(&process->thread, NULL, await_exit, process);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error)
		close(process->thread_fd);
	process->has_thread = error == 0;
	return error;
}

static int watch_exit(async_process *process)
{
	struct reactor *reactor;
	int error = loop_reactor(process->loop, &reactor);

	if (error)
		return error;
	process->exit_fd = own_pidfd(process->pid, "pidfd_open child");
	/* Old kernels, tools and filters have none. */
	if (process->exit_fd == -ENOSYS || process->exit_fd == -EPERM)
		error = start_thread(process);
	else if (process->exit_fd < 0)
		error = process->exit_fd;
	if (error)
		return error;
	process->op = (struct op){.code = OP_POLL, .fd = process->exit_fd, .events = POLLIN, .complete = on_exit_seen};
	if (!reactor_submit(reactor, &process->op))
		return 0;
	if (process->op.result < 0)
		return (int)process->op.result;
	reap(process);
	return 0;
}

static void free_process(async_process *process)
{
	if (process->has_thread)
		pthread_join(process->thread, NULL);
	/* Or the reactor would believe that it watches whatever gets the number next. */
	if (process->exit_fd >= 0 && process->loop->reactor)
		reactor_forget(process->loop->reactor, process->exit_fd);
	if (process->exit_fd >= 0)
		close(process->exit_fd);
	list_remove(&process->link);
	process_talk_free(process->talk);
	mem_free(process);
}

/* Blocks, but not for long. */
static void kill_now(async_process *process)
{
	if (process->ended || kill(process->pid, SIGKILL) < 0)
		return;
	while (waitpid(process->pid, &process->status, 0) < 0 && errno == EINTR)
		;
	process->ended = true;
}

static void close_pipes(async_process *process)
{
	for (int i = 0; i < 3; i++)
		if (process->fds[i] >= 0)
			close(process->fds[i]);
}

static void run_orphan(struct entry *entry)
{
	free_process(container_of(entry, async_process, entry));
}

static void close_processes(struct async_loop *loop, struct loop_hook *hook)
{
	struct processes *processes = container_of(hook, struct processes, hook);
	bool forked = loop_forked(loop);

	list_for_each_safe(node, &processes->list) {
		async_process *process = list_entry(node, async_process, link);

		/* In a child of this process they are nobody's to kill, and the thread is not there. */
		if (forked)
			process->has_thread = false;
		else
			kill_now(process);
		close_pipes(process);
		while (list_pop(&process->waiters))
			;
		list_remove(node);
		process->orphaned = true;
		process->entry.kind = ENTRY_CALLBACK;
		process->entry.run = run_orphan;
		ready_append(&loop->ready, &process->entry);
	}
	list_remove(&hook->link);
	mem_free(processes);
}

/* Starting */

static struct processes *make_processes(struct async_loop *loop)
{
	struct loop_hook *hook = loop_find_hook(loop, close_processes);

	if (hook)
		return container_of(hook, struct processes, hook);
	struct processes *processes = mem_zalloc(sizeof(*processes));
	if (!processes)
		return NULL;
	processes->hook.close = close_processes;
	list_init(&processes->list);
	loop_add_hook(loop, &processes->hook);
	return processes;
}

int async_process_spawn(const char *file, char *const argv[], const struct async_process_options *given,
			async_process **ret_process)
{
	struct async_process_options options = ASYNC_PROCESS_OPTIONS_INIT;
	int error = given ? versioned_copy(&options, sizeof(options), given) : 0;
	struct async_loop *loop = loop_running;

	if (error || !file || !argv || !argv[0] || !ret_process || options.pipe_grace < 0)
		return -EINVAL;
	error = loop ? loop_check(loop) : -EPERM;
	if (error)
		return error;
	struct processes *processes = make_processes(loop);
	async_process *process = processes ? mem_zalloc(sizeof(*process)) : NULL;
	if (!process)
		return -ENOMEM;
	*process = (async_process){.loop = loop, .exit_fd = -1, .fds = {-1, -1, -1}};
	process->pipe_grace = options.pipe_grace ? options.pipe_grace : ASYNC_FOREVER;
	list_init(&process->waiters);
	list_append(&processes->list, &process->link);
	error = process_start(file, argv, &options, process->fds, &process->pid);
	if (!error && (error = watch_exit(process)))
		kill_now(process);
	if (error) {
		close_pipes(process);
		free_process(process);
		return error;
	}
	*ret_process = process;
	return 0;
}

/* Using */

int process_check(const async_process *process)
{
	if (!process)
		return -EINVAL;
	struct task *task = task_current();
	return task && task->future.loop == process->loop ? 0 : -EPERM;
}

pid_t async_process_pid(const async_process *process)
{
	return process ? process->pid : -EINVAL;
}

int async_process_fd(const async_process *process, int which)
{
	if (!process || which < 0 || which > 2)
		return -EINVAL;
	return process->fds[which] >= 0 ? process->fds[which] : -EBADF;
}

int async_process_take_fd(async_process *process, int which)
{
	int fd = async_process_fd(process, which);

	if (process && loop_forked(process->loop))
		return -EPERM;
	if (fd >= 0)
		process->fds[which] = -1;
	return fd;
}

#define WAIT_ON_PROCESS .on = ASYNC_LAYOUT_ON_PROCESS, .detail = offsetof(struct async_process, pid)

static const struct wait_class wait_exit = {
	.name = "the end of a process", .withdraw = waiter_withdraw, WAIT_ON_PROCESS};

int async_process_wait(async_process *process)
{
	int error = process_check(process);

	if (!error && !process->ended)
		error = waiters_wait(&process->waiters, task_current(), &wait_exit, process);
	return error ? error : process->status;
}

int async_process_kill(async_process *process, int number)
{
	if (!process)
		return -EINVAL;
	if (loop_forked(process->loop))
		return -EPERM;
	if (process->ended)
		return -ESRCH;
	if (process->has_thread)
		return (int)SYS("kill", kill(process->pid, number));
	return (int)SYS("pidfd_send_signal", syscall(SYS_pidfd_send_signal, process->exit_fd, number, NULL, 0));
}

/* Not to be withdrawn: what is left would be a zombie. */
static const struct wait_class wait_kill = {
	.name = "the end of a killed process", .keeps_result = true, WAIT_ON_PROCESS};

int async_process_close(async_process *process)
{
	int error = process ? process_check(process) : 0;

	if (error || !process)
		return error;
	if (!process->ended && (error = async_process_kill(process, SIGKILL)) && error != -ESRCH)
		return error;
	for (int i = 0; i < 3; i++)
		if (process->fds[i] >= 0)
			(void)!async_close(async_process_take_fd(process, i));
	struct task *task = task_current();
	if (!process->ended)
		waiters_wait(&process->waiters, task, &wait_kill, process);
	free_process(process);
	return 0;
}
