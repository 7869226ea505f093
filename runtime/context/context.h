/* SPDX-License-Identifier: MIT */
/*
 * Moving the processor from one stack to another.
 *
 * A context is a stack that is not running, reduced to the one word that brings it back: the stack pointer below
 * which everything else was saved. Two ways do it. The assembly one saves the registers that the ABI says a
 * callee must preserve; ucontext works everywhere, and pays two system calls for a signal mask that never
 * differs. Neither saves the floating-point control words: a task that changes the rounding mode changes it for
 * the thread, and loading them at each switch costs more than the switch (75 ns once a sticky flag is set).
 */
#ifndef CONTEXT_CONTEXT_H
#define CONTEXT_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "context/sanitizer.h"

#if defined(__x86_64__) || defined(__aarch64__)
#define CONTEXT_HAS_ASM 1
#else
#define CONTEXT_HAS_ASM 0
#endif

enum context_kind {
	CONTEXT_ASM,
	CONTEXT_UCONTEXT,
};

struct context {
	void *sp;                        /* NULL: never made, or left for ever */
	struct sanitizer_fiber fiber;    /* empty but under a sanitizer */
};

/* The outermost function of a stack. It ends by saying which context goes on: `return context_finish(…)`. */
typedef void *context_entry(void *arg);

void context_make_ucontext(struct context *context, void *bottom, void *top, context_entry *entry, void *arg);

/* Prepares a context whose first switch calls entry(arg) at the top of the stack [bottom, top). `top` is aligned to
 * 16. For the assembly, a stack that has not begun holds its argument and its entry, and bit 0 of its pointer says
 * so. */
static always_inline void context_make(struct context *context, enum context_kind kind, void *bottom, void *top,
				       context_entry *entry, void *arg)
{
	sanitizer_fiber_make(&context->fiber, bottom, top);
	if (CONTEXT_HAS_ASM && likely(kind == CONTEXT_ASM)) {
		void **frame = (void **)top - 2;

		frame[0] = arg;
		frame[1] = (void *)(uintptr_t)entry;
		context->sp = (char *)frame + 1;
	} else {
		context_make_ucontext(context, bottom, top, entry, arg);
	}
}

/* In switch_*.S, and with ucontext. Both save the running stack at *save and continue `to`. */
void context_swap_asm(void **save, void *to);
void context_swap_ucontext(void **save, void *to);

/* Saves the running stack in `from` and continues `to`; returns when somebody switches to `from`. Out of line, so
 * that every suspended stack returns to the same place: see switch_x86_64.S. */
void context_switch(struct context *from, struct context *to, enum context_kind kind);

/* The last thing that a stack does: what it was is `from`, `to` goes on. */
static always_inline void *context_finish(struct context *from, struct context *to, enum context_kind kind)
{
#if defined(WITH_ASAN) || defined(WITH_TSAN)
	/* Their bookkeeping is of this stack until the very end, so it must not return. */
	sanitizer_before_switch(&from->fiber, &to->fiber, false);
	if (CONTEXT_HAS_ASM && kind == CONTEXT_ASM)
		context_swap_asm(&from->sp, to->sp);
	else
		context_swap_ucontext(&from->sp, to->sp);
	__builtin_unreachable();
#else
	(void)from, (void)kind;
	return to->sp;
#endif
}

#endif
