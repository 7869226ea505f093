/* SPDX-License-Identifier: MIT */
/*
 * How a loop is made. Zero means the default in every field, so a caller names only what differs:
 *
 *     struct async_options options = ASYNC_OPTIONS_INIT;
 *     options.clock = ASYNC_CLOCK_VIRTUAL;
 *     async_run_with(main_task, NULL, &options);
 *
 * The structure begins with its size: fields are only ever added at its end, and a program built against an
 * older header goes on working.
 */
#ifndef ASYNC_OPTIONS_H
#define ASYNC_OPTIONS_H

#include <async/base.h>

/* What tells the loop about descriptors. */
enum async_backend {
	ASYNC_BACKEND_AUTO = 0, /* io_uring where the kernel lets us, else epoll */
	ASYNC_BACKEND_IO_URING, /* io_uring, or the loop fails with -ENOSYS */
	ASYNC_BACKEND_EPOLL,
};

/* What moves the processor from one stack to another. */
enum async_switch {
	ASYNC_SWITCH_AUTO = 0, /* assembly where there is one for this machine */
	ASYNC_SWITCH_ASM,      /* assembly, or the loop fails with -ENOSYS */
	ASYNC_SWITCH_UCONTEXT, /* swapcontext(3): two system calls a switch */
};

enum async_clock {
	ASYNC_CLOCK_REAL = 0, /* CLOCK_MONOTONIC */
	/* Jumps to the next deadline when every task waits and no job or file operation is under way. Starts
	 * at 0. A loop in which nothing can ever wake anybody ends with -EDEADLK. A program that only its own
	 * tasks and callbacks have a part in runs the same each time, on both backends and with both switches;
	 * async_options(3) says what holds with descriptors. */
	ASYNC_CLOCK_VIRTUAL,
};

/* Limits of stack_size, here and in struct async_task_options; other sizes are refused with -EINVAL. A size
 * is rounded up to a power of two, and includes the guard page below the stack. */
#define ASYNC_STACK_SIZE_MIN ((size_t)16 << 10)
#define ASYNC_STACK_SIZE_MAX ((size_t)1 << 30)
#define ASYNC_STACK_SIZE_DEFAULT ((size_t)64 << 10)

/* Limit of max_workers. */
#define ASYNC_WORKERS_MAX 4096

struct async_options {
	size_t size; /* sizeof(struct async_options) */
	enum async_backend backend;  /* AUTO: as ASYNC_BACKEND in the environment says, if anything */
	enum async_switch switch_kind;
	enum async_clock clock;
	size_t stack_size;           /* of tasks that name none; bytes; default 64 KiB */
	uint64_t shuffle_seed;       /* not 0: each iteration runs in a random order that this seed fixes; on the
				      * virtual clock the whole history is the seed's */
	async_time slow_task;        /* in debug mode, who holds the loop longer is reported; default 100 ms */
	async_time shutdown_timeout; /* how long the end of a loop waits for tasks and jobs, see async_run; default 10 s */
	size_t max_workers;          /* of the default executor; default min(32, processors + 4) */
	bool debug;                  /* names who holds the loop, and leaks; checks arguments harder; ASYNC_DEBUG=1 */
	bool detect_deadlock;        /* on the real clock too: -EDEADLK instead of waiting for ever */
	bool measure_stacks;         /* async_task_stack_used is exact to the word; costs a fill per task */
	bool ignore_sigint;          /* async_run leaves SIGINT alone */
	bool accounting;             /* counts each task's time and switches; 20 to 40 ns a switch */
	bool dump_on_sigquit;        /* async_run: SIGQUIT, where its action is the default, first says what tasks do */
	async_time shutdown_grace;   /* async_run cancels what has not ended again each time this has passed; 0: never */
};

#define ASYNC_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_options)

#endif
