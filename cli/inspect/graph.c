/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Most edges lead from a task that waits to what it waits for, through futures that stand for several others.
 * What a task waits for does not tell of the tasks of a group whose body does something else meanwhile: those are found
 * from their side, by the watcher that the group hangs into them.
 */
#include "inspect/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/children.h"
#include "output.h"

/* Gatherings of gatherings. */
#define DEPTH_MAX 16
/* Who waits for a task that a group watches, too. */
#define WATCHERS_MAX 64
#define DEADLOCKS_MAX 20

struct search {
	struct graph *graph;
	uint32_t from;
	bool firm;
	char via[48];
	uint64_t via_object;
	unsigned depth;
};

static uint32_t index_of(const struct graph *graph, const struct task_view *task)
{
	return (uint32_t)(task - graph->snapshot->tasks);
}

static struct edge *add_edge(struct graph *graph, uint32_t from, uint32_t to)
{
	if (graph->edges_count == graph->edges_capacity) {
		size_t capacity = graph->edges_capacity ? graph->edges_capacity * 2 : 256;
		struct edge *grown = realloc(graph->edges, capacity * sizeof(*grown));

		if (!grown) {
			graph->no_memory = true;
			return NULL;
		}
		graph->edges = grown;
		graph->edges_capacity = capacity;
	}
	struct edge *edge = &graph->edges[graph->edges_count++];
	*edge = (struct edge){.from = from, .to = to};
	return edge;
}

static bool follow(const struct future_view *future, void *arg)
{
	const struct search *search = arg;
	struct graph *graph = search->graph;
	const struct snapshot *snapshot = graph->snapshot;
	const struct task_view *from = &snapshot->tasks[search->from];

	if (future->task) {
		struct edge *edge = add_edge(graph, search->from, index_of(graph, future->task));

		if (!edge)
			return false;
		edge->firm = search->firm;
		memcpy(edge->via, search->via, sizeof(edge->via));
		edge->via_object = search->via_object;
	} else if (future->class->children.kind && search->depth < DEPTH_MAX) {
		struct search inner = *search;

		inner.depth++;
		inner.via_object = future->address;
		snprintf(inner.via, sizeof(inner.via), "%s", future->class->name);
		children_visit(snapshot, from->loop, future->class, future->address, follow, &inner);
	}
	return !graph->no_memory;
}

static void follow_several(struct search *search, const struct task_view *task, const char *via, bool firm)
{
	search->firm = firm;
	search->via_object = task->wait_object;
	snprintf(search->via, sizeof(search->via), "%s", via);
	children_visit(search->graph->snapshot, task->loop, task->wait, task->wait_object, follow, search);
}

static void follow_lock(struct search *search, const struct task_view *task)
{
	struct graph *graph = search->graph;
	uint64_t id = TARGET_U64(graph->snapshot->target, task->wait_object + task->wait->detail, 0);
	const struct task_view *holder = snapshot_find_id(graph->snapshot, task->loop, id);
	struct edge *edge = holder ? add_edge(graph, search->from, index_of(graph, holder)) : NULL;

	if (edge)
		edge->firm = edge->lock = true;
}

static void find_edges(struct graph *graph, const struct task_view *task)
{
	struct search search = {.graph = graph, .from = index_of(graph, task), .firm = true};
	struct future_view future;

	if (task->state != TASK_VIEW_WAITING || !task->wait)
		return;
	switch ((enum async_layout_wait)task->wait->on) {
	case ASYNC_LAYOUT_ON_FUTURE:
		if (future_view_get(graph->snapshot, task->loop, task->wait_object, &future))
			follow(&future, &search);
		break;
	case ASYNC_LAYOUT_ON_GROUP:
		follow_several(&search, task, "group", true);
		break;
	case ASYNC_LAYOUT_ON_FUTURES:
		follow_several(&search, task, "wait", false);
		break;
	case ASYNC_LAYOUT_ON_ANY:
		follow_several(&search, task, "as completed", false);
		break;
	case ASYNC_LAYOUT_ON_SELECT:
		follow_several(&search, task, "select", false);
		break;
	case ASYNC_LAYOUT_ON_LOCK:
		follow_lock(&search, task);
		break;
	default:
		break;
	}
}

/* The group that a watcher of a task belongs to; 0 if it is another's. */
static uint64_t group_of(const struct target *target, const struct async_layout *layout, uint64_t watcher)
{
	uint64_t entry = TARGET_U64(target, watcher - layout->watcher_link, layout->watcher_entry);
	uint64_t run = entry ? TARGET_U64(target, entry, layout->entry_run) : 0;

	if (!run || run != TARGET_U64(target, layout->membership, 0))
		return 0;
	return TARGET_U64(target, entry, (uint32_t)TARGET_U64(target, layout->membership, 8));
}

static void find_group(struct graph *graph, const struct task_view *task)
{
	const struct target *target = graph->snapshot->target;
	const struct async_layout *layout = task->loop->layout;
	uint64_t head = task->address + layout->future_watchers, node = TARGET_U64(target, head, layout->list_next);
	uint64_t group = 0;

	for (int i = 0; node && node != head && !group && i < WATCHERS_MAX; i++) {
		group = group_of(target, layout, node);
		node = TARGET_U64(target, node, layout->list_next);
	}
	const struct task_view *parent =
		group ? snapshot_find(graph->snapshot, TARGET_U64(target, group, layout->group_parent)) : NULL;
	struct edge *edge = parent ? add_edge(graph, index_of(graph, parent), index_of(graph, task)) : NULL;
	if (!edge)
		return;
	snprintf(edge->via, sizeof(edge->via), "group");
	edge->via_object = group;
}

/* By `from`, in the order in which they were found. */
static bool sort_edges(struct graph *graph)
{
	size_t tasks = graph->snapshot->tasks_count;
	struct edge *sorted = malloc((graph->edges_count + 1) * sizeof(*sorted));

	if (!sorted)
		return false;
	for (size_t i = 0; i < graph->edges_count; i++)
		graph->first[graph->edges[i].from + 1]++;
	for (size_t i = 0; i < tasks; i++)
		graph->first[i + 1] += graph->first[i];
	/* From the end, each takes the last free place of its task; the places move back to where they begin. */
	for (size_t i = graph->edges_count; i-- > 0;)
		sorted[--graph->first[graph->edges[i].from + 1]] = graph->edges[i];
	memmove(graph->first, graph->first + 1, tasks * sizeof(graph->first[0]));
	graph->first[tasks] = graph->edges_count;
	free(graph->edges);
	graph->edges = sorted;
	return true;
}

static void mark_awaited(struct graph *graph)
{
	for (size_t i = 0; i < graph->edges_count; i++)
		if (!graph->edges[i].lock)
			graph->awaited[graph->edges[i].to] = true;
}

bool graph_make(struct graph *graph, const struct snapshot *snapshot)
{
	size_t count = snapshot->tasks_count;

	*graph = (struct graph){.snapshot = snapshot};
	graph->first = calloc(count + 1, sizeof(*graph->first));
	graph->awaited = calloc(count + 1, sizeof(*graph->awaited));
	graph->no_memory = !graph->first || !graph->awaited;
	for (size_t i = 0; i < count && !graph->no_memory; i++)
		find_edges(graph, &snapshot->tasks[i]);
	if (!graph->no_memory)
		mark_awaited(graph);
	for (size_t i = 0; i < count && !graph->no_memory; i++)
		if (!graph->awaited[i])
			find_group(graph, &snapshot->tasks[i]);
	if (!graph->no_memory && sort_edges(graph)) {
		mark_awaited(graph);
		return true;
	}
	complain_line("not enough memory for what the tasks of process %d wait for", snapshot->target->pid);
	graph_free(graph);
	return false;
}

void graph_free(struct graph *graph)
{
	free(graph->edges);
	free(graph->first);
	free(graph->awaited);
	*graph = (struct graph){0};
}

/* Depth first, without recursion: a chain can be 100,000 tasks long. */
void graph_deadlocks(const struct graph *graph, void (*found)(const uint32_t *tasks, size_t count, void *arg),
		     void *arg)
{
	enum { UNSEEN, ON_PATH, DONE };
	size_t count = graph->snapshot->tasks_count, deadlocks = 0;
	uint8_t *marks = calloc(count + 1, 1);
	uint32_t *path = calloc(count + 1, sizeof(*path));
	size_t *next = calloc(count + 1, sizeof(*next));

	for (size_t root = 0; marks && path && next && root < count && deadlocks < DEADLOCKS_MAX; root++) {
		size_t length = 0;

		if (marks[root] != UNSEEN)
			continue;
		path[length++] = (uint32_t)root;
		while (length > 0) {
			uint32_t task = path[length - 1];
			size_t edge = graph->first[task] + next[task]++;

			marks[task] = ON_PATH;
			if (edge >= graph->first[task + 1]) {
				marks[task] = DONE;
				length--;
				continue;
			}
			uint32_t to = graph->edges[edge].to;
			if (!graph->edges[edge].firm || marks[to] == DONE)
				continue;
			if (marks[to] == UNSEEN) {
				path[length++] = to;
				continue;
			}
			size_t start = length - 1;
			while (start > 0 && path[start] != to)
				start--;
			found(path + start, length - start, arg);
			if (++deadlocks == DEADLOCKS_MAX)
				break;
		}
	}
	free(marks);
	free(path);
	free(next);
}
