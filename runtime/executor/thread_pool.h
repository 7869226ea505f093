/* SPDX-License-Identifier: MIT */
#ifndef EXECUTOR_THREAD_POOL_H
#define EXECUTOR_THREAD_POOL_H

#include <async/executor.h>

/* A loop's default executor: the process's own pool (0), or one of `max_workers` threads. Returns 0 or -errno. */
int thread_pool_default(size_t max_workers, async_executor **ret_executor);

#endif
