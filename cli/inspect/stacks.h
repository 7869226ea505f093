/* SPDX-License-Identifier: MIT */
/*
 * The C call stacks of tasks that do not run, unwound from here: from the registers that were saved when a task
 * switched away, or, of one that is in a system call, from what the kernel says.
 */
#ifndef CLI_INSPECT_STACKS_H
#define CLI_INSPECT_STACKS_H

#include "inspect/snapshot.h"
#include "inspect/thread.h"

#define FRAMES_MAX 64
#define REGISTERS_MAX 34

/* By DWARF's numbers. */
struct registers {
	uint64_t pc, sp, fp;
	uint64_t values[REGISTERS_MAX];
	uint64_t known; /* a bit each */
};

struct frame_view {
	uint64_t pc;
	const char *function; /* NULL: unknown */
	const char *file;     /* of the source; NULL: unknown */
	int line;
	const char *object;   /* the file that the code comes from; NULL: unknown */
	uint64_t offset;      /* of `pc` in that */
};

typedef void frame_fn(const struct frame_view *frame, unsigned level, void *arg);

struct stacks;

/* Never NULL but without memory. */
struct stacks *stacks_open(const struct target *target);
void stacks_close(struct stacks *stacks);

/* Calls `fn` for each frame, innermost first. Returns: NULL, or why there are none. */
const char *stacks_walk(struct stacks *stacks, const struct snapshot *snapshot, const struct task_view *task,
			const struct thread_view *thread, frame_fn *fn, void *arg);

/* The two ways to unwind. Each returns false if it cannot be used here. */
struct unwinder;
struct unwinder *unwind_dwarf_open(const struct target *target); /* NULL: no libdw here */
void unwind_dwarf_close(struct unwinder *unwinder);
bool unwind_dwarf(struct unwinder *unwinder, const struct registers *registers, frame_fn *fn, void *arg);

struct symbols;
struct symbols *symbols_open(const struct target *target);
void symbols_close(struct symbols *symbols);
/* Whether an address is one of code. */
bool symbols_cover(const struct symbols *symbols, uint64_t address);
/* Fills everything but the source. The strings last until symbols_close. False: no code is there. */
bool symbols_find(struct symbols *symbols, uint64_t pc, struct frame_view *frame);

#endif
