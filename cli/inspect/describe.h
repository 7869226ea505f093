/* SPDX-License-Identifier: MIT */
/* What a task waits for, in words and in figures. */
#ifndef CLI_INSPECT_DESCRIBE_H
#define CLI_INSPECT_DESCRIBE_H

#include "inspect/snapshot.h"

struct json;

#define WAIT_TEXT_MAX 320

/* "sleep, 2.5 s left", "a read of fd 5 (pipe:[77])" … */
const char *describe_wait(const struct snapshot *snapshot, const struct task_view *task, char *buffer, size_t size);
/* The members of the same that a program would want. */
void describe_wait_json(const struct snapshot *snapshot, const struct task_view *task, struct json *json);

/* The state in one word. */
const char *describe_state(const struct task_view *task);
/* A time as a person likes it: "2.5 s", "13 min". */
const char *describe_time(int64_t ns, char *buffer, size_t size);

#endif
