/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. posix_spawn(3) knows how to share memory with a child safely, and tells why a program could not be run. What
 * becomes a standard descriptor is a descriptor of our own first, thus above them, so that the order in which the child
 * puts them in place does not matter.
 */
#include "io/process_start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own_fd.h"

static int take(int fd, int *ret_fd)
{
	if (fd >= 0)
		*ret_fd = fd;
	return fd < 0 ? fd : 0;
}

static int open_pipe(int which, int *ret_ours, int *ret_theirs)
{
	int ends[2], error = own_pipe(ends);

	if (error)
		return error;
	*ret_ours = ends[which == 0];
	*ret_theirs = ends[which != 0];
	return 0;
}

/* What the child shall have as `which`; theirs[which] stays -1 if that is not open here either. */
static int open_one(const struct async_process_options *options, int which, int fds[3], int theirs[3])
{
	int error;

	switch (options->stdio[which].kind) {
	case ASYNC_STDIO_INHERIT:
		error = take(own_copy(which), &theirs[which]);
		return error == -EBADF ? 0 : error;
	case ASYNC_STDIO_PIPE:
		return open_pipe(which, &fds[which], &theirs[which]);
	case ASYNC_STDIO_NULL:
		return take(own_open("/dev/null", O_RDWR, 0), &theirs[which]);
	case ASYNC_STDIO_FD:
		return take(own_copy(options->stdio[which].fd), &theirs[which]);
	case ASYNC_STDIO_STDOUT:
		if (which != 2)
			return -EINVAL;
		return theirs[1] < 0 ? 0 : take(own_copy(theirs[1]), &theirs[2]);
	default:
		return -EINVAL;
	}
}

static int set_attributes(posix_spawnattr_t *attributes, const struct async_process_options *options)
{
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	sigset_t none, defaults;

	sigemptyset(&none);
	sigemptyset(&defaults);
	/* A run ignores it, which the child would inherit. */
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setsigdefault(attributes, &defaults);
	switch (options->group) {
	case ASYNC_PROCESS_GROUP_INHERIT:
		break;
	case ASYNC_PROCESS_GROUP_SESSION:
		flags |= POSIX_SPAWN_SETSID;
		break;
	case ASYNC_PROCESS_GROUP_JOIN:
		/* To the kernel 0 is a new group. */
		if (options->group_id <= 0)
			return EINVAL;
		/* fallthrough */
	case ASYNC_PROCESS_GROUP_NEW:
		flags |= POSIX_SPAWN_SETPGROUP;
		posix_spawnattr_setpgroup(attributes,
					  options->group == ASYNC_PROCESS_GROUP_JOIN ? options->group_id : 0);
		break;
	default:
		return EINVAL;
	}
	return posix_spawnattr_setflags(attributes, flags);
}

static int set_actions(posix_spawn_file_actions_t *actions, const struct async_process_options *options,
		       const int theirs[3])
{
	int error = options->directory ? posix_spawn_file_actions_addchdir_np(actions, options->directory) : 0;

	for (int i = 0; i < 3 && !error; i++)
		if (theirs[i] >= 0)
			error = posix_spawn_file_actions_adddup2(actions, theirs[i], i);
	return error ? error : posix_spawn_file_actions_addclosefrom_np(actions, 3);
}

static int spawn(const char *file, char *const argv[], const struct async_process_options *options,
		 const int theirs[3], pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = fault("posix_spawn");

	if (error)
		return error;
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_init(&actions);
	error = set_attributes(&attributes, options);
	if (!error)
		error = set_actions(&actions, options, theirs);
	if (!error)
		error = posix_spawnp(ret_pid, file, &actions, &attributes, argv, options->env ? options->env : environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return -error;
}

int process_start(const char *file, char *const argv[], const struct async_process_options *options, int fds[3],
		  pid_t *ret_pid)
{
	int theirs[3] = {-1, -1, -1}, error = 0;

	for (int i = 0; i < 3 && !error; i++)
		error = open_one(options, i, fds, theirs);
	if (!error)
		error = spawn(file, argv, options, theirs, ret_pid);
	for (int i = 0; i < 3; i++)
		if (theirs[i] >= 0)
			close(theirs[i]);
	return error;
}
