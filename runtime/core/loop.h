/* SPDX-License-Identifier: MIT */
/*
 * The inside of a loop.
 *
 * One iteration: service (posts from other threads, finished jobs, the reactor, timers), then the batch, which is
 * what was ready when it began. Tasks switch directly to one another through the batch; the loop's own stack runs
 * only for callbacks, for service, and when nobody is ready. A batch that ends with others ready and no service
 * due is followed by the next one without leaving the tasks' stacks: see schedule.h.
 *
 * One word, `wake_state`, joins the loop with other threads: whoever has news stores NOTIFIED and wakes the
 * loop if the word said that it sleeps; the loop goes to sleep only if it can change RUNNING to ASLEEP, in the
 * reactor, or to DOZING, on the word itself. That is the shorter way back, and needs no reactor.
 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include <errno.h>
#include <stdatomic.h>

#include <async/loop.h>
#include <async/options.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/slab.h"
#include "context/context.h"
#include "context/overflow.h"
#include "context/stack.h"
#include "core/future.h"
#include "core/observe.h"
#include "core/ready.h"
#include "core/slow.h"
#include "reactor/reactor.h"
#include "worker/pool.h"

struct task;

enum wake_state {
	LOOP_RUNNING,
	LOOP_ASLEEP,   /* or about to be: in the reactor */
	LOOP_DOZING,   /* the same, on this very word: no operation is pending */
	LOOP_NOTIFIED, /* there is something in the inbox, in the sink, or a stop */
};

/* A creator that waits for an eager task to suspend for the first time. */
struct eager_frame {
	struct eager_frame *outer;
	struct task *task;
	struct task *creator; /* NULL: the loop's stack */
};

/* A job whose end the loop hears of. */
struct loop_job {
	struct job job;
	void (*done)(struct loop_job *job); /* on the loop's stack */
};

/* What later layers want to be told. Hooks live in static or longer-lived memory of theirs. */
struct loop_hook {
	struct list link;
	/* Each may be NULL. */
	void (*turn)(struct async_loop *loop, struct loop_hook *hook);  /* before each service */
	void (*close)(struct async_loop *loop, struct loop_hook *hook); /* the loop closes; may free the hook */
	void (*end)(struct async_loop *loop, struct loop_hook *hook);   /* no task or operation is left; the same */
};

struct async_loop {
	/* The switch: one cache line. */
	struct task *current;          /* NULL on the loop's own stack */
	struct entry *batch;           /* what is left of this iteration */
	struct ready_queue ready;      /* the next iteration's */
	struct eager_frame *eager;
	uint64_t switches;
	uint64_t service_at;           /* look at the clock when `switches` gets here; 0: at the next batch */
	atomic_int wake_state;         /* enum wake_state */
	uint8_t switch_kind;           /* enum context_kind, what observes included */
	uint8_t observed;              /* enum observe: what is recorded, see observe.h */
	bool last_batch;               /* a stop came before this batch: it is not followed by the next */

	struct context main;           /* the loop's own stack while tasks run */
	struct context left;           /* of the task that ended last: nobody comes back to it */
	struct stack_header *left_stack; /* its stack, free once another one is left */
	unsigned left_class;

	uint64_t iterations, polls, tasks_created;
	uint64_t callbacks, timers_expired, wakeups;
	async_time waited;             /* real clock */
	uint32_t service_step;         /* switches between two looks at the clock */
	uint32_t cancel_mark;          /* the chain that is being cancelled */
	uint64_t circle_steps;         /* followed in search of circles, beyond what is free */
	async_time serviced_at;        /* real clock */
	async_time trim_at;            /* real clock; FOREVER: nothing to give back */
	async_time now;                /* its own clock, as it was last read; the virtual one is nothing else */
	uint64_t shuffle_state;        /* 0: FIFO; advanced by what is ready, and by nothing else */

	size_t tasks;                  /* alive */
	size_t jobs;                   /* in executors */
	size_t wakers;                 /* prepared handles and the like: outside events that can wake somebody */
	unsigned at_once;              /* operations in a row that needed no waiting, in this slice */
	uint64_t at_once_slice;        /* the slice: a value of `switches` */

	struct heap timers;
	struct slab task_slab, future_slab, handle_slab;
	struct stack_pool stacks;
	unsigned stack_class;          /* of tasks that name no size */
	struct reactor *reactor;       /* NULL until it is needed */
	struct reactor *left_reactor;  /* that was left behind */
	struct job_sink sink;
	_Atomic(async_handle *) inbox; /* posted handles, latest first */
	struct list hooks;             /* struct loop_hook */
	struct list closers;           /* tasks that close a descriptor and wait for what is pending on it */
	struct async_loop *next_loop, *prev_loop; /* all loops of the process */

	atomic_uint notifying;         /* threads inside loop_notify */
	atomic_bool running;
	pid_t thread;                  /* that runs it, or ran it last; 0: none yet */
	atomic_bool stopping;
	const async_future *until;     /* the run ends when it is done; NULL: it does not end by itself */
	atomic_int refuses;            /* 0, -ESHUTDOWN once closed, -EPERM in a forked child */
	bool stood_on;                 /* in a forked child: by the thread that is there */
	bool single;                   /* exactly one iteration was asked for */
	bool left_behind;              /* something still runs that may touch its memory: that is never freed */
	async_time give_up_at;         /* real clock: its end waits no longer; 0: it does not end yet */
	int poll_fd, timer_fd;         /* for embedding; -1 until asked for */
	async_time timer_fd_at;        /* what it is set to */

	unsigned number;               /* of all loops of the process, from 1 */
	size_t ready_tasks;            /* while the trace is on */
	async_time switched_at;        /* the same */

	struct slow_report slow;
	async_error_handler *error_handler;
	void *error_handler_arg;
	struct async_options options;  /* as given, defaults filled in */
};

/* The loop that runs in this thread. */
extern __thread struct async_loop *loop_running;

/* `loop`, or if that is NULL the running one, or this thread's own. NULL without memory. */
static always_inline struct async_loop *loop_or_default(async_loop *loop)
{
	if (loop)
		return loop;
	return likely(loop_running != NULL) ? loop_running : async_get_event_loop();
}

/* Whether this thread may use the loop now: 0, -EPERM (it runs in another thread, or forked), -ESHUTDOWN. */
static always_inline int loop_check(const struct async_loop *loop)
{
	int refuses = atomic_load_explicit(&loop->refuses, memory_order_relaxed);

	if (unlikely(refuses))
		return refuses;
	if (likely(loop == loop_running))
		return 0;
	return atomic_load_explicit(&loop->running, memory_order_relaxed) ? -EPERM : 0;
}

/* True for a loop of the parent process. */
static inline bool loop_forked(const struct async_loop *loop)
{
	return atomic_load_explicit(&loop->refuses, memory_order_relaxed) == -EPERM;
}

/* The switch that an option stands for on this machine. */
static inline enum context_kind loop_switch_kind(enum async_switch option)
{
	return option == ASYNC_SWITCH_UCONTEXT || !CONTEXT_HAS_ASM ? CONTEXT_UCONTEXT : CONTEXT_ASM;
}

static always_inline bool loop_is_virtual(const struct async_loop *loop)
{
	return loop->options.clock == ASYNC_CLOCK_VIRTUAL;
}

/* Now, on the loop's clock. */
static inline async_time loop_now(const struct async_loop *loop)
{
	return loop_is_virtual(loop) ? loop->now : clock_now();
}

/* The same for who arms a timer: one that is due by then expires before the next batch. */
static inline async_time loop_read_clock(struct async_loop *loop)
{
	return loop->now = loop_now(loop);
}

/* There is news for the loop. Any thread, and signal handlers. */
void loop_notify(struct async_loop *loop);

/* For what its thread gives the loop between two runs: one that is embedded sleeps in a poll of its descriptor. */
static always_inline void loop_rouse(struct async_loop *loop)
{
	if (unlikely(loop != loop_running) && loop->poll_fd >= 0)
		loop_notify(loop);
}

/* The loop's reactor, opened at the first call. Returns 0 or -errno. */
int loop_reactor(struct async_loop *loop, struct reactor **ret_reactor);

/* Delivers finished jobs. */
void loop_take_jobs(struct async_loop *loop);
/* Blocks this thread until no job is outstanding. Returns false if it is time to give up. */
bool loop_wait_jobs(struct async_loop *loop);
/* The end of a loop begins, if it has not begun: from now on `shutdown_timeout` runs. */
void loop_begin_end(struct async_loop *loop);
/* Something is left behind: says that `what` has not ended since then, on the real clock (0: not known). `future` may
 * be NULL. */
void loop_leave_behind(struct async_loop *loop, const char *what, async_future *future, async_time since);
/* Does that for the operations of tasks that the reactor could not get back. */
void loop_report_operations(struct async_loop *loop);
/* Writes where an address of code is; introspect/ knows more than the address. Returns `text`. */
extern const char *(*loop_locate_code)(const void *address, char *text, size_t size);

/* Runs until stopped, deadlocked, or once. Returns 0 or -errno. The caller has made sure that it may. */
int loop_run(struct async_loop *loop);

/* Tells the error handler. `future` may be NULL. */
void loop_report(struct async_loop *loop, const char *message, async_future *future, intptr_t error);
/* Tells it that every task waits, and for what. */
void loop_report_deadlock(struct async_loop *loop);
/* Names the futures that are still referenced. */
void loop_report_leaks(struct async_loop *loop);

/* Calls for each task that has not ended. `visit` must not create or release any. */
void loop_visit_tasks(struct async_loop *loop, void (*visit)(struct task *task, void *arg), void *arg);

/* The hook that was added with this function as its `close` or `end`; NULL if there is none. */
struct loop_hook *loop_find_hook(struct async_loop *loop,
				 void (*last)(struct async_loop *loop, struct loop_hook *hook));

static inline void loop_add_hook(struct async_loop *loop, struct loop_hook *hook)
{
	list_append(&loop->hooks, &hook->link);
}

#endif
