/* SPDX-License-Identifier: MIT */
/*
 * What this kernel and machine offer the library, as found by trying: the source of `asyncctl doctor`.
 */
#ifndef ASYNC_SYSTEM_H
#define ASYNC_SYSTEM_H

#include <async/base.h>
#include <async/options.h>

/* The caller sets `size` to sizeof(struct async_system_info) before the call. Strings are static. */
struct async_system_info {
	size_t size;
	bool io_uring;               /* a loop would use it */
	char io_uring_reason[160];   /* why not, or "" */
	char io_uring_features[400]; /* what was found, words separated by blanks */
	const char *guard;           /* "MADV_GUARD_INSTALL", "mprotect" */
	char guard_reason[160];      /* why not the former, or "" */
	const char *switch_kind;     /* of ASYNC_SWITCH_AUTO: "asm", "ucontext" */
	unsigned processors;         /* that this process may use */
	size_t default_workers;      /* of the default executor */
	bool valgrind;               /* runs under valgrind */
};

ASYNC_BEGIN_DECLS

/* Probes and fills `*info`; opens and closes a ring. Thread: any. Returns: 0; -EINVAL (NULL, or a size that is no
 * version of the structure). */
ASYNC_EXPORT int async_get_system_info(struct async_system_info *info);

/*
 * Switches to a stack that switches straight back, `round_trips` times, which is twice as many switches: what a
 * switch costs here without a scheduler. Thread: any.
 * Returns: the nanoseconds it took; -ENOSYS (no such switch on this machine), -EINVAL, -ENOMEM.
 */
ASYNC_EXPORT intptr_t async_measure_switch(enum async_switch kind, size_t round_trips);

ASYNC_END_DECLS

#endif
