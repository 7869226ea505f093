/* SPDX-License-Identifier: MIT */
/*
 * Child processes.
 *
 *     char *argv[] = {"sort", "-u", NULL};
 *     struct async_process_options options = ASYNC_PROCESS_OPTIONS_INIT;
 *     options.stdio[0].kind = options.stdio[1].kind = ASYNC_STDIO_PIPE;
 *     async_process *sort;
 *     int error = async_process_spawn(argv[0], argv, &options, &sort);
 *     ...
 *     int status = async_process_wait(sort);
 *     error = async_process_close(sort);
 *
 * A child is reaped when it ends, whether anybody waits or not: no zombie is left. It inherits the three standard
 * descriptors and no other, SIGPIPE as it is by default, and no blocked signals. SIGCHLD is not used; a program that
 * ignores it, or waits for children of others, takes the status away (-ECHILD).
 */
#ifndef ASYNC_PROCESS_H
#define ASYNC_PROCESS_H

#include <sys/types.h>

#include <async/base.h>

typedef struct async_process async_process;

enum async_stdio_kind {
	ASYNC_STDIO_INHERIT = 0, /* the caller's own */
	ASYNC_STDIO_PIPE,        /* a pipe to or from the caller: async_process_fd */
	ASYNC_STDIO_NULL,        /* /dev/null */
	ASYNC_STDIO_FD,          /* `fd`, which stays the caller's */
	ASYNC_STDIO_STDOUT,      /* for standard error: where standard output goes */
};

enum async_process_group {
	ASYNC_PROCESS_GROUP_INHERIT = 0, /* the caller's */
	ASYNC_PROCESS_GROUP_NEW,         /* its own, whose number is its pid */
	ASYNC_PROCESS_GROUP_JOIN,        /* `group_id`, which is > 0 */
	ASYNC_PROCESS_GROUP_SESSION,     /* its own session, without a terminal */
};

/* Zero means the default in every field. */
struct async_process_options {
	size_t size;           /* sizeof(struct async_process_options) */
	char *const *env;      /* "NAME=value" …, NULL at the end; default the caller's */
	const char *directory; /* where it runs; a relative `file` counts from there; default the caller's */
	struct {
		enum async_stdio_kind kind;
		int fd;
	} stdio[3];            /* standard input, output, error */
	enum async_process_group group;
	pid_t group_id;
	/* Nanoseconds that async_process_communicate reads on after the child's end where somebody else, a child of the
	 * child, keeps a pipe open; default ASYNC_FOREVER: until all have closed it. */
	async_time pipe_grace;
};

#define ASYNC_PROCESS_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_process_options)

ASYNC_BEGIN_DECLS

/*
 * Starts a program; `file` without a slash is looked for in PATH. Blocks the loop until the child runs it.
 * Owns: the caller closes the process with async_process_close; a loop that closes does that for those that are left.
 * Returns: 0 with the process in `*ret_process`; -ENOENT, -EACCES, -ENOEXEC and what else execve(2) says, -EAGAIN,
 * -ENOMEM, -EMFILE, -EBADF (a descriptor that is not open), -EINVAL, -EPERM (outside a loop).
 */
ASYNC_EXPORT int async_process_spawn(const char *file, char *const argv[], const struct async_process_options *options,
				     async_process **ret_process);

/* The child's number, which is its until it has ended. Returns: the number; -EINVAL (NULL). */
ASYNC_EXPORT pid_t async_process_pid(const async_process *process);

/* The caller's end of the pipe that is the child's `which` (0, 1, 2). It stays the process's, which closes it.
 * Returns: the descriptor; -EBADF (no pipe, or it was taken), -EINVAL. */
ASYNC_EXPORT int async_process_fd(const async_process *process, int which);
/* The same, and it is the caller's from here on, who closes it with async_close: that is how a child sees the end of
 * its input. Returns: as above. */
ASYNC_EXPORT int async_process_take_fd(async_process *process, int which);

/*
 * Waits until the child has ended. Any number of tasks may wait, as often as they like.
 * Suspends: unless it has ended. Cancel: at once; the child lives on.
 * Returns: the status as wait(2) gives it, for WIFEXITED, WEXITSTATUS, WTERMSIG …; -ECANCELED, -ECHILD (somebody else
 * took it), -EINVAL (NULL), -EPERM (outside a task, or another loop's).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_process_wait(async_process *process);

/* Sends a signal to the child, and never to whoever got its number after it. Returns: 0; -ESRCH (it has ended),
 * -EPERM, -EINVAL. */
ASYNC_EXPORT int async_process_kill(async_process *process, int number);

/* What async_process_communicate reads: NUL-terminated, freed by the caller with free(3). */
struct async_process_output {
	char *data;
	size_t size; /* without the NUL */
};

/*
 * Writes `input` to the child's standard input and closes that, reads what it writes until the ends, at most `limit`
 * bytes of each, and waits for the child. What is no pipe is left out; outputs may be NULL.
 * When it fails, a limit of time among the reasons, nothing is lost: another call, without input, goes on with the same
 * input and output where this one stopped.
 * Owns: `input` is copied; the pipes are closed when it succeeds. Cancel: at once; the child lives on.
 * Returns: the status as above; -EMSGSIZE (more than `limit`; another call may have a higher one), -EALREADY (input
 * again), -EBUSY (another task is at it), -ENOMEM, -ECANCELED, -EINVAL, -EPERM, and what reading and writing say; a
 * child that does not read its input is no error.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_process_communicate(async_process *process, const void *input, size_t size,
							    size_t limit, struct async_process_output *ret_output,
							    struct async_process_output *ret_errors);

/*
 * Kills a child that has not ended, waits until it has, closes the pipes and frees; NULL is nothing to do. No task may
 * wait for it.
 * Suspends: until it is reaped. Cancel: all of that happens, and the cancellation comes from the next call that
 * suspends.
 * Returns: 0; -EPERM (outside a task, another loop's, or it may not be killed and lives: nothing was done).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_process_close(async_process *process);

ASYNC_END_DECLS

#endif
