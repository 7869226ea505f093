/* SPDX-License-Identifier: MIT */
/*
 * The chart in a terminal. A column stands for a while in which a lane may have done several things: what it shows is
 * whether it ran all the time, some of the time or just a moment, and if not, what it rather did.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "output.h"
#include "timeline.h"

#define WIDTH_DEFAULT 80
#define WIDTH_MAX 200
#define WIDTH_MIN 40
#define NAME_WIDTH_MAX 20
#define RAN_WIDTH 11
#define LANES_MAX 32
/* A mark on the axis for so many columns. */
#define COLUMNS_PER_MARK 12

enum cell { CELL_NOTHING, CELL_RUNS, CELL_TURNS, CELL_MOMENT, CELL_READY, CELL_PARKED, CELL_COUNT };

static const struct {
	const char *text, *plain, *colour, *meaning;
} cells[CELL_COUNT] = {
	[CELL_NOTHING] = {" ", " ", "", NULL},
	[CELL_RUNS] = {"█", "#", "\033[32m", "runs"},
	[CELL_TURNS] = {"▓", "%", "\033[32m", "runs in turns"},
	[CELL_MOMENT] = {"┃", "|", "\033[32m", "runs a moment"},
	[CELL_READY] = {"░", ":", "\033[33m", "ready, waits for its turn"},
	[CELL_PARKED] = {"─", "-", "\033[2m", "parked"},
};

struct drawing {
	const struct timeline *timeline;
	bool on_stderr, colour, unicode;
	size_t names, columns;
	async_time length;
	char line[8192];
	size_t used;
};

static void put(struct drawing *drawing, const char *text)
{
	size_t length = strlen(text);

	if (drawing->used + length < sizeof(drawing->line)) {
		memcpy(drawing->line + drawing->used, text, length + 1);
		drawing->used += length;
	}
}

static void end_line(struct drawing *drawing)
{
	while (drawing->used && drawing->line[drawing->used - 1] == ' ')
		drawing->line[--drawing->used] = '\0';
	if (drawing->on_stderr) {
		note_line("%s", drawing->line);
	} else {
		output_printf("%s", drawing->line);
		output_printf("\n");
	}
	drawing->used = 0;
	drawing->line[0] = '\0';
}

static bool speaks_utf8(void)
{
	static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *value = getenv(variables[i]);

		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

static size_t terminal_width(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize window;
	size_t width = columns ? strtoul(columns, NULL, 10) : 0;

	if (!width && ioctl(fd, TIOCGWINSZ, &window) == 0)
		width = window.ws_col;
	if (!width)
		width = WIDTH_DEFAULT;
	return width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : width;
}

/* `least`: of whose time not all is told, like a loop's while its tasks run. */
static enum cell cell_of(struct shares shares, async_time least)
{
	async_time total = shares.running + shares.ready + shares.parked;

	if (!total)
		return CELL_NOTHING;
	if (total < least)
		total = least;
	if (shares.running * 4 >= total * 3)
		return CELL_RUNS;
	if (shares.running * 20 >= total)
		return CELL_TURNS;
	if (shares.running)
		return CELL_MOMENT;
	return shares.ready > shares.parked ? CELL_READY : CELL_PARKED;
}

static async_time moment(const struct drawing *drawing, size_t column)
{
	return drawing->timeline->origin +
	       (async_time)((double)drawing->length * (double)column / (double)drawing->columns);
}

static void draw_cell(struct drawing *drawing, enum cell cell, enum cell *last)
{
	if (drawing->colour && cell != *last) {
		put(drawing, "\033[0m");
		put(drawing, cells[cell].colour);
	}
	*last = cell;
	put(drawing, drawing->unicode ? cells[cell].text : cells[cell].plain);
}

/* The columns that a name takes: its characters, for all that is not of double width. */
static size_t columns_of(const char *text)
{
	size_t columns = 0;

	for (; *text; text++)
		columns += ((unsigned char)*text & 0xc0) != 0x80;
	return columns;
}

/* Cut at a character, padded, and without what a terminal might obey. */
static void put_name(struct drawing *drawing, const char *name)
{
	size_t columns = 0;

	for (const char *p = name; *p; p++) {
		char one[2] = {(unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p, '\0'};

		columns += ((unsigned char)*p & 0xc0) != 0x80;
		if (columns > drawing->names)
			break;
		put(drawing, one);
	}
	for (columns = columns_of(name); columns < drawing->names; columns++)
		put(drawing, " ");
	put(drawing, " ");
}

static void draw_axis(struct drawing *drawing)
{
	async_time step = timeline_step(drawing->length, drawing->columns / COLUMNS_PER_MARK);
	size_t at = 0;
	char text[32];

	put_name(drawing, "");
	for (async_time time = 0; time <= drawing->length; time += step) {
		size_t column = (size_t)((double)time / (double)drawing->length * (double)drawing->columns);
		const char *mark = timeline_format(time, step, text, sizeof(text));

		if (column + strlen(mark) + 1 > drawing->columns)
			break;
		for (; at < column; at++)
			put(drawing, " ");
		put(drawing, drawing->unicode ? "╷" : "|");
		put(drawing, mark);
		at += 1 + strlen(mark);
	}
	for (; at < drawing->columns; at++)
		put(drawing, " ");
	snprintf(text, sizeof(text), "%*s", RAN_WIDTH, "ran");
	put(drawing, text);
	end_line(drawing);
}

static void draw_lane(struct drawing *drawing, const struct lane *lane, bool *used)
{
	enum cell last = CELL_NOTHING;
	size_t cursor = 0;
	char ran[40];

	put_name(drawing, lane->name);
	for (size_t column = 0; column < drawing->columns; column++) {
		async_time begin = moment(drawing, column), end = moment(drawing, column + 1);
		enum cell cell = cell_of(timeline_shares(lane, begin, end, &cursor),
					 lane->kind == ASYNC_TRACE_TASK ? 0 : end - begin);

		used[cell] = true;
		draw_cell(drawing, cell, &last);
	}
	if (drawing->colour)
		put(drawing, "\033[0m");
	snprintf(ran, sizeof(ran), "%*.6f s", RAN_WIDTH - 2, (double)lane->ran / (double)ASYNC_S);
	put(drawing, ran);
	end_line(drawing);
}

static void draw_legend(struct drawing *drawing, const bool *used)
{
	enum cell last = CELL_NOTHING;

	for (enum cell cell = CELL_RUNS; cell < CELL_COUNT; cell++) {
		if (!used[cell])
			continue;
		draw_cell(drawing, cell, &last);
		draw_cell(drawing, CELL_NOTHING, &last);
		put(drawing, cells[cell].meaning);
		put(drawing, "   ");
	}
	end_line(drawing);
}

static void measure(struct drawing *drawing, const size_t *order, size_t count)
{
	size_t width = terminal_width(drawing->on_stderr ? STDERR_FILENO : STDOUT_FILENO);

	for (size_t i = 0; i < count && i < LANES_MAX; i++) {
		size_t columns = columns_of(drawing->timeline->lanes[order[i]].name);

		drawing->names = columns > drawing->names ? columns : drawing->names;
	}
	if (drawing->names > NAME_WIDTH_MAX)
		drawing->names = NAME_WIDTH_MAX;
	drawing->columns = width - drawing->names - 1 - RAN_WIDTH;
	drawing->length = drawing->timeline->end - drawing->timeline->origin;
	if (drawing->length < (async_time)drawing->columns)
		drawing->length = (async_time)drawing->columns;
}

void timeline_draw(const struct timeline *timeline, bool on_stderr)
{
	const char *terminal = getenv("TERM");
	struct drawing drawing = {.timeline = timeline, .on_stderr = on_stderr, .unicode = speaks_utf8()};
	size_t *order = calloc(timeline->count + 1, sizeof(*order)), count;
	bool used[CELL_COUNT] = {false};

	if (!order)
		return;
	/* Lines for standard error are kept short. */
	drawing.colour = !on_stderr && isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0 &&
			 !getenv("NO_COLOR");
	count = timeline_order(timeline, order);
	measure(&drawing, order, count);
	draw_axis(&drawing);
	for (size_t i = 0; i < count && i < LANES_MAX; i++)
		draw_lane(&drawing, &timeline->lanes[order[i]], used);
	if (count > LANES_MAX) {
		char more[60];

		snprintf(more, sizeof(more), "%s and %zu more", drawing.unicode ? "…" : "...", count - LANES_MAX);
		put(&drawing, more);
		end_line(&drawing);
	}
	draw_legend(&drawing, used);
	free(order);
}
