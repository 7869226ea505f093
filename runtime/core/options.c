/* SPDX-License-Identifier: MIT */
#include "core/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/versioned.h"
#include "context/context.h"
#include "context/stack.h"
#include "reactor/reactor.h"

#define SLOW_TASK_DEFAULT (100 * ASYNC_MS)
#define SHUTDOWN_TIMEOUT_DEFAULT (10 * ASYNC_S)

/* Whoever runs a program may choose what the program leaves open. */
static void read_environment(struct async_options *options)
{
	static const char *const backends[] = {
		[ASYNC_BACKEND_AUTO] = "auto", [ASYNC_BACKEND_IO_URING] = "io_uring", [ASYNC_BACKEND_EPOLL] = "epoll"};
	const char *debug = secure_getenv("ASYNC_DEBUG"), *backend = secure_getenv("ASYNC_BACKEND");
	size_t i = 0;

	if (debug && *debug && strcmp(debug, "0") != 0)
		options->debug = true;
	if (!backend || !*backend || options->backend != ASYNC_BACKEND_AUTO)
		return;
	while (i < array_size(backends) && strcmp(backend, backends[i]) != 0)
		i++;
	/* What it does not name is one too far, and refused. */
	options->backend = (enum async_backend)i;
}

static void fill_defaults(struct async_options *options)
{
	if (options->stack_size == 0)
		options->stack_size = ASYNC_STACK_SIZE_DEFAULT;
	if (options->slow_task == 0)
		options->slow_task = SLOW_TASK_DEFAULT;
	if (options->shutdown_timeout == 0)
		options->shutdown_timeout = SHUTDOWN_TIMEOUT_DEFAULT;
}

static int check(const struct async_options *options)
{
	const char *reason;

	if ((unsigned)options->backend > ASYNC_BACKEND_EPOLL || (unsigned)options->clock > ASYNC_CLOCK_VIRTUAL ||
	    (unsigned)options->switch_kind > ASYNC_SWITCH_UCONTEXT || stack_class_for(options->stack_size) < 0 ||
	    options->slow_task < 0 || options->shutdown_timeout < 0 || options->max_workers > ASYNC_WORKERS_MAX)
		return -EINVAL;
	if (options->switch_kind == ASYNC_SWITCH_ASM && !CONTEXT_HAS_ASM)
		return -ENOSYS;
	if (options->backend == ASYNC_BACKEND_IO_URING && !reactor_uring_usable(&reason, NULL))
		return -ENOSYS;
	return 0;
}

int options_read(const struct async_options *given, struct async_options *ret_options)
{
	struct async_options options = ASYNC_OPTIONS_INIT;
	int error = given ? versioned_copy(&options, sizeof(options), given) : 0;

	if (error)
		return error;
	read_environment(&options);
	fill_defaults(&options);
	error = check(&options);
	if (error == 0)
		*ret_options = options;
	return error;
}
