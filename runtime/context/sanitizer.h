/* SPDX-License-Identifier: MIT */
/*
 * What the tools must be told so that they see coroutines as they are.
 *
 * AddressSanitizer keeps the bounds of the running stack and a fake stack for each; ThreadSanitizer keeps a
 * shadow stack and a clock for each fibre; memcheck must know that a jump of the stack pointer is a change of
 * stacks and no gigantic frame. The sanitizers are looked for when the program runs (base/instrument.h): a program
 * may be built with one while the library is not.
 */
#ifndef CONTEXT_SANITIZER_H
#define CONTEXT_SANITIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/instrument.h"

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#include <valgrind/valgrind.h>
#define WITH_VALGRIND 1
#endif

/* What ThreadSanitizer takes for a thread. */
struct tsan_fiber {
	void *handle;
	unsigned uses;
};

/* What a sanitizer knows of a stack. Written and read only where there is one. */
struct sanitizer_fiber {
	void *fake_stack;
	const void *bottom;
	size_t size;
	struct tsan_fiber tsan;
};

static always_inline bool sanitizer_present(void)
{
	return instrument_asan() || instrument_tsan();
}

/* Whose bounds the next arrival learns: a thread's own stack is described by nobody else. */
extern __thread struct sanitizer_fiber *sanitizer_left;
/* What has ended is disposed of by who comes next: a fibre cannot be destroyed on itself. */
extern __thread struct tsan_fiber sanitizer_ended;

/* For a stack that begins, and after it has ended. Making one means clearing most of a megabyte, so each thread keeps
 * some that have ended. They count as threads of the process: a child that is forked while there are any is not
 * looked at, and may start none. Hence the last, for a thread that has no loop any more. */
struct tsan_fiber tsan_fiber_take(void);
void tsan_fiber_give(struct tsan_fiber fiber);
void tsan_fibers_drop(void);

/* The next three are called only if a sanitizer is present. */

/* A stack that has not begun. */
static inline void sanitizer_fiber_make(struct sanitizer_fiber *fiber, void *bottom, void *top)
{
	size_t size = (size_t)((char *)top - (char *)bottom);

	*fiber = (struct sanitizer_fiber){.bottom = bottom, .size = size};
	/* Frames that were left without returning had poisoned their red zones. */
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(bottom, size);
	if (instrument_tsan())
		fiber->tsan = tsan_fiber_take();
}

/* Before a stack is left for another one; `returns` is false if it ends. Inlined where the switch is: a function that
 * was entered on one fibre and left on another would confuse the shadow stacks. */
static always_inline void sanitizer_before_switch(struct sanitizer_fiber *from, struct sanitizer_fiber *to,
						  bool returns)
{
	if (instrument_asan()) {
		sanitizer_left = from;
		__sanitizer_start_switch_fiber(returns ? &from->fake_stack : NULL, to->bottom, to->size);
	}
	if (instrument_tsan()) {
		if (!from->tsan.handle)
			from->tsan.handle = __tsan_get_current_fiber();
		if (!returns)
			sanitizer_ended = from->tsan;
		__tsan_switch_to_fiber(to->tsan.handle, 0);
	}
}

/* The first thing on the stack that was switched to; `self` NULL for one that runs for the first time. */
static always_inline void sanitizer_after_switch(struct sanitizer_fiber *self)
{
	if (instrument_asan())
		__sanitizer_finish_switch_fiber(self ? self->fake_stack : NULL, &sanitizer_left->bottom,
						&sanitizer_left->size);
	if (instrument_tsan() && sanitizer_ended.handle) {
		tsan_fiber_give(sanitizer_ended);
		sanitizer_ended.handle = NULL;
	}
}

/* A stack whose owner is abandoned where it waits: calls are open on its fibre, so nothing else can begin there. */
static inline void sanitizer_fiber_abandon(struct sanitizer_fiber *fiber)
{
	if (instrument_tsan() && fiber && fiber->tsan.handle) {
		__tsan_destroy_fiber(fiber->tsan.handle);
		fiber->tsan.handle = NULL;
	}
}

/* In a forked child: another thread may have been on it, and seems to be for ever. It cannot be destroyed. */
static inline void sanitizer_fiber_forget(struct sanitizer_fiber *fiber)
{
	if (instrument_tsan() && fiber)
		fiber->tsan.handle = NULL;
}

/* A range that holds stacks is coming or going: what frames poisoned there must not outlive it. */
static inline void sanitizer_forget_range(void *start, size_t size)
{
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(start, size);
}

static inline unsigned sanitizer_stack_register(void *bottom, void *top)
{
	(void)bottom, (void)top;
#ifdef WITH_VALGRIND
	return (unsigned)VALGRIND_STACK_REGISTER(bottom, top);
#else
	return 0;
#endif
}

static inline void sanitizer_stack_deregister(unsigned id)
{
	(void)id;
#ifdef WITH_VALGRIND
	VALGRIND_STACK_DEREGISTER(id);
#endif
}

/* Memory below the stack pointer holds what it holds. */
static inline void sanitizer_defined(const void *start, size_t size)
{
	(void)start, (void)size;
#ifdef WITH_VALGRIND
	VALGRIND_MAKE_MEM_DEFINED(start, size);
#endif
}

static inline bool sanitizer_on_valgrind(void)
{
#ifdef WITH_VALGRIND
	return RUNNING_ON_VALGRIND != 0;
#else
	return false;
#endif
}

#endif
