/* SPDX-License-Identifier: MIT */
/* What ps, pstree and top have in common: options, and how loops and tasks are written. */
#ifndef CLI_INSPECT_SHOW_H
#define CLI_INSPECT_SHOW_H

#include "inspect/describe.h"
#include "inspect/snapshot.h"
#include "inspect/stacks.h"
#include "inspect/thread.h"
#include "output.h"

struct view {
	struct target target;
	struct snapshot snapshot;
	struct stacks *stacks; /* NULL: not asked for */
	int pagemap;           /* -1: cannot be had */
	struct json json;
};

/* Finds the process of the only argument and takes a picture. Returns: an exit status, after saying why on stderr. */
int view_open(struct view *view, int argc, char **argv, const char *command, bool stacks);
void view_close(struct view *view);

/* "loop 0x55…: thread 12, epoll, asleep; 3 tasks, …" */
void show_loop(const struct view *view, const struct loop_view *loop);
/* For pictures of loops that ran on meanwhile. */
void show_torn(const struct view *view);

/* What a running task does, as far as the kernel tells; else what it waits for. */
const char *show_wait(const struct view *view, const struct task_view *task, char *buffer, size_t size);

/* Bytes of a stack; `used` and `high` are -1 where they are unknown. */
struct stack_use {
	int64_t used, high, size;
};
struct stack_use show_stack_use(const struct view *view, const struct task_view *task);

/* The frames of a task's stack, each behind `indent`. */
void show_frames(const struct view *view, const struct task_view *task, const char *indent);

/* JSON: the object around everything is left open for more members of the caller's. */
void json_begin(struct view *view);
void json_end(struct view *view);
/* The members of a loop, and the array of its tasks; `more` adds to a task, or is NULL. */
void json_loops(struct view *view, void (*more)(struct view *view, const struct task_view *task, void *arg), void *arg);

#endif
