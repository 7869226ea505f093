/* SPDX-License-Identifier: MIT */
/* All loops of the process, for what concerns every one of them: a fork. */
#ifndef CORE_REGISTRY_H
#define CORE_REGISTRY_H

#include <sys/types.h>

struct async_loop;

/* The first one; their list is for those who look from outside, who take no lock. */
extern struct async_loop *registry_loops;

void registry_add(struct async_loop *loop);
void registry_remove(struct async_loop *loop);

/* gettid(2) without a system call for each run of a loop. */
pid_t registry_thread_id(void);

#endif
