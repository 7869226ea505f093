/* SPDX-License-Identifier: MIT */
/*
 * What the tools must be told so that they see coroutines as they are. Empty in an ordinary build, but for
 * valgrind's requests, which are a few instructions at the making of a stack.
 *
 * AddressSanitizer keeps the bounds of the running stack and a fake stack for each; ThreadSanitizer keeps a
 * shadow stack and a clock for each fibre; memcheck must know that a jump of the stack pointer is a change of
 * stacks and no gigantic frame.
 */
#ifndef CONTEXT_SANITIZER_H
#define CONTEXT_SANITIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#include <valgrind/valgrind.h>
#define WITH_VALGRIND 1
#endif

struct sanitizer_fiber {
#ifdef WITH_ASAN
	void *fake_stack;
	const void *bottom;
	size_t size;
#endif
#ifdef WITH_TSAN
	void *fiber;
#endif
#if !defined(WITH_ASAN) && !defined(WITH_TSAN)
	char none[0];
#endif
};

#ifdef WITH_ASAN
/* Whose bounds the next arrival learns: a thread's own stack is described by nobody else. */
extern __thread struct sanitizer_fiber *sanitizer_left;
#endif
#ifdef WITH_TSAN
/* A fibre can only be destroyed by another one. */
extern __thread void *sanitizer_dead_fiber;
#endif

static always_inline void sanitizer_fiber_make(struct sanitizer_fiber *fiber, void *bottom, void *top)
{
	(void)fiber, (void)bottom, (void)top;
#ifdef WITH_ASAN
	/* Frames that were left without returning had poisoned their red zones. */
	__asan_unpoison_memory_region(bottom, (size_t)((char *)top - (char *)bottom));
	fiber->fake_stack = NULL;
	fiber->bottom = bottom;
	fiber->size = (size_t)((char *)top - (char *)bottom);
#endif
#ifdef WITH_TSAN
	fiber->fiber = __tsan_create_fiber(0);
#endif
}

static always_inline void sanitizer_before_switch(struct sanitizer_fiber *from, struct sanitizer_fiber *to,
						  bool returns)
{
	(void)from, (void)to, (void)returns;
#ifdef WITH_ASAN
	sanitizer_left = from;
	__sanitizer_start_switch_fiber(returns ? &from->fake_stack : NULL, to->bottom, to->size);
#endif
#ifdef WITH_TSAN
	if (!from->fiber)
		from->fiber = __tsan_get_current_fiber();
	if (!returns)
		sanitizer_dead_fiber = from->fiber;
	__tsan_switch_to_fiber(to->fiber, 0);
#endif
}

/* The first thing on the stack that was switched to; `self` NULL for one that runs for the first time. */
static always_inline void sanitizer_after_switch(struct sanitizer_fiber *self)
{
	(void)self;
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(self ? self->fake_stack : NULL, &sanitizer_left->bottom, &sanitizer_left->size);
#endif
#ifdef WITH_TSAN
	if (sanitizer_dead_fiber) {
		__tsan_destroy_fiber(sanitizer_dead_fiber);
		sanitizer_dead_fiber = NULL;
	}
#endif
}

/* A stack whose owner is abandoned where it waits. */
static inline void sanitizer_fiber_abandon(struct sanitizer_fiber *fiber)
{
	(void)fiber;
#ifdef WITH_TSAN
	if (fiber->fiber)
		__tsan_destroy_fiber(fiber->fiber);
	fiber->fiber = NULL;
#endif
}

/* In a forked child: another thread may have been on it, and seems to be for ever. It cannot be destroyed. */
static inline void sanitizer_fiber_forget(struct sanitizer_fiber *fiber)
{
	(void)fiber;
#ifdef WITH_TSAN
	fiber->fiber = NULL;
#endif
}

/* A range that holds stacks is coming or going: what frames poisoned there must not outlive it. */
static inline void sanitizer_forget_range(void *start, size_t size)
{
	(void)start, (void)size;
#ifdef WITH_ASAN
	__asan_unpoison_memory_region(start, size);
#endif
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
