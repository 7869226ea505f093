/* SPDX-License-Identifier: MIT */
/*
 * libasync: asyncio for C on Linux.
 *
 * Tasks are straight-line functions with a stack of their own; any function they call may wait. This header
 * brings in everything, the names of errors too. What a call returns follows one rule: >= 0 is the value, < 0 is
 * -errno; errno itself means nothing after a call that may suspend, because another task ran in between.
 *
 *     static intptr_t hello(void *arg)
 *     {
 *         int error = (int)async_sleep(100 * ASYNC_MS);
 *         return error < 0 ? error : printf("hello, %s\n", (const char *)arg);
 *     }
 *     int main(void) { return async_run(hello, "world") < 0; }
 */
#ifndef ASYNC_ASYNC_H
#define ASYNC_ASYNC_H

#include <async/base.h>
#include <async/options.h>
#include <async/future.h>
#include <async/task.h>
#include <async/local.h>
#include <async/loop.h>
#include <async/wait.h>
#include <async/lock.h>
#include <async/event.h>
#include <async/condition.h>
#include <async/semaphore.h>
#include <async/barrier.h>
#include <async/queue.h>
#include <async/select.h>
#include <async/timeout.h>
#include <async/group.h>
#include <async/concurrent.h>
#include <async/executor.h>
#include <async/executor_ops.h>
#include <async/io.h>
#include <async/socket.h>
#include <async/stream.h>
#include <async/server.h>
#include <async/connection.h>
#include <async/file.h>
#include <async/splice.h>
#include <async/process_pool.h>
#include <async/signal.h>
#include <async/reader.h>
#include <async/resolve.h>
#include <async/process.h>
#include <async/run.h>
#include <async/system.h>
#include <async/dump.h>
#include <async/trace.h>

#endif
