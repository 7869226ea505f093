/* SPDX-License-Identifier: MIT */
#include <async/system.h>

#include <errno.h>
#include <stdio.h>

#include "base/versioned.h"
#include "context/context.h"
#include "context/stack.h"
#include "reactor/reactor.h"
#include "worker/pool.h"

int async_get_system_info(struct async_system_info *ret_info)
{
	struct async_system_info info = {
		.switch_kind = CONTEXT_HAS_ASM ? "asm" : "ucontext",
		.processors = pool_processors(),
		.default_workers = pool_default_threads(),
		.valgrind = sanitizer_on_valgrind(),
	};
	const char *reason, *features, *guard_reason;

	if (!ret_info)
		return -EINVAL;
	info.io_uring = reactor_uring_usable(&reason, &features);
	snprintf(info.io_uring_reason, sizeof(info.io_uring_reason), "%s", reason);
	snprintf(info.io_uring_features, sizeof(info.io_uring_features), "%s", features);
	info.guard = stack_guard_probe(&guard_reason) == STACK_GUARD_MADVISE ? "MADV_GUARD_INSTALL" : "mprotect";
	snprintf(info.guard_reason, sizeof(info.guard_reason), "%s", guard_reason);
	return versioned_fill(ret_info, &info, sizeof(info));
}
