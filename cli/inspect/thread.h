/* SPDX-License-Identifier: MIT */
/* What the kernel tells of the thread of a loop. */
#ifndef CLI_INSPECT_THREAD_H
#define CLI_INSPECT_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct thread_view {
	char state;     /* as in proc(5): R, S, D, T … */
	bool in_call;   /* it sleeps inside a system call */
	long number;    /* of the call, if that is known; else -1 */
	uint64_t first; /* its first argument */
	uint64_t sp, pc;
};

struct thread_view thread_view_get(pid_t pid, pid_t thread);

/* "stopped", "in read(0)", "on the processor" … */
const char *thread_view_describe(const struct thread_view *thread, char *buffer, size_t size);

#endif
