/* SPDX-License-Identifier: MIT */
/* All loops of the process, for what concerns every one of them: a fork. */
#ifndef CORE_REGISTRY_H
#define CORE_REGISTRY_H

struct async_loop;

void registry_add(struct async_loop *loop);
void registry_remove(struct async_loop *loop);

#endif
