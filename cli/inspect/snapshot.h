/* SPDX-License-Identifier: MIT */
/*
 * The loops and tasks of a process at one moment, as far as that can be had: the process runs on meanwhile. A loop
 * whose counters are the same before and after it was read gave a true picture; one whose counters were not is read
 * again a few times, and is marked as torn if that does not help.
 */
#ifndef CLI_INSPECT_SNAPSHOT_H
#define CLI_INSPECT_SNAPSHOT_H

#include "inspect/target.h"

enum task_view_state {
	TASK_VIEW_NEW,     /* has not begun */
	TASK_VIEW_READY,
	TASK_VIEW_RUNNING,
	TASK_VIEW_WAITING,
};

/* What is common to all waits of one kind, or to all futures of one. */
struct class_view {
	uint64_t address;
	char name[48];
	bool is_task;
	uint16_t on, detail;
	struct async_layout_children children;
};

struct loop_view;

struct task_view {
	uint64_t address, id;
	struct loop_view *loop;
	const struct class_view *wait; /* NULL: unknown, or it does not wait */
	uint64_t wait_object;
	int64_t since;    /* on the real clock; 0: unknown */
	int64_t deadline; /* of its sleep, on the loop's clock */
	uint64_t sp, stack, fn;
	int64_t ran;      /* with its switches: -1 unless accounts are kept */
	uint64_t switches;
	uint8_t state;    /* enum task_view_state */
	uint8_t stack_class;
	char *name;       /* NULL: "Task-id" */
};

#define CLASS_VIEWS_MAX 128

struct loop_view {
	uint64_t address;
	const struct async_layout *layout;
	pid_t thread;
	bool running, asleep, accounts, measures, virtual_clock, torn;
	uint8_t switch_kind;
	char backend[16];
	uint64_t current;
	uint64_t iterations, switches, polls, created;
	uint64_t jobs, operations, timers;
	int64_t virtual_now;
	int64_t read_at; /* on the real clock */
	size_t first, count; /* its tasks, by id */
	size_t classes_count;
	struct class_view classes[CLASS_VIEWS_MAX];
};

struct snapshot {
	const struct target *target;
	struct loop_view **loops;
	size_t loops_count;
	struct task_view *tasks;
	size_t tasks_count, tasks_capacity;
	uint32_t *by_address; /* a hash table of indices plus 1 */
	size_t by_address_size;
};

/* Returns false if there is no memory, or the process has ended; the reason was given on stderr. */
bool snapshot_take(struct snapshot *snapshot, const struct target *target);
void snapshot_free(struct snapshot *snapshot);

/* Whether a task still stands where it did. */
bool snapshot_still(const struct snapshot *snapshot, const struct task_view *task);

/* The task with an address, or with an id in a loop; NULL if there is none, for instance because it has ended. */
const struct task_view *snapshot_find(const struct snapshot *snapshot, uint64_t address);
const struct task_view *snapshot_find_id(const struct snapshot *snapshot, const struct loop_view *loop, uint64_t id);

const char *task_view_name(const struct task_view *task, char *buffer, size_t size);

/* The class of a wait or a future, by its address; NULL if it cannot be one. */
const struct class_view *loop_view_wait_class(const struct target *target, struct loop_view *loop, uint64_t address);
const struct class_view *loop_view_future_class(const struct target *target, struct loop_view *loop, uint64_t address);

#endif
