/* SPDX-License-Identifier: MIT */
/*
 * The chart as a picture. States differ in height as well as in colour: who runs fills the lane, who is ready half of
 * it, who is parked is a line. What is too small to be seen is drawn together with its neighbours: a block of which as
 * much is filled as they ran.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "timeline.h"

#define WIDTH 1000.0 /* of the chart */
#define NAME_LETTER 8.4
#define NAMES_MIN 60.0
#define NAMES_MAX 240.0
#define MARGIN 16.0
#define RAN_WIDTH 90.0
#define TOP 64.0
#define LANE 24.0
#define FULL 16.0
#define LANES_MAX 200
#define SMALL 0.8 /* pixels */
#define NAME_BYTES_MAX 30

struct picture {
	FILE *file;
	const struct timeline *timeline;
	async_time length;
	double left; /* where the chart begins */
};

static const char style[] =
	"svg{color-scheme:light dark;background:#fff;font:13px system-ui,sans-serif}"
	"text{fill:#222}.small{font-size:11px;fill:#666}.title{font-size:15px;font-weight:600}"
	".grid{stroke:#e4e4e4}.run{fill:#1a7f4b}.ready{fill:#e0a000}.park{fill:#9aa4b2}.lane:hover{fill:#0001}"
	".lane{fill:transparent}rect.run:hover,rect.ready:hover,rect.park:hover{stroke:#000;stroke-width:1}"
	"@media (prefers-color-scheme:dark){svg{background:#16181d}text{fill:#e6e6e6}.small{fill:#9a9fa8}"
	".grid{stroke:#2b2f37}.run{fill:#3fc380}.ready{fill:#d99a1c}.park{fill:#5c6675}.lane:hover{fill:#fff1}"
	"rect.run:hover,rect.ready:hover,rect.park:hover{stroke:#fff}}";

static void put_escaped(FILE *file, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("&lt;", file);
		else if (*text == '&')
			fputs("&amp;", file);
		else if (*text == '"')
			fputs("&quot;", file);
		else
			fputc((unsigned char)*text < 0x20 ? '?' : *text, file);
	}
}

static double place(const struct picture *picture, async_time time)
{
	return picture->left + WIDTH * (double)(time - picture->timeline->origin) / (double)picture->length;
}

static const char *duration(async_time time, char *buffer, size_t size)
{
	if (time >= ASYNC_S)
		snprintf(buffer, size, "%.3f s", (double)time / (double)ASYNC_S);
	else if (time >= ASYNC_MS)
		snprintf(buffer, size, "%.3f ms", (double)time / (double)ASYNC_MS);
	else
		snprintf(buffer, size, "%.3f us", (double)time / (double)ASYNC_US);
	return buffer;
}

static void put_title(struct picture *picture, const char *what, const char *name, async_time begin, async_time end)
{
	char at[40], length[40];

	fputs("<title>", picture->file);
	put_escaped(picture->file, what);
	if (name)
		put_escaped(picture->file, name);
	fprintf(picture->file, " for %s, from %s on</title></rect>\n", duration(end - begin, length, sizeof(length)),
		duration(begin - picture->timeline->origin, at, sizeof(at)));
}

static void put_rect(struct picture *picture, const char *class, double left, double width, double top, double height)
{
	fprintf(picture->file, "<rect class=\"%s\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\">", class, left,
		top, width, height);
}

static void put_span(struct picture *picture, const struct span *span, double top)
{
	double left = place(picture, span->begin), width = place(picture, span->end) - left;

	switch (span->state) {
	case ASYNC_TRACE_READY:
		put_rect(picture, "ready", left, width, top + FULL / 2, FULL / 2);
		put_title(picture, "ready, waits for its turn", NULL, span->begin, span->end);
		break;
	case ASYNC_TRACE_PARKED:
		put_rect(picture, "park", left, width, top + FULL - 3, 3);
		put_title(picture, span->name ? "waits for " : "parked", span->name, span->begin, span->end);
		break;
	default:
		put_rect(picture, "run", left, width, top, FULL);
		put_title(picture, span->state == ASYNC_TRACE_CALLBACK ? "runs a callback" : "runs ", span->name,
			  span->begin, span->end);
	}
}

/* Spans [first, last) in one block: what they rather did, filled from the left as far as they ran. */
static void put_block(struct picture *picture, const struct lane *lane, size_t first, size_t last, double top)
{
	async_time begin = lane->spans[first].begin, end = lane->spans[last - 1].end;
	size_t cursor = first;
	struct shares shares = timeline_shares(lane, begin, end, &cursor);
	double left = place(picture, begin), width = place(picture, end) - left;
	async_time total = shares.running + shares.ready + shares.parked;
	double ran = total ? width * (double)shares.running / (double)total : 0;
	char what[80];

	width = width < SMALL ? SMALL : width;
	/* A moment on the processor can be seen however short it was. */
	ran = shares.running && ran < SMALL / 2 ? SMALL / 2 : ran;
	snprintf(what, sizeof(what), "%zu spans, runs %.0f %% of the time,", last - first,
		 total ? 100.0 * (double)shares.running / (double)total : 0.0);
	bool ready = shares.ready > shares.parked;
	double height = ready ? FULL / 2 : 3;
	put_rect(picture, ready ? "ready" : "park", left, width, top + FULL - height, height);
	put_title(picture, what, NULL, begin, end);
	if (shares.running) {
		put_rect(picture, "run", left, ran, top, FULL);
		put_title(picture, what, NULL, begin, end);
	}
}

static bool is_small(const struct picture *picture, const struct span *span)
{
	return place(picture, span->end) - place(picture, span->begin) < SMALL;
}

static void put_spans(struct picture *picture, const struct lane *lane, double top)
{
	for (size_t i = 0; i < lane->count;) {
		size_t last = i;

		/* What small ones have between them is no gap. */
		while (last < lane->count && is_small(picture, &lane->spans[last]) &&
		       place(picture, lane->spans[last].end) - place(picture, lane->spans[i].begin) < 2 * SMALL)
			last++;
		if (last > i) {
			put_block(picture, lane, i, last, top);
			i = last;
		} else {
			put_span(picture, &lane->spans[i++], top);
		}
	}
}

static void put_text(struct picture *picture, double x, double y, const char *class, const char *anchor,
		     const char *text)
{
	fprintf(picture->file, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y, class, anchor);
	put_escaped(picture->file, text);
	fputs("</text>\n", picture->file);
}

static void put_axis(struct picture *picture, double bottom)
{
	async_time step = timeline_step(picture->length, 10);
	char text[32];

	for (async_time time = 0; time <= picture->length; time += step) {
		double x = place(picture, picture->timeline->origin + time);

		fprintf(picture->file, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x,
			TOP - 6, x, bottom);
		put_text(picture, x, TOP - 10, "small", "middle", timeline_format(time, step, text, sizeof(text)));
	}
	put_text(picture, picture->left + WIDTH + RAN_WIDTH, TOP - 10, "small", "end", "ran");
}

static void put_lane(struct picture *picture, const struct lane *lane, double top)
{
	char text[NAME_BYTES_MAX + 8], ran[40];
	int cut = (int)strlen(lane->name);

	if (cut > NAME_BYTES_MAX) {
		/* Not in the middle of a character. */
		for (cut = NAME_BYTES_MAX; cut > 0 && ((unsigned char)lane->name[cut] & 0xc0) == 0x80; cut--)
			;
	}
	snprintf(text, sizeof(text), "%.*s%s", cut, lane->name, lane->name[cut] ? "…" : "");
	fprintf(picture->file, "<g><rect class=\"lane\" x=\"0\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
		top - (LANE - FULL) / 2, picture->left + WIDTH + RAN_WIDTH + MARGIN, LANE);
	put_text(picture, picture->left - 10, top + FULL - 4, "name", "end", text);
	put_spans(picture, lane, top);
	put_text(picture, picture->left + WIDTH + RAN_WIDTH, top + FULL - 4, "small", "end",
		 duration(lane->ran, ran, sizeof(ran)));
	fputs("</g>\n", picture->file);
}

static void put_legend(struct picture *picture, double top)
{
	static const struct {
		const char *class, *text;
		double height;
	} entries[] = {{"run", "runs", FULL}, {"ready", "ready, waits for its turn", FULL / 2}, {"park", "parked", 3}};
	double x = picture->left;

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		put_rect(picture, entries[i].class, x, 22, top + FULL - entries[i].height, entries[i].height);
		fputs("</rect>", picture->file);
		put_text(picture, x + 30, top + FULL - 4, "name", "start", entries[i].text);
		x += 60 + NAME_LETTER * (double)strlen(entries[i].text);
	}
}

static void put_picture(struct picture *picture, const char *title, const size_t *order, size_t count)
{
	size_t shown = count < LANES_MAX ? count : LANES_MAX;
	double bottom = TOP + LANE * (double)shown;
	double width = picture->left + WIDTH + RAN_WIDTH + MARGIN, height = bottom + 50;
	char more[60];

	fprintf(picture->file,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\">\n"
		"<style>%s</style>\n",
		width, height, width, height, style);
	put_text(picture, MARGIN, 26, "title", "start", title);
	put_axis(picture, bottom);
	for (size_t i = 0; i < shown; i++)
		put_lane(picture, &picture->timeline->lanes[order[i]], TOP + LANE * (double)i + (LANE - FULL) / 2);
	if (count > shown) {
		snprintf(more, sizeof(more), "… and %zu more", count - shown);
		put_text(picture, MARGIN, bottom + 14, "small", "start", more);
	}
	put_legend(picture, bottom + 20);
	fputs("</svg>\n", picture->file);
}

static double width_of_names(const struct timeline *timeline, const size_t *order, size_t count)
{
	double width = NAMES_MIN;

	for (size_t i = 0; i < count && i < LANES_MAX; i++) {
		double own = NAME_LETTER * (double)strlen(timeline->lanes[order[i]].name);

		width = own > width ? own : width;
	}
	return MARGIN + 10 + (width < NAMES_MAX ? width : NAMES_MAX);
}

int timeline_write_svg(const struct timeline *timeline, const char *title, int fd)
{
	struct picture picture = {.timeline = timeline, .length = timeline->end - timeline->origin};
	size_t *order = calloc(timeline->count + 1, sizeof(*order)), count;
	int error = 0;

	picture.file = order ? fdopen(fd, "w") : NULL;
	if (!picture.file) {
		free(order);
		close(fd);
		return -ENOMEM;
	}
	if (picture.length < 1)
		picture.length = 1;
	count = timeline_order(timeline, order);
	picture.left = width_of_names(timeline, order, count);
	put_picture(&picture, title, order, count);
	free(order);
	if (ferror(picture.file))
		error = -EIO;
	if (fclose(picture.file) && !error)
		error = -errno;
	return error;
}
