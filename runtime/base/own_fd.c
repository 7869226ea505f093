/* SPDX-License-Identifier: MIT */
#include "base/own_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fault.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define FIRST (STDERR_FILENO + 1)

/* Whether 0, 1 and 2 were open when it was last looked: accepting does not look each time. */
static atomic_bool standard_open;

static bool is_standard_open(void)
{
	struct pollfd fds[FIRST];

	for (int i = 0; i < FIRST; i++)
		fds[i] = (struct pollfd){.fd = i};
	bool open = poll(fds, FIRST, 0) >= 0;
	for (int i = 0; i < FIRST; i++)
		open = open && !(fds[i].revents & POLLNVAL);
	atomic_store_explicit(&standard_open, open, memory_order_relaxed);
	return open;
}

/* The descriptor that a call makes. Where a number below FIRST is free it is held meanwhile: another thread may write
 * there at any time, and must not be heard by whoever has the other end. */
#define MADE(open, call) \
	({ \
		bool made_open = (open), made_blocked[FIRST]; \
		if (!made_open) \
			own_standard_block(made_blocked); \
		__typeof__(call) made = (call); \
		if (!made_open) \
			own_standard_unblock(made_blocked); \
		made; \
	})
#define MADE_OWN(call) own_lift((int)MADE(is_standard_open(), call))

int own_copy(int fd)
{
	int copy = (int)SYS("fcntl", fcntl(fd, F_DUPFD_CLOEXEC, FIRST));

	/* The limit on descriptors is no higher than the first of ours. */
	return copy == -EINVAL ? -EMFILE : copy;
}

int own_lift(int fd)
{
	if (fd < 0 || fd >= FIRST)
		return fd;
	int copy = own_copy(fd);

	close(fd);
	return copy;
}

static int lift_two(int error, int fds[2])
{
	if (error)
		return error;
	fds[0] = own_lift(fds[0]);
	fds[1] = own_lift(fds[1]);
	if (fds[0] >= 0 && fds[1] >= 0)
		return 0;
	error = fds[0] < 0 ? fds[0] : fds[1];
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return error;
}

int own_open(const char *path, int flags, mode_t mode)
{
	return MADE_OWN(SYS("open", open(path, flags | O_CLOEXEC, mode)));
}

DIR *own_opendir(const char *path, int *ret_error)
{
	int error = fault("opendir");
	int fd = error ? error : own_open(path, O_RDONLY | O_DIRECTORY, 0);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);

	*ret_error = fd < 0 ? fd : directory ? 0 : -errno;
	if (fd >= 0 && !directory)
		close(fd);
	return directory;
}

int own_eventfd(unsigned count, int flags)
{
	return MADE_OWN(SYS("eventfd", eventfd(count, flags | EFD_CLOEXEC)));
}

int own_epoll(void)
{
	return MADE_OWN(SYS("epoll_create1", epoll_create1(EPOLL_CLOEXEC)));
}

int own_timerfd(int flags)
{
	return MADE_OWN(SYS("timerfd_create", timerfd_create(CLOCK_MONOTONIC, flags | TFD_CLOEXEC)));
}

int own_signalfd(const sigset_t *signals)
{
	return MADE_OWN(SYS("signalfd", signalfd(-1, signals, SFD_CLOEXEC)));
}

int own_pidfd(pid_t pid, const char *fault_name)
{
	return MADE_OWN(SYS(fault_name, syscall(SYS_pidfd_open, pid, 0)));
}

int own_socket(int domain, int type, int protocol)
{
	return MADE_OWN(SYS("socket", socket(domain, type | SOCK_CLOEXEC, protocol)));
}

int own_accept(int fd, struct sockaddr *address, socklen_t *size)
{
	return own_lift((int)MADE(atomic_load_explicit(&standard_open, memory_order_relaxed),
				  SYS("accept4", accept4(fd, address, size, SOCK_NONBLOCK | SOCK_CLOEXEC))));
}

int own_socketpair(int type, int ret_fds[2])
{
	int error = (int)MADE(is_standard_open(),
			      SYS("socketpair", socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret_fds)));

	return lift_two(error, ret_fds);
}

int own_pipe(int ret_fds[2])
{
	return lift_two((int)MADE(is_standard_open(), SYS("pipe2", pipe2(ret_fds, O_CLOEXEC))), ret_fds);
}

/* With O_PATH a descriptor takes the number, and reading and writing it fails as if it were closed. */
void own_standard_block(bool ret_blocked[3])
{
	int fd;

	for (int i = 0; i < FIRST; i++)
		ret_blocked[i] = false;
	while ((fd = open("/", O_PATH | O_CLOEXEC)) >= 0 && fd < FIRST)
		ret_blocked[fd] = true;
	if (fd >= FIRST)
		close(fd);
}

void own_standard_unblock(const bool blocked[3])
{
	for (int i = 0; i < FIRST; i++) {
		/* Another thread may have put something of the program's there. */
		int flags = blocked[i] ? fcntl(i, F_GETFL) : -1;

		if (flags >= 0 && flags & O_PATH)
			close(i);
	}
}
