/* SPDX-License-Identifier: MIT */
/*
 * Moving the processor from one stack to another.
 *
 * A context is a stack that is not running, reduced to the one word that brings it back: the stack pointer below
 * which everything else was saved. Two ways do it. The assembly one saves the registers that the ABI says a
 * callee must preserve; ucontext works everywhere, and pays two system calls for a signal mask that never
 * differs. With both, a stack keeps its floating-point environment (fpenv.h), its C++ exceptions if the program
 * has any (exceptions.h), and what a sanitizer knows of it (sanitizer.h).
 */
#ifndef CONTEXT_CONTEXT_H
#define CONTEXT_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "context/fpenv.h"
#include "context/sanitizer.h"
#include "context/stack.h"

#if defined(__x86_64__) || defined(__aarch64__)
#define CONTEXT_HAS_ASM 1
#else
#define CONTEXT_HAS_ASM 0
#endif

enum context_kind {
	CONTEXT_ASM,
	CONTEXT_UCONTEXT,
	/* Beside one of them, where somebody else must hear of each switch: see context_observers. */
	CONTEXT_FIBERS = 2,     /* a sanitizer */
	CONTEXT_EXCEPTIONS = 4, /* the C++ runtime */
};

struct context {
	void *sp; /* NULL: never made, or left for ever */
};

/* What is to be added to the kind of all switches of this thread: a thread asks before it begins to switch. */
unsigned context_observers(void);

/* Where this thread's own stack begins, if a sanitizer told it when a task was switched to; else NULL. */
const void *context_thread_top(void);

/* The outermost function of a stack. It ends by saying which context goes on: `return context_finish(…)`. */
typedef void *context_entry(void *arg);

void context_make_ucontext(struct context *context, void *bottom, void *top, uint32_t fpenv, context_entry *entry,
			   void *arg);

/* Prepares a context whose first switch calls entry(arg) at the top of the stack [bottom, top), in the floating-point
 * environment `fpenv`. `top` is aligned to 16. For the assembly, a stack that has not begun holds that, its argument
 * and its entry, and bit 0 of its pointer says so. */
static always_inline void context_make(struct context *context, enum context_kind kind, void *bottom, void *top,
				       uint32_t fpenv, context_entry *entry, void *arg)
{
	if (unlikely(kind & CONTEXT_FIBERS))
		sanitizer_fiber_make(stack_fiber(bottom), bottom, top);
	if (CONTEXT_HAS_ASM && likely(!(kind & CONTEXT_UCONTEXT))) {
		void **frame = (void **)top - 4;

		frame[0] = (void *)(uintptr_t)fpenv;
		frame[2] = arg;
		frame[3] = (void *)(uintptr_t)entry;
		context->sp = (char *)frame + 1;
	} else {
		context_make_ucontext(context, bottom, top, fpenv, entry, arg);
	}
}

/* The first thing that an entry does. */
static always_inline void context_begun(enum context_kind kind)
{
	if (unlikely(kind & CONTEXT_FIBERS))
		sanitizer_after_switch(NULL);
}

/* In switch_*.S: saves the running stack, which has the environment `fpenv`, at *save and continues `to`. */
void context_swap_asm(void **save, void *to, uint32_t fpenv);

/* The environment of a stack that is not running. */
static always_inline uint32_t context_fpenv_asm(const void *sp)
{
	return *(const uint32_t *)((uintptr_t)sp & ~(uintptr_t)1);
}

/* Saves the running stack in `from` and continues `to`; returns when somebody switches to `from`. Out of line, so
 * that every suspended stack returns to the same place: see switch_x86_64.S. */
void context_switch(struct context *from, struct context *to, enum context_kind kind);

_Noreturn void context_finish_fiber(struct context *from, struct context *to, enum context_kind kind);
void *context_finish_ucontext(struct context *to);

/* The last thing that a stack does: what it was is `from`, `to` goes on. */
static always_inline void *context_finish(struct context *from, struct context *to, enum context_kind kind)
{
	/* Their bookkeeping is of this stack until the very end, so it must not return. */
	if (unlikely(kind & CONTEXT_FIBERS))
		context_finish_fiber(from, to, kind);
	if (!CONTEXT_HAS_ASM || unlikely(kind & CONTEXT_UCONTEXT))
		return context_finish_ucontext(to);
	fpenv_exchange(context_fpenv_asm(to->sp));
	return to->sp;
}

#endif
