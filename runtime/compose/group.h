/* SPDX-License-Identifier: MIT */
/* How those who look from outside find the group of a task, while its body does something else. */
#ifndef COMPOSE_GROUP_H
#define COMPOSE_GROUP_H

#include <stddef.h>

#include "core/ready.h"

struct group_membership {
	void (*run)(struct entry *entry); /* of the entry that watches a task of a group */
	size_t group;                     /* from that entry to the pointer to its group */
};

extern const struct group_membership group_membership;

#endif
