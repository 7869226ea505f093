/* SPDX-License-Identifier: MIT */
/* The process that makes workers, reaps them, and says what became of them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/own_fd.h"
#include "context/context.h"
#include "executor/process_pool.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static const size_t STACK_SIZE_LEAST = 1 << 20, STACK_SIZE_DEFAULT = 8 << 20, STACK_SIZE_MOST = 64 << 20;

struct server {
	struct process_pool *pool;
	int control, children, parent;
	struct context context, left;
	struct stack_pool stacks;
	enum context_kind kind;
};

static _Noreturn void end(struct server *server, int status)
{
	struct process_pool *pool = server->pool;

	for (size_t i = 0; i < pool->max_workers; i++)
		if (pool->channels[i].pid > 0)
			kill(pool->channels[i].pid, SIGKILL);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	_exit(status);
}

/* Whoever waits for a report that cannot be sent is told by the end of the socket. */
static void report(struct server *server, enum server_event event, size_t slot, intptr_t value)
{
	struct server_report message;

	/* What lies between the fields is sent too. */
	memset(&message, 0, sizeof(message));
	message.event = event;
	message.slot = slot;
	message.value = value;
	long sent;
	do
		sent = SYS("send", send(server->control, &message, sizeof(message), MSG_NOSIGNAL));
	while (sent == -EINTR);
	if (sent < 0)
		end(server, 1);
}

static int kept(int fd, int keep)
{
	return fd <= STDERR_FILENO || fd == keep;
}

/* Where the kernel has no close_range. */
static int close_one_by_one(int keep)
{
	int error;
	DIR *fds = own_opendir("/proc/self/fd", &error);
	struct dirent *entry;

	if (!fds)
		return error;
	while ((entry = readdir(fds))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] != '.' && fd != dirfd(fds) && !kept(fd, keep))
			close(fd);
	}
	closedir(fds);
	return 0;
}

/* Nothing that is open in the parent stays open here: a pipe must end when the parent closes it. */
static int close_all_but(int keep)
{
	if (SYS("close_range", syscall(SYS_close_range, keep + 1, ~0u, 0)) < 0)
		return close_one_by_one(keep);
	if (keep > STDERR_FILENO + 1)
		syscall(SYS_close_range, STDERR_FILENO + 1, keep - 1, 0);
	return 0;
}

/* Two readers of one terminal would each get half of what is typed. */
static int empty_stdin(void)
{
	int fd = own_open("/dev/null", O_RDONLY, 0);

	if (fd < 0)
		return fd;
	long result = SYS("dup2", dup2(fd, STDIN_FILENO));
	close(fd);
	return result < 0 ? (int)result : 0;
}

/* The parent's handlers would act on copies of what they are about. Ctrl-C is for the parent to decide. */
static int reset_signals(int *ret_children)
{
	struct sigaction action;
	sigset_t set;

	for (int number = 1; number < NSIG; number++)
		if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			signal(number, SIG_DFL);
	signal(SIGINT, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_SETMASK, &set, NULL);
	*ret_children = own_signalfd(&set);
	return *ret_children < 0 ? *ret_children : 0;
}

static int set_up(struct server *server)
{
	struct process_pool *pool = server->pool;
	int error = close_all_but(server->control);

	for (size_t i = 0; i < pool->max_workers; i++)
		pool->channels[i].pid = 0;
	prctl(PR_SET_NAME, pool->name);
	if (!error)
		error = empty_stdin();
	if (!error)
		error = reset_signals(&server->children);
	/* Where there is none, as under valgrind, the end of the control socket has to tell. */
	if (!sanitizer_on_valgrind())
		server->parent = own_pidfd(pool->owner, "pidfd_open");
	if (!error && getppid() != pool->owner)
		error = -ESRCH;
	return error;
}

static void make_worker(struct server *server, size_t slot, int fd)
{
	struct process_pool *pool = server->pool;
	long pid = SYS("fork", fork());
	sigset_t none;

	if (pid == 0) {
		close(server->control);
		close(server->children);
		if (server->parent >= 0)
			close(server->parent);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		process_worker_run(pool, slot, fd);
	}
	close(fd);
	if (pid > 0)
		pool->channels[slot].pid = (pid_t)pid;
	report(server, SERVER_SPAWNED, slot, pid);
}

/* The descriptor that came with a message, or a negative number. */
static int descriptor_of(struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fd = -1;

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return own_lift(fd);
}

/* False: the parent has closed the socket, or what came over it is no request of its. */
static bool serve(struct server *server)
{
	_Alignas(struct cmsghdr) char ancillary[CMSG_SPACE(sizeof(int))];
	size_t slot = 0;
	struct iovec part = {&slot, sizeof(slot)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = ancillary,
				 .msg_controllen = sizeof(ancillary)};
	long received = SYS("recvmsg", recvmsg(server->control, &message, MSG_CMSG_CLOEXEC | MSG_TRUNC));

	if (received == -EINTR)
		return true;
	if (received != sizeof(slot) || slot >= server->pool->max_workers || server->pool->channels[slot].pid > 0)
		return false;
	int fd = descriptor_of(&message);
	if (fd >= 0)
		make_worker(server, slot, fd);
	else
		/* No descriptor was free here. */
		report(server, SERVER_SPAWNED, slot, -EMFILE);
	return true;
}

static void reap(struct server *server)
{
	struct process_pool *pool = server->pool;
	struct signalfd_siginfo info;
	pid_t pid;

	if (read(server->children, &info, sizeof(info)) < 0)
		return;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		for (size_t i = 0; i < pool->max_workers; i++) {
			if (pool->channels[i].pid != pid)
				continue;
			pool->channels[i].pid = 0;
			report(server, SERVER_DIED, i, 0);
		}
	}
}

static void *server_main(void *arg)
{
	struct server *server = arg;

	context_begun(server->kind);
	int error = set_up(server);

	report(server, SERVER_READY, 0, error);
	if (error)
		end(server, 1);
	for (;;) {
		struct pollfd polled[] = {
			{.fd = server->control, .events = POLLIN},
			{.fd = server->children, .events = POLLIN},
			{.fd = server->parent, .events = POLLIN},
		};

		long ready = SYS("poll", poll(polled, 3, -1));
		if (ready == -EINTR)
			continue;
		if (ready < 0)
			end(server, 1);
		if (polled[1].revents)
			reap(server);
		if (polled[2].revents || (polled[0].revents && !serve(server)))
			end(server, 0);
	}
}

static size_t stack_size(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_STACK, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return STACK_SIZE_DEFAULT;
	if (limit.rlim_cur < STACK_SIZE_LEAST)
		return STACK_SIZE_LEAST;
	return limit.rlim_cur > STACK_SIZE_MOST ? STACK_SIZE_MOST : (size_t)limit.rlim_cur;
}

/* Jobs may use as much stack as in a program's main function. The pool may have been made by a task, on a small
 * one. */
_Noreturn void fork_server_run(struct process_pool *pool, int control)
{
	static struct server server;
	unsigned class = (unsigned)stack_class_for(stack_size());

	server = (struct server){.pool = pool, .control = control, .children = -1, .parent = -1};
	pool->server = getpid();
	stack_pool_init(&server.stacks, STACK_GUARD_AUTO);
	struct stack_header *stack = stack_alloc(&server.stacks, class, NULL);
	if (!stack) {
		report(&server, SERVER_READY, 0, -ENOMEM);
		_exit(1);
	}
	server.kind = (CONTEXT_HAS_ASM ? CONTEXT_ASM : CONTEXT_UCONTEXT) | context_observers();
	context_make(&server.context, server.kind, stack_bottom(stack, class), stack, fpenv_get(), server_main, &server);
	context_switch(&server.left, &server.context, server.kind);
	_exit(1);
}
