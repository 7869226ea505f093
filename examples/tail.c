/* SPDX-License-Identifier: MIT */
/*
 * tail -F: shows the last lines of files, then what is added to them; beside them standard input.
 *
 * DESIGN. A task follows each file, with an inotify descriptor of its own: on the file for what is written, on the
 * directory for another file of that name. The events may be old, so one of any kind is only a reason to look.
 */
#include <async.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define LAST_LINES 10
#define FILES_MAX 100 /* by default the system lets a user have 128 inotify descriptors */

struct source {
	const char *path; /* "-": standard input */
	int inotify, watch;
	int fd; /* < 0: there is no such file now */
	off_t position;
	struct stat identity;
};

static struct source sources[FILES_MAX];
static size_t n_sources;
static const struct source *shown; /* whose bytes were written last */
static struct async_lock output = ASYNC_LOCK_INIT;
static bool failed;

static int write_all(const char *data, size_t size)
{
	ssize_t written = 0;

	for (; size > 0 && (written = async_write(STDOUT_FILENO, data, size)) > 0; size -= (size_t)written)
		data += written;
	return written < 0 ? (int)written : 0;
}

/* What one task writes stays together, below the name of its source. */
static int show(const struct source *source, const char *data, size_t size)
{
	char header[PATH_MAX + 16];
	int error = async_lock_acquire(&output);

	if (error)
		return error;
	if (n_sources > 1 && shown != source) {
		snprintf(header, sizeof(header), "%s==> %s <==\n", shown ? "\n" : "", source->path);
		error = write_all(header, strlen(header));
		shown = source;
	}
	error = error ? error : write_all(data, size);
	async_lock_release(&output);
	return error;
}

/* Puts the position where the last lines begin, or 8 KiB before the end if that comes later. */
static int skip_to_last_lines(struct source *source)
{
	char buffer[8192];
	off_t size = source->identity.st_size;
	off_t start = size > (off_t)sizeof(buffer) ? size - (off_t)sizeof(buffer) : 0;
	ssize_t count = async_pread(source->fd, buffer, sizeof(buffer), start);
	ssize_t i = count - 1; /* the newline that ends the last line begins none */
	for (int lines = 0; i > 0; i--)
		if (buffer[i - 1] == '\n' && ++lines == LAST_LINES)
			break;
	source->position = start + (i > 0 ? i : 0);
	return count < 0 ? (int)count : 0;
}

static int show_new(struct source *source)
{
	char buffer[8192];
	ssize_t count;
	struct stat now;
	int error = async_fstat(source->fd, &now);

	if (error == 0 && now.st_size < source->position) {
		fprintf(stderr, "tail: %s: truncated\n", source->path);
		source->position = 0;
	}
	while (error == 0 && (count = async_pread(source->fd, buffer, sizeof(buffer), source->position)) != 0) {
		error = count < 0 ? (int)count : show(source, buffer, (size_t)count);
		source->position += count;
	}
	return error;
}

/* Opens what has the name now, if anything. The watch is on what was opened, whatever becomes of the name. */
static int open_source(struct source *source)
{
	char opened[64];
	int error = source->fd < 0 ? 0 : async_close(source->fd);

	inotify_rm_watch(source->inotify, source->watch);
	source->fd = error ? error : async_open(source->path, O_RDONLY, 0);
	source->position = 0;
	if (source->fd < 0)
		return source->fd == -ENOENT ? 0 : source->fd;
	snprintf(opened, sizeof(opened), "/proc/self/fd/%d", source->fd);
	source->watch = inotify_add_watch(source->inotify, opened, IN_MODIFY);
	return source->watch < 0 ? -errno : async_fstat(source->fd, &source->identity);
}

static int begin(struct source *source)
{
	const char *directory = dirname(strdupa(source->path));

	source->inotify = inotify_init1(IN_CLOEXEC);
	if (source->inotify < 0 || inotify_add_watch(source->inotify, directory, IN_CREATE | IN_MOVED_TO) < 0)
		return -errno;
	int error = open_source(source);
	if (error == 0 && source->fd < 0)
		fprintf(stderr, "tail: %s: does not exist yet\n", source->path);
	return error || source->fd < 0 ? error : skip_to_last_lines(source);
}

/* Returns why it cannot go on. */
static int follow(struct source *source)
{
	char events[4096];
	struct stat now;
	ssize_t result = begin(source);

	while (result >= 0) {
		result = async_stat(source->path, &now);
		bool replaced = result == 0 && (source->fd < 0 || now.st_dev != source->identity.st_dev ||
						now.st_ino != source->identity.st_ino);
		result = result == -ENOENT ? 0 : result;
		/* What had the name before is read to its end. */
		if (result == 0 && source->fd >= 0)
			result = show_new(source);
		if (result == 0 && replaced) {
			fprintf(stderr, "tail: %s: following the new file\n", source->path);
			result = open_source(source);
		} else if (result == 0) {
			result = async_read(source->inotify, events, sizeof(events));
		}
	}
	return (int)result;
}

static int copy_input(struct source *source)
{
	char buffer[8192];
	ssize_t result;

	while ((result = async_read(STDIN_FILENO, buffer, sizeof(buffer))) > 0 &&
	       (result = show(source, buffer, (size_t)result)) == 0)
		;
	return (int)result;
}

/* A task. What goes wrong with one source concerns no other, unless it is that nobody reads the output. */
static intptr_t run_source(void *arg)
{
	struct source *source = arg;
	int error = strcmp(source->path, "-") == 0 ? copy_input(source) : follow(source);

	if (error == 0 || error == -ECANCELED)
		return error;
	fprintf(stderr, "tail: %s: %s\n", source->path, strerror(-error));
	failed = true;
	return error == -EPIPE ? error : 0;
}

static void stop(void *task) { async_cancel(task, "SIGTERM"); }

static intptr_t main_task(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;
	intptr_t error = async_loop_add_signal_handler(async_get_running_loop(), SIGTERM, stop, async_current_task());

	(void)arg;
	if (error || (error = async_group_begin(&group)))
		return error;
	for (size_t i = 0; i < n_sources && error == 0; i++)
		error = async_group_spawn(&group, run_source, &sources[i], NULL);
	return async_group_end(&group, error);
}

int main(int argc, char **argv)
{
	if (argc < 2 || argc - 1 > FILES_MAX || (argv[1][0] == '-' && argv[1][1])) {
		fprintf(stderr, "usage: tail FILE...    (at most %d; - is standard input)\n", FILES_MAX);
		return 2;
	}
	for (; argv[n_sources + 1]; n_sources++)
		sources[n_sources] = (struct source){.path = argv[n_sources + 1], .inotify = -1, .fd = -1};
	intptr_t result = async_run(main_task, NULL);
	return result == -EINTR ? 130 : result < 0 || failed;
}
