/* SPDX-License-Identifier: MIT */
/*
 * What a loop can run, and the queue that it waits in.
 *
 * An entry lives in its task, handle or callback, so that making something ready cannot fail.
 */
#ifndef CORE_READY_H
#define CORE_READY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

enum entry_kind {
	ENTRY_TASK,     /* is switched to, from whatever stack runs */
	ENTRY_INTERNAL, /* `run` is called on whatever stack runs: short, and calls nothing of the user's */
	ENTRY_CALLBACK, /* `run` is called on the loop's own stack, which is as large as the thread's */
	ENTRY_NOTICE,   /* of a watcher: `run` is called while its future is completed, and only takes note of that */
};

struct entry {
	struct entry *next;
	void (*run)(struct entry *entry); /* unused for tasks */
	uint8_t kind;                     /* enum entry_kind */
};

struct ready_queue {
	struct entry *head;
	struct entry **tail; /* where the next one is linked */
};

static inline void ready_init(struct ready_queue *queue)
{
	queue->head = NULL;
	queue->tail = &queue->head;
}

static always_inline void ready_append(struct ready_queue *queue, struct entry *entry)
{
	entry->next = NULL;
	*queue->tail = entry;
	queue->tail = &entry->next;
}

/* A random order that `state` determines and is advanced by; one or none needs no draw. Returns the new head of the
 * list. */
struct entry *ready_shuffle(struct entry *head, uint64_t *state);

#endif
