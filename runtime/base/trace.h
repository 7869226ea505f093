/* SPDX-License-Identifier: MIT */
/*
 * The trace: what happened lately, in a ring of events for each thread that has something to record.
 *
 * Whoever records asks trace_on() first, or a byte of its own that follows it, and writes into the ring of its thread,
 * which nobody else does: no lock, no shared cache line. A ring overwrites its oldest events. Readers copy from all
 * rings, of threads that go on writing too: whoever has the words of an event asks afterwards whether they are still
 * its own (trace_ring_get).
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* What the words of an event hold; `id` and `other` are tasks of the loop, 0 is its own stack. */
enum trace_kind {
	TRACE_SWITCH = 1, /* from `other`, now in state `small2`, to `id`, named `small`; `word`: its wait's name */
	TRACE_CREATE,     /* `id` by `other` */
	TRACE_WAKE,       /* `id` by `other` */
	TRACE_AWAIT,      /* `id` is about to wait for the task `other` */
	TRACE_GONE,       /* `id` ended without having the processor */
	TRACE_CALLBACK,
	TRACE_CALLBACK_END,
	TRACE_POLL,
	TRACE_POLL_END,
	TRACE_REST,       /* the loop is not run any more, or not now */
	TRACE_COUNTERS,   /* `id` ready, `other` timers, `word`: operations << 32 | jobs */
	TRACE_TASKS,      /* `word` tasks */
	TRACE_JOB_CALL,   /* `id` of a job that `other` wants done; `word`: its function */
	TRACE_JOB_WORK,   /* the same; `word`: text, or 0 */
	TRACE_JOB,        /* `id` begins on this worker */
	TRACE_JOB_END,
	TRACE_JOB_TAKEN,  /* the loop hears of the end of `id` */
	TRACE_QUEUE,      /* `word` jobs wait in a pool */
};

struct trace_event {
	int64_t when;
	uint8_t kind;
	uint16_t small;  /* in three words there is room for two small numbers */
	uint32_t small2; /* 24 bits */
	uint64_t id;     /* 40 bits, as `other` */
	uint64_t other;
	uint64_t word;
};

#define TRACE_ID_MAX (((uint64_t)1 << 40) - 1)
#define TRACE_THREAD_NAME_MAX 16

struct trace_ring {
	struct trace_ring *next;
	_Atomic(uint64_t) head; /* of the next event to write */
	uint64_t since;         /* what was written before is of an earlier recording */
	uint64_t mask;
	unsigned session;
	bool orphan;            /* its thread has ended */
	int thread;             /* the kernel's number */
	char name[TRACE_THREAD_NAME_MAX];
	_Atomic(uint64_t) *words; /* four an event */
	/* The reader's. */
	uint64_t cursor, end;
	struct trace_event event; /* at the cursor */
};

/* The number of this recording; 0 while nothing is recorded. */
extern atomic_uint trace_session;

static always_inline bool trace_on(void)
{
	return unlikely(atomic_load_explicit(&trace_session, memory_order_relaxed) != 0);
}

/* Begins to record with rings of `events`, a power of two, and forgets what was recorded. Returns 0, -ENOMEM or -EBUSY
 * (it does, or
 * is being read). */
int trace_start(size_t events);
void trace_stop(void);

/* Writes one event of this thread. It is lost, and counted, without memory for a ring. */
void trace_write(int64_t when, uint64_t first, uint64_t second, uint64_t word);

static always_inline void trace_record(int64_t when, enum trace_kind kind, unsigned small, uint64_t id,
				       unsigned small2, uint64_t other, uint64_t word)
{
	trace_write(when, (id & TRACE_ID_MAX) << 24 | (uint64_t)(small & 0xffff) << 8 | kind,
		    (other & TRACE_ID_MAX) << 24 | (small2 & 0xffffff), word);
}

/* A number that stands for a name, kept until the process ends: the names of tasks outlive them. 1 once there are as
 * many names as can be kept. */
uint16_t trace_intern(const char *name);
/* The name; NULL for what stands for none. */
const char *trace_interned(uint16_t number);

/* Numbers for jobs: a job's address comes again. */
uint64_t trace_next_job(void);

/*
 * Reading: one reader at a time; no ring goes away meanwhile, and no recording begins. trace_read_begin puts the
 * cursor of each ring of the recording at its oldest event, and the end behind its newest. `in_signal`: the process is
 * about to end, and nobody is waited for. Adds to *lost what was overwritten or recorded nowhere. Returns 0, -EBUSY
 * (somebody else reads) or -ENODATA.
 */
int trace_read_begin(bool in_signal, struct trace_ring **ret_first, uint64_t *lost);
void trace_read_end(void);
/* Whether it has a part in the recording that is read. */
bool trace_ring_current(const struct trace_ring *ring);
/* Fills ring->event with the first event that is still there, from the cursor on; false at the end. Adds to *lost what
 * was overwritten before it could be read. */
bool trace_ring_get(struct trace_ring *ring, uint64_t *lost);

/* Called by whoever sees a task that held its loop for too long; NULL: nobody wants to know. */
extern void (*_Atomic trace_on_slow)(void);

#endif
