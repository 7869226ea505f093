/* SPDX-License-Identifier: MIT */
/*
 * A trace of what every task, loop and worker did lately: who ran, who was ready and had to wait, who was parked and
 * for what, who woke whom. It is recorded into a ring for each thread, which keeps the last moments, and read or
 * written when it is wanted: on demand, when a task has held its loop for too long, or when the program crashes.
 * Switched off it costs nothing; switched on, some 30 ns an event.
 *
 *     async_trace_start(NULL);
 *     async_run(main_task, NULL);
 *     async_trace_stop();
 *     async_trace_write(fd);      // for ui.perfetto.dev and chrome://tracing
 *
 * Any program that uses the library is traced from its first loop on, and writes what its rings hold at exit, if the
 * environment variable ASYNC_TRACE names a file; %p in it stands for the number of the process. What is no regular
 * file, or cannot be written, is named in a line on standard error when the program begins, which then goes on
 * without.
 */
#ifndef ASYNC_TRACE_H
#define ASYNC_TRACE_H

#include <async/base.h>

/* Limit of the events that a thread's ring keeps; each takes 32 bytes. */
#define ASYNC_TRACE_EVENTS_MAX ((size_t)1 << 24)

struct async_trace_options {
	size_t size;        /* sizeof(struct async_trace_options) */
	size_t events;      /* that each thread keeps; rounded up to a power of two; default 65,536 */
	/* A regular file, where the trace is written by itself; copied, %p is the process; default nowhere. */
	const char *path;
	bool on_slow_task;  /* with debug: when a task held its loop longer than slow_task; at most once in 10 s */
	bool on_crash;      /* at SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT, where their action is the default */
	bool on_exit;       /* at exit(3) */
};

#define ASYNC_TRACE_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_trace_options)

/* A line of the trace. */
enum async_trace_track {
	ASYNC_TRACE_TASK,
	ASYNC_TRACE_LOOP,   /* its own stack: callbacks, timers, what the kernel tells */
	ASYNC_TRACE_WORKER, /* a thread that runs jobs */
};

/* What a track does in a span. */
enum async_trace_state {
	ASYNC_TRACE_RUNNING, /* a task has the processor, a worker a job, a loop looks after everything but tasks */
	ASYNC_TRACE_READY,   /* a task could run, and waits until others let it */
	ASYNC_TRACE_PARKED,  /* a task waits for something, a loop for the kernel */
	ASYNC_TRACE_CALLBACK, /* a loop runs a callback */
};

enum async_trace_type {
	ASYNC_TRACE_NEW,     /* of `track` nothing was told before: `kind`, `loop`, `id`, `name` */
	ASYNC_TRACE_SPAN,    /* `track` was in `state` from `begin` to `end`; parked: `name` is what it waited for */
	ASYNC_TRACE_FLOW,    /* `other` at `begin` made `track` do something at `end`: it "wakes", "creates", … */
	ASYNC_TRACE_COUNTER, /* from `begin` on there are `value` of `name`; `track` is a loop's, or 0 */
	ASYNC_TRACE_LOST,    /* the last one: `value` events were overwritten, or could not be recorded */
};

struct async_trace_record {
	size_t size;
	enum async_trace_type type;
	enum async_trace_track kind;
	enum async_trace_state state;
	unsigned loop;    /* all loops of the process are numbered from 1; 0: a worker's */
	uint32_t track;   /* from 1; a name may become known later, and the track is told of again */
	uint32_t other;
	unsigned other_loop;
	uint64_t id;      /* of the task in its loop; of the thread */
	uint64_t value;
	async_time begin; /* CLOCK_MONOTONIC, whatever the loop's clock */
	async_time end;
	const char *name; /* until the function returns */
};

/* Gets one record after the other. Not 0 ends the reading. */
typedef int async_trace_visitor(const struct async_trace_record *record, void *arg);

ASYNC_BEGIN_DECLS

/*
 * Starts recording, and forgets what was recorded before; NULL: the defaults. The running loop is recorded at once,
 * every other one from the next time that it looks around. A thread's ring is made when there is something to put into
 * it.
 * Thread: any.
 * Returns: 0; -EBUSY (it is on, or is being read), -EINVAL (options, or a path too long, or none for what needs one, or
 * that of something that is no regular file), -ENOMEM; why the file could not be written, as far as that is known
 * before there is something to write: -EISDIR, -ENOENT (no such directory), -EACCES, -EROFS, …
 */
ASYNC_EXPORT int async_trace_start(const struct async_trace_options *options);

/* Stops recording. What the rings hold stays, to be read. Thread: any. */
ASYNC_EXPORT void async_trace_stop(void);

/*
 * Gives what the rings hold to `visit`, spans of one track in the order in which they were; what goes on ends with the
 * last event. Recording may go on meanwhile. At most 65,536 tracks that have not ended are told apart; what others did
 * counts as lost.
 * Thread: any.
 * Returns: 0, or what `visit` returned; -EBUSY (somebody else reads), -ENODATA (nothing was recorded), -EINVAL.
 */
ASYNC_EXPORT int async_trace_read(async_trace_visitor *visit, void *arg);

/*
 * Writes what the rings hold in the JSON of Chrome's trace events: for ui.perfetto.dev and chrome://tracing. Blocks
 * while the descriptor takes no more.
 * Thread: any.
 * Returns: 0; as async_trace_read, or what write(2) failed with.
 */
ASYNC_EXPORT int async_trace_write(int fd);

ASYNC_END_DECLS

#endif
