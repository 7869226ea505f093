/* SPDX-License-Identifier: MIT */
/* What the tests of stacks have in common: a pool, stacks of it, and a look at their guards. */
#ifndef TESTS_STACK_PEERS_H
#define TESTS_STACK_PEERS_H

#include "harness.h"

#include "context/stack.h"

/* Stacks of 64 KiB, of 16 KiB, and of a size of which one is opened at a time. */
#define CLASS 2
#define CLASS_SMALL 0
#define CLASS_SINGLE 12

extern struct stack_pool pool;

/* Runs `test` with `pool` made for each kind of guard, and destroys it. */
void for_each_guard(void (*test)(void));

/* The size of a page. */
size_t page(void);
/* A stack of `pool`. */
struct stack_header *take(unsigned class);
/* The last byte above the guard can be used, nothing of the guard can, and the guard is found. */
void assert_guarded(struct stack_header *stack, unsigned class);

#endif
