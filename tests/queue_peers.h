/* SPDX-License-Identifier: MIT */
/* What the tests of queues have in common: a queue of small numbers, and tasks that get and put. */
#ifndef TESTS_QUEUE_PEERS_H
#define TESTS_QUEUE_PEERS_H

#include "disposals.h"

#define WORD(number) ((void *)(intptr_t)(number))

extern async_queue *queue;

/* Numbers that this one drops are added up in `dropped`, from 0. */
void make_queue(enum async_queue_order order, size_t max_items);

/* Functions of tasks. */

/* Notes its argument, a letter, with what it got. */
intptr_t get_one(void *arg);
/* Puts what it is told. */
intptr_t put_one(void *arg);

/* Without a wait: gets all there is, which is noted; puts one number for each digit. */
void assert_gets(const char *expected);
void put_numbers(const char *digits);

#endif
