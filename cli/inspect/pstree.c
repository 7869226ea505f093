/* SPDX-License-Identifier: MIT */
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <async.h>

#include "command.h"
#include "inspect/graph.h"
#include "inspect/show.h"
#include "options.h"

/* Deeper than this, lines would be longer than anybody's screen. */
#define DEPTH_MAX 50
#define PIECE 16

static struct pstree_settings {
	bool stacks;
	bool json;
} settings;

static const struct option options[] = {
	{.name = "stacks",
	 .parse = option_flag,
	 .offset = offsetof(struct pstree_settings, stacks),
	 .help = "the C call stack of each task too"},
	{.name = "json",
	 .parse = option_flag,
	 .offset = offsetof(struct pstree_settings, json),
	 .help = "one JSON object"},
	{.name = NULL},
};

/* What lines are drawn with. */
static const struct lines {
	const char *branch, *last, *pass, *blank, *arrow, *more;
} ascii = {"|-- ", "`-- ", "|   ", "    ", "->", "..."},
  utf8 = {"├── ", "└── ", "│   ", "    ", "→", "…"};

struct tree {
	const struct view *view;
	const struct graph *graph;
	const struct lines *lines;
	bool *shown;
	uint32_t *pending; /* see hide_below */
	char indent[(DEPTH_MAX + 2) * PIECE];
	unsigned depth;
};

static void show_node(struct tree *tree, uint32_t index, const char *lead, const char *below);

static void show_child(struct tree *tree, uint32_t index, bool last)
{
	show_node(tree, index, last ? tree->lines->last : tree->lines->branch,
		  last ? tree->lines->blank : tree->lines->pass);
}

static void push(struct tree *tree, const char *piece)
{
	size_t used = strlen(tree->indent);

	snprintf(tree->indent + used, sizeof(tree->indent) - used, "%s", piece);
	tree->depth++;
}

static void pop(struct tree *tree, size_t length)
{
	tree->indent[length] = '\0';
	tree->depth--;
}

/* A branch of its own for what stands between a task and several others. */
static void show_via(struct tree *tree, const struct edge *edges, size_t count, bool last)
{
	size_t length = strlen(tree->indent);

	output_printf("%s%s%s 0x%llx\n", tree->indent, last ? tree->lines->last : tree->lines->branch, edges[0].via,
		      (unsigned long long)edges[0].via_object);
	push(tree, last ? tree->lines->blank : tree->lines->pass);
	for (size_t i = 0; i < count; i++)
		show_child(tree, edges[i].to, i + 1 == count);
	pop(tree, length);
}

/* The edges of a task that are branches, at the beginning of what is left: how many belong together. */
static size_t run_of(const struct edge *edges, size_t count)
{
	size_t n = 1;

	while (n < count && !edges[n].lock && *edges[0].via && edges[n].via_object == edges[0].via_object)
		n++;
	return n;
}

static void show_branches(struct tree *tree, uint32_t index)
{
	const struct graph *graph = tree->graph;
	const struct edge *edges = graph->edges + graph->first[index];
	size_t count = graph->first[index + 1] - graph->first[index];

	/* Who holds a lock does not belong to those who want it. */
	while (count > 0 && edges[count - 1].lock)
		count--;
	for (size_t i = 0; i < count;) {
		size_t n = run_of(edges + i, count - i);

		if (*edges[i].via)
			show_via(tree, edges + i, n, i + n == count);
		else if (!edges[i].lock)
			show_child(tree, edges[i].to, i + n == count);
		i += n;
	}
}

/* Counts what hangs below a task that is too deep to show its branches, which then is no root of its own. */
static void hide_below(struct tree *tree, uint32_t index)
{
	const struct graph *graph = tree->graph;
	size_t pending = 0, hidden = 0;

	tree->pending[pending++] = index;
	while (pending > 0) {
		uint32_t task = tree->pending[--pending];

		for (size_t i = graph->first[task]; i < graph->first[task + 1]; i++) {
			uint32_t to = graph->edges[i].to;

			if (graph->edges[i].lock || tree->shown[to])
				continue;
			tree->shown[to] = true;
			tree->pending[pending++] = to;
			hidden++;
		}
	}
	if (hidden > 0)
		output_printf("%s%s%s %zu deeper; 'asyncctl ps' lists them\n", tree->indent, tree->lines->last,
			      tree->lines->more, hidden);
}

/* `lead` is what stands before it, `below` what stands there in the lines below. */
static void show_node(struct tree *tree, uint32_t index, const char *lead, const char *below)
{
	const struct task_view *task = &tree->view->snapshot.tasks[index];
	char name[ASYNC_TASK_NAME_MAX], wait[WAIT_TEXT_MAX];
	size_t length = strlen(tree->indent);
	bool again = tree->shown[index];

	output_printf("%s%s%s (%llu) %s: %s%s\n", tree->indent, lead,
		      task_view_name(task, name, sizeof(name)), (unsigned long long)task->id, describe_state(task),
		      show_wait(tree->view, task, wait, sizeof(wait)), again ? " (see above)" : "");
	if (again)
		return;
	tree->shown[index] = true;
	push(tree, below);
	if (tree->view->stacks)
		show_frames(tree->view, task, tree->indent);
	if (tree->depth < DEPTH_MAX)
		show_branches(tree, index);
	else
		hide_below(tree, index);
	pop(tree, length);
}

static void show_deadlock(const uint32_t *tasks, size_t count, void *arg)
{
	const struct tree *tree = arg;
	char name[ASYNC_TASK_NAME_MAX];

	output_printf("deadlock: ");
	for (size_t i = 0; i <= count; i++) {
		const struct task_view *task = &tree->view->snapshot.tasks[tasks[i % count]];

		output_printf("%s (%llu)", task_view_name(task, name, sizeof(name)), (unsigned long long)task->id);
		if (i < count)
			output_printf(" %s ", tree->lines->arrow);
	}
	output_printf("\n");
}

/* Roots are tasks that nobody waits for; and of those that wait for one another in a circle, the oldest. */
static void show_roots(struct tree *tree, const struct loop_view *loop, bool circles)
{
	for (size_t i = loop->first; i < loop->first + loop->count; i++)
		if (!tree->shown[i] && (circles || !tree->graph->awaited[i]))
			show_node(tree, (uint32_t)i, "", "");
}

static bool show_trees(struct view *view, const struct graph *graph)
{
	struct tree tree = {.view = view, .graph = graph};

	setlocale(LC_CTYPE, "");
	tree.lines = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? &utf8 : &ascii;
	tree.shown = calloc(view->snapshot.tasks_count + 1, sizeof(bool));
	tree.pending = calloc(view->snapshot.tasks_count + 1, sizeof(uint32_t));
	if (!tree.shown || !tree.pending) {
		free(tree.shown);
		free(tree.pending);
		complain_line("not enough memory for the tasks of process %d", view->target.pid);
		return false;
	}
	if (view->snapshot.loops_count == 0)
		output_printf("process %d has no loop now\n", view->target.pid);
	for (size_t i = 0; i < view->snapshot.loops_count; i++) {
		show_loop(view, view->snapshot.loops[i]);
		show_roots(&tree, view->snapshot.loops[i], false);
		show_roots(&tree, view->snapshot.loops[i], true);
	}
	graph_deadlocks(graph, show_deadlock, &tree);
	free(tree.shown);
	free(tree.pending);
	return true;
}

static void json_awaits(struct view *view, const struct task_view *task, void *arg)
{
	const struct graph *graph = arg;
	size_t index = (size_t)(task - view->snapshot.tasks);

	json_name(&view->json, "awaits");
	json_open(&view->json, '[');
	for (size_t i = graph->first[index]; i < graph->first[index + 1]; i++) {
		const struct edge *edge = &graph->edges[i];

		json_open(&view->json, '{');
		json_name(&view->json, "task");
		json_uint(&view->json, view->snapshot.tasks[edge->to].id);
		if (*edge->via || edge->lock) {
			json_name(&view->json, "via");
			json_string(&view->json, edge->lock ? "lock" : edge->via);
		}
		json_close(&view->json, '}');
	}
	json_close(&view->json, ']');
}

static void json_deadlock(const uint32_t *tasks, size_t count, void *arg)
{
	struct view *view = arg;

	json_open(&view->json, '[');
	for (size_t i = 0; i < count; i++)
		json_uint(&view->json, view->snapshot.tasks[tasks[i]].id);
	json_close(&view->json, ']');
}

static void show_json(struct view *view, struct graph *graph)
{
	json_begin(view);
	json_loops(view, json_awaits, graph);
	json_name(&view->json, "deadlocks");
	json_open(&view->json, '[');
	graph_deadlocks(graph, json_deadlock, view);
	json_close(&view->json, ']');
	json_end(view);
}

static int execute(int argc, char **argv)
{
	struct view view;
	struct graph graph = {0};
	int status = view_open(&view, argc, argv, "pstree", settings.stacks);

	if (status != STATUS_DONE)
		return status;
	bool done = graph_make(&graph, &view.snapshot);
	if (done && settings.json)
		show_json(&view, &graph);
	else if (done)
		done = show_trees(&view, &graph);
	output_flush();
	show_torn(&view);
	graph_free(&graph);
	view_close(&view);
	return output_finish() && done ? STATUS_DONE : STATUS_FAILED;
}

static void describe(void)
{
	output_printf("\n"
		      "Below each task is what it awaits: a task, or a group or gathering of several. Tasks that\n"
		      "wait for one another in a circle, for results or for locks, are named as a deadlock.\n");
}

const struct command pstree_command = {
	.name = "pstree",
	.arguments = "PID",
	.summary = "show who awaits whom in a running program, and deadlocks",
	.describe = describe,
	.options = options,
	.settings = &settings,
	.execute = execute,
};
