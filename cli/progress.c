/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_NS 50000000
#define ROWS_MAX 16
#define NAME_WIDTH 22
#define BAR_WIDTH_MAX 50
#define PERMILLE 1000u

static struct {
	pthread_mutex_t lock;
	atomic_uint *permille; /* a word per row; NULL: nothing is shown */
	size_t rows;
	progress_name *name;
	void *arg;
	atomic_llong drawn_at;
	size_t lines; /* on the screen now */
	char text[ROWS_MAX * (NAME_WIDTH + BAR_WIDTH_MAX + 40)];
} progress = {.lock = PTHREAD_MUTEX_INITIALIZER};

void progress_open(size_t rows, progress_name *name, void *arg)
{
	const char *terminal = getenv("TERM");

	if (!rows || !isatty(STDERR_FILENO) || !terminal || strcmp(terminal, "dumb") == 0)
		return;
	progress.permille = calloc(rows, sizeof(*progress.permille));
	progress.rows = rows;
	progress.name = name;
	progress.arg = arg;
}

/* Wiping and drawing anew is one write, which does not flicker. */
static size_t wipe(char *text, size_t size)
{
	size_t lines = progress.lines;

	progress.lines = 0;
	return lines ? (size_t)snprintf(text, size, "\033[%zuA\r\033[J", lines) : 0;
}

static size_t draw_row(size_t index, unsigned permille, size_t width, char *text, size_t size)
{
	static const char hashes[BAR_WIDTH_MAX + 1] = "##################################################";
	static const char dots[BAR_WIDTH_MAX + 1] = "..................................................";
	char name[NAME_WIDTH + 1];
	size_t full = width * permille / PERMILLE;

	return (size_t)snprintf(text, size, "%*s [%.*s%.*s] %3u%%\n", NAME_WIDTH,
				progress.name(progress.arg, index, name, sizeof(name)), (int)full, hashes,
				(int)(width - full), dots, permille / (PERMILLE / 100));
}

/* What cannot be written to a terminal is not worth an error. */
static void send(const char *text, size_t size)
{
	ssize_t written = write(STDERR_FILENO, text, size);

	(void)written;
}

static void draw(void)
{
	struct winsize window;
	size_t used = wipe(progress.text, sizeof(progress.text)), height = ROWS_MAX, width = BAR_WIDTH_MAX;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col && window.ws_row) {
		size_t columns = window.ws_col > NAME_WIDTH + 10 ? window.ws_col - NAME_WIDTH - 10u : 0;

		if (columns < width)
			width = columns;
		/* A line that wraps could not be wiped. */
		if (window.ws_row <= height || !width)
			height = width ? window.ws_row - 1u : 0;
	}
	for (size_t i = 0; i < progress.rows && progress.lines < height; i++) {
		unsigned permille = atomic_load(&progress.permille[i]);

		if (permille >= PERMILLE)
			continue;
		used += draw_row(i, permille, width, progress.text + used, sizeof(progress.text) - used);
		progress.lines++;
	}
	send(progress.text, used);
}

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

void progress_update(size_t index, uint64_t done, uint64_t total)
{
	long long time;

	if (!progress.permille)
		return;
	atomic_store(&progress.permille[index],
		     done >= total ? PERMILLE : (unsigned)((double)done / (double)total * (PERMILLE - 1)));
	time = now();
	if (time - atomic_load(&progress.drawn_at) < REDRAW_NS || pthread_mutex_trylock(&progress.lock) != 0)
		return;
	atomic_store(&progress.drawn_at, time);
	draw();
	pthread_mutex_unlock(&progress.lock);
}

void progress_hide(void)
{
	if (!progress.permille)
		return;
	pthread_mutex_lock(&progress.lock);
	send(progress.text, wipe(progress.text, sizeof(progress.text)));
	pthread_mutex_unlock(&progress.lock);
}

void progress_close(void)
{
	progress_hide();
	free(progress.permille);
	progress.permille = NULL;
}
