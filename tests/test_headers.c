/* SPDX-License-Identifier: MIT */
/* Compiled, not run, as C11 and as C++20: the public headers beside those of others that own ASYNC_* names. */
#if __has_include(<openssl/async.h>)
#include <openssl/async.h>
#include <openssl/asyncerr.h>
#endif
#if __has_include(<spandsp.h>)
#include <spandsp.h>
#endif
#include <linux/serial.h>
#include <linux/tty.h>
#include <linux/tty_flags.h>

#include <async.h>

/* Initialisers are macros: nobody knows whether they are valid, and whether they warn, until somebody uses them. */
size_t initialisers(void);

#define SIZED(type, initialiser) \
	do { \
		struct type value = initialiser; \
		sum += value.size; \
	} while (0)
#define ZERO(type, initialiser) \
	do { \
		struct type value = initialiser; \
		sum += sizeof(value); \
	} while (0)

size_t initialisers(void)
{
	static struct async_lock lock = ASYNC_LOCK_INIT;
	static struct async_local local = ASYNC_LOCAL_INIT(&lock);
	size_t sum = local.initial != NULL;

	SIZED(async_options, ASYNC_OPTIONS_INIT);
	SIZED(async_task_options, ASYNC_TASK_OPTIONS_INIT);
	SIZED(async_job_options, ASYNC_JOB_OPTIONS_INIT);
	SIZED(async_call_options, ASYNC_CALL_OPTIONS_INIT);
	SIZED(async_thread_pool_options, ASYNC_THREAD_POOL_OPTIONS_INIT);
	SIZED(async_process_pool_options, ASYNC_PROCESS_POOL_OPTIONS_INIT);
	SIZED(async_process_options, ASYNC_PROCESS_OPTIONS_INIT);
	SIZED(async_connection_options, ASYNC_CONNECTION_OPTIONS_INIT);
	SIZED(async_server_options, ASYNC_SERVER_OPTIONS_INIT);
	SIZED(async_stream_options, ASYNC_STREAM_OPTIONS_INIT);
	SIZED(async_queue_options, ASYNC_QUEUE_OPTIONS_INIT);
	SIZED(async_trace_options, ASYNC_TRACE_OPTIONS_INIT);
	ZERO(async_condition, ASYNC_CONDITION_INIT);
	ZERO(async_condition, ASYNC_CONDITION_INIT_WITH(&lock));
	ZERO(async_event, ASYNC_EVENT_INIT);
	ZERO(async_group, ASYNC_GROUP_INIT);
	ZERO(async_runner, ASYNC_RUNNER_INIT);
	ZERO(async_semaphore, ASYNC_SEMAPHORE_INIT(3));
	ZERO(async_semaphore, ASYNC_BOUNDED_SEMAPHORE_INIT(3));
	ZERO(async_barrier, ASYNC_BARRIER_INIT(3));
	ZERO(async_timeout, ASYNC_TIMEOUT_INIT);
	ZERO(async_executor_ops, ASYNC_EXECUTOR_OPS_INIT);
	return sum;
}

/* And those that stand for one case of several. */
size_t cases(async_queue *queue, async_future *future);

size_t cases(async_queue *queue, async_future *future)
{
	const struct async_select_case all[] = {
		ASYNC_CASE_GET(queue),	  ASYNC_CASE_PUT(queue, future), ASYNC_CASE_FUTURE(future), ASYNC_CASE_POLL(1, 1),
		ASYNC_CASE_DEADLINE(100), ASYNC_CASE_DEFAULT,
	};

	return sizeof(all) / sizeof(all[0]);
}
