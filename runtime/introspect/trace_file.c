/* SPDX-License-Identifier: MIT */
/* Starting and stopping, and the trace that is written by itself: at exit, on a slow task, in a crash. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/own_fd.h"
#include "base/trace.h"
#include "base/versioned.h"
#include "context/overflow.h"
#include "core/loop.h"
#include "introspect/safe_text.h"
#include "introspect/trace.h"

#define EVENTS_DEFAULT ((size_t)65536)
#define SLOW_PAUSE (10 * ASYNC_S)
#define PATH_SIZE 4096
#define CRASHES 5

static struct {
	char path[PATH_SIZE];
	pid_t owner; /* a child that was forked has nothing to write there */
	bool on_exit;
	bool at_exit; /* is registered */
	_Atomic(int64_t) slow_written;
	struct sigaction before[CRASHES];
	bool caught[CRASHES];
} file;

static const int crash_signals[CRASHES] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

static int stop_at_once(const struct async_trace_record *record, void *arg)
{
	(void)record, (void)arg;
	return 1;
}

static int check_kind(mode_t mode)
{
	return S_ISREG(mode) ? 0 : S_ISDIR(mode) ? -EISDIR : -EINVAL;
}

/* Whether the file can be written, or made, as far as can be told before there is anything to write. */
static int check_file(void)
{
	const char *slash = strrchr(file.path, '/');
	char directory[PATH_SIZE] = ".";
	struct stat stat_of_it;
	int error = (int)SYS("stat", stat(file.path, &stat_of_it));

	if (!error)
		error = check_kind(stat_of_it.st_mode);
	if (!error)
		return (int)SYS("faccessat", faccessat(AT_FDCWD, file.path, W_OK, AT_EACCESS));
	if (error != -ENOENT)
		return error;
	if (slash) {
		/* Of "/name" the slash is the directory. */
		size_t length = slash > file.path ? (size_t)(slash - file.path) : 1;

		memcpy(directory, file.path, length);
		directory[length] = '\0';
	}
	return (int)SYS("faccessat", faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS));
}

/* What the path names by now may be something else. A FIFO that nobody reads must not hold the program. */
static int open_file(void)
{
	struct stat stat_of_it;
	int fd = own_open(file.path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, 0666);
	int error = fd < 0 ? fd : (int)SYS("fstat", fstat(fd, &stat_of_it));

	if (!error)
		error = check_kind(stat_of_it.st_mode);
	if (!error)
		error = (int)SYS("ftruncate", ftruncate(fd, 0));
	if (error && fd >= 0)
		close(fd);
	return error ? error : fd;
}

/* Where there is nothing to write, the file stays as it is. */
static int write_file(bool in_signal)
{
	int fd, error;

	if (!file.path[0] || file.owner != getpid())
		return 0;
	error = trace_read(stop_at_once, NULL, in_signal);
	if (error < 0)
		return error;
	fd = open_file();
	if (fd < 0)
		return fd;
	error = trace_write_json(fd, in_signal);
	close(fd);
	return error;
}

/* One line in one call, whoever else writes. */
static void say(const char *what, const char *path, const char *why, const char *expected)
{
	const char *parts[] = {"async: ", what, path, why, expected, "\n"};
	struct iovec line[array_size(parts)];

	for (size_t i = 0; i < array_size(parts); i++)
		line[i] = (struct iovec){(char *)parts[i], strlen(parts[i])};
	ssize_t written = writev(STDERR_FILENO, line, (int)array_size(parts));
	(void)written;
}

static void write_at_exit(void)
{
	if (!file.on_exit)
		return;
	async_trace_stop();
	int error = write_file(false);
	if (error < 0 && error != -ENODATA)
		say("cannot write the trace to ", file.path, ": ", strerror(-error));
}

static void write_slow(void)
{
	int64_t now = clock_now(), last = atomic_load(&file.slow_written);

	if (now - last >= SLOW_PAUSE && atomic_compare_exchange_strong(&file.slow_written, &last, now))
		(void)write_file(false);
}

/* SA_RESETHAND: the second time, which is at once, the signal does what it would have done. */
static void on_crash(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (number == SIGSEGV)
		overflow_tell(info);
	say(write_file(true) < 0 ? "crashed; cannot write the trace to " : "crashed; the trace is in ", file.path,
	    "", "");
	raise(number);
}

/* Nobody has an interest in it but, of a SIGSEGV, the loop, which would only name whose stack overflowed. */
static bool is_free(const struct sigaction *action)
{
	return (!(action->sa_flags & SA_SIGINFO) && action->sa_handler == SIG_DFL) || overflow_handles(action);
}

static void catch_crashes(void)
{
	struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = (int)SA_RESETHAND | SA_SIGINFO | SA_ONSTACK};

	for (size_t i = 0; i < CRASHES; i++) {
		file.caught[i] = sigaction(crash_signals[i], NULL, &file.before[i]) == 0 && is_free(&file.before[i]);
		if (file.caught[i])
			sigaction(crash_signals[i], &action, NULL);
	}
}

static void forget_crashes(void)
{
	struct sigaction now;

	for (size_t i = 0; i < CRASHES; i++) {
		if (file.caught[i] && sigaction(crash_signals[i], NULL, &now) == 0 &&
		    (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_crash)
			sigaction(crash_signals[i], &file.before[i], NULL);
		file.caught[i] = false;
	}
}

/* Copies the path with the number of the process for %p. Returns 0 or -EINVAL. */
static int set_path(const char *path)
{
	struct safe_text text;

	text_init(&text, file.path, sizeof(file.path));
	for (; *path; path++) {
		char one[2] = {*path, '\0'};

		if (path[0] == '%' && path[1] == 'p') {
			text_add_number(&text, (uint64_t)getpid());
			path++;
		} else {
			text_add(&text, one);
		}
	}
	/* What does not fit was cut. */
	return text.length + 1 == text.size ? -EINVAL : 0;
}

static int check(struct async_trace_options *options)
{
	bool automatic = options->on_slow_task || options->on_crash || options->on_exit;
	size_t events = 1;

	if (options->events == 0)
		options->events = EVENTS_DEFAULT;
	if (options->events > ASYNC_TRACE_EVENTS_MAX || (automatic && (!options->path || !*options->path)))
		return -EINVAL;
	while (events < options->events)
		events *= 2;
	options->events = events;
	return options->path && strlen(options->path) >= PATH_SIZE - 32 ? -EINVAL : 0;
}

/* What the program is asked to do by itself is settled before it records. */
static int arrange(const struct async_trace_options *options)
{
	if (options->on_exit && !file.at_exit) {
		if (atexit(write_at_exit))
			return -ENOMEM;
		file.at_exit = true;
	}
	file.path[0] = '\0';
	file.owner = getpid();
	file.on_exit = options->on_exit;
	atomic_store(&file.slow_written, INT64_MIN / 2);
	if (!options->path || !*options->path)
		return 0;
	int error = set_path(options->path);
	if (!error)
		error = check_file();
	if (error)
		file.path[0] = '\0';
	return error;
}

int async_trace_start(const struct async_trace_options *given)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;
	int error = given ? versioned_copy(&options, sizeof(options), given) : 0;

	if (!error)
		error = check(&options);
	if (!error && trace_on())
		error = -EBUSY;
	if (!error)
		error = trace_read_prepare();
	if (!error)
		error = arrange(&options);
	if (!error)
		error = trace_start(options.events);
	if (error)
		return error;
	atomic_store(&trace_on_slow, options.on_slow_task ? write_slow : NULL);
	if (options.on_crash)
		catch_crashes();
	if (loop_running)
		observe_trace(loop_running);
	return 0;
}

void async_trace_stop(void)
{
	trace_stop();
	atomic_store(&trace_on_slow, NULL);
	forget_crashes();
	if (loop_running)
		observe_trace(loop_running);
}

/* Before there is a loop, so that the first one is traced from its beginning. A program that makes none has
 * nothing to write. */
static __attribute__((constructor)) void start_from_environment(void)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;

	options.path = secure_getenv("ASYNC_TRACE");
	options.on_exit = options.on_crash = true;
	int error = options.path && *options.path ? async_trace_start(&options) : 0;
	if (error == -EINVAL)
		say("ASYNC_TRACE: '", options.path, "' is refused", "; expected the name of a regular file");
	else if (error < 0)
		say("ASYNC_TRACE: '", options.path, "' cannot be written: ", strerror(-error));
}
