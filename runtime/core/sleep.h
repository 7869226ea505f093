/* SPDX-License-Identifier: MIT */
#ifndef CORE_SLEEP_H
#define CORE_SLEEP_H

#include "core/ready.h"

/* What a task's timer does when it is due. */
void sleep_expired(struct entry *entry);

#endif
