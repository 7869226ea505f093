/* SPDX-License-Identifier: MIT */
/* What the tests of select have in common: two queues of small numbers. */
#ifndef TESTS_SELECT_PEERS_H
#define TESTS_SELECT_PEERS_H

#include "harness.h"

#define WORD(number) ((void *)(intptr_t)(number))

extern async_queue *left, *right;

void make_queues(size_t max_items);
/* Neither has a waiter. */
void free_queues(void);
/* Runs a test with two queues, which nobody may wait on at its end. */
void run_with_queues(async_fn *fn, size_t max_items);

/* Without a wait; get gives -1 if there is nothing. */
void put(async_queue *queue, int number);
int get(async_queue *queue);

/* The function of a task: notes what it got from a queue. */
intptr_t plain_get(void *arg);

#endif
