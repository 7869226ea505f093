/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "output.h"
#include "scenario/scenario.h"
#include "timeline.h"

/* 32 MiB, of which only what is recorded takes memory. */
#define EVENTS ((size_t)1 << 20)
/* Lanes of a run without a loop. */
#define ITEMS_MAX 1000

static struct timeline timeline;
static async_time item_began;
static int trace_fd = -1, picture_fd = -1;

static bool wanted(const struct run *run)
{
	return run->settings->trace || run->settings->timeline;
}

/* A FIFO that nobody reads is refused, not waited for. What is in a file stays until there is something to write. */
static int open_file(const char *option, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0666);

	if (fd >= 0)
		fcntl(fd, F_SETFL, O_WRONLY);
	else
		complain_line("--%s: cannot write '%s': %s", option, path,
			      errno == ENXIO ? "nobody reads it" : strerror(errno));
	return fd;
}

static bool is_same_file(int a, int b)
{
	struct stat one, other;

	return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
	       one.st_ino == other.st_ino && !S_ISCHR(one.st_mode);
}

bool watch_open(const struct run *run)
{
	const struct run_settings *given = run->settings;

	if (given->trace && (trace_fd = open_file("trace", given->trace)) < 0)
		return false;
	if (!given->timeline || !*given->timeline)
		return true;
	picture_fd = open_file("timeline", given->timeline);
	if (picture_fd < 0)
		return false;
	if (trace_fd < 0 || !is_same_file(trace_fd, picture_fd))
		return true;
	complain_line("--timeline: '%s' is the file of --trace, too; expected another one", given->timeline);
	return false;
}

bool watch_begin(struct run *run)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;
	char name[80];
	int error;

	if (!wanted(run))
		return true;
	timeline.origin = timeline.end = run->started;
	if (run->settings->mode == MODE_SYNC) {
		for (size_t i = 0; i < run->count && i < ITEMS_MAX; i++)
			timeline_lane(&timeline, i, ASYNC_TRACE_TASK,
				      run->scenario->name_item(run, i, name, sizeof(name)));
		return true;
	}
	options.events = EVENTS;
	error = async_trace_start(&options);
	/* ASYNC_TRACE has started one. */
	if (error == 0 || error == -EBUSY)
		return true;
	complain_line("cannot trace: %s", strerror(-error));
	return false;
}

static async_time now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (async_time)time.tv_sec * ASYNC_S + time.tv_nsec;
}

void watch_item(struct run *run, size_t index, bool begins)
{
	if (!wanted(run))
		return;
	if (begins) {
		item_began = now();
		timeline_add_span(&timeline, index, ASYNC_TRACE_READY, run->started, item_began);
	} else {
		timeline_add_span(&timeline, index, ASYNC_TRACE_RUNNING, item_began, now());
	}
}

/* What was there goes. A pipe or a device has nothing to cut. */
static int clear_file(int fd)
{
	return ftruncate(fd, 0) < 0 && errno != EINVAL ? -errno : 0;
}

static bool write_trace(const char *path)
{
	int error = clear_file(trace_fd);

	if (error == 0)
		error = async_trace_write(trace_fd);
	if (close(trace_fd) < 0 && error == 0)
		error = -errno;
	if (error == 0)
		return true;
	complain_line("--trace: cannot write '%s': %s", path, strerror(-error));
	return false;
}

static bool show(struct run *run)
{
	const char *path = run->settings->timeline;
	char title[200];
	int error;

	if (timeline.lost)
		note_line("timeline: %llu earlier events were overwritten; their time is empty",
			  (unsigned long long)timeline.lost);
	if (timeline.no_memory)
		note_line("timeline: out of memory; not everything is shown");
	if (run->settings->mode == MODE_PROCS)
		note_line("timeline: what runs in the worker processes is not shown");
	if (!*path) {
		timeline_draw(&timeline, run->settings->json);
		return true;
	}
	snprintf(title, sizeof(title), "%s, mode %s", run->scenario->name, mode_names[run->settings->mode]);
	error = clear_file(picture_fd);
	if (error == 0)
		error = timeline_write_svg(&timeline, title, picture_fd);
	if (error == 0)
		return true;
	complain_line("--timeline: cannot write '%s': %s", path, strerror(-error));
	return false;
}

bool watch_end(struct run *run)
{
	bool done = true;

	if (!wanted(run))
		return true;
	if (run->settings->mode != MODE_SYNC) {
		async_trace_stop();
		if (run->settings->timeline)
			timeline_collect(&timeline, run->started);
	}
	if (run->settings->trace)
		done = write_trace(run->settings->trace);
	if (run->settings->timeline)
		done &= show(run);
	timeline_dispose(&timeline);
	return done;
}
