/* SPDX-License-Identifier: MIT */
#include "core/options.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/versioned.h"
#include "context/context.h"
#include "context/stack.h"
#include "reactor/reactor.h"

#define SLOW_TASK_DEFAULT (100 * ASYNC_MS)
#define SHUTDOWN_TIMEOUT_DEFAULT (10 * ASYNC_S)

/* Each variable is complained of once, however many loops the program makes. */
static void complain(atomic_flag *said, const char *name, const char *value, const char *wrong, const char *expected)
{
	if (!atomic_flag_test_and_set(said))
		fprintf(stderr, "async: %s: '%s' %s; expected %s\n", name, value, wrong, expected);
}

static void read_debug(struct async_options *options)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;
	const char *value = secure_getenv("ASYNC_DEBUG");

	if (!value || !*value || strcmp(value, "0") == 0)
		return;
	if (strcmp(value, "1") != 0)
		complain(&said, "ASYNC_DEBUG", value, "is unknown, and taken for 1", "0 or 1");
	options->debug = true;
}

static int read_backend(struct async_options *options)
{
	static const char *const names[] = {
		[ASYNC_BACKEND_AUTO] = "auto", [ASYNC_BACKEND_IO_URING] = "io_uring", [ASYNC_BACKEND_EPOLL] = "epoll"};
	static atomic_flag said = ATOMIC_FLAG_INIT;
	const char *value = secure_getenv("ASYNC_BACKEND"), *reason;
	size_t i = 0;

	if (!value || !*value || options->backend != ASYNC_BACKEND_AUTO)
		return 0;
	while (i < array_size(names) && strcmp(value, names[i]) != 0)
		i++;
	if (i == array_size(names)) {
		complain(&said, "ASYNC_BACKEND", value, "is unknown", "auto, io_uring or epoll");
		return -EINVAL;
	}
	if (i == ASYNC_BACKEND_IO_URING && !reactor_uring_usable(&reason, NULL))
		complain(&said, "ASYNC_BACKEND", value, "is not to be had here", "auto or epoll");
	options->backend = (enum async_backend)i;
	return 0;
}

/* Whoever runs a program may choose what the program leaves open. */
static int read_environment(struct async_options *options)
{
	read_debug(options);
	return read_backend(options);
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
	    options->slow_task < 0 || options->shutdown_timeout < 0 || options->shutdown_grace < 0 ||
	    options->max_workers > ASYNC_WORKERS_MAX)
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
	error = read_environment(&options);
	if (error)
		return error;
	fill_defaults(&options);
	error = check(&options);
	if (error == 0)
		*ret_options = options;
	return error;
}
