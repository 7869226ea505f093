/* SPDX-License-Identifier: MIT */
/*
 * C++: whose exceptions are whose, and how far they may fly.
 *
 * The C++ runtime keeps, for each thread, the exceptions that are being handled and a count of those in flight. A
 * task that waits in a handler, or in a destructor that an exception calls, takes them along, or the next task to throw
 * would find them. They are on the waiting stack meanwhile; a stack that begins has none. The runtime is a weak
 * reference: a program without it pays nothing, one with it pays for looking whether there is an exception.
 */
#ifndef CONTEXT_EXCEPTIONS_H
#define CONTEXT_EXCEPTIONS_H

#include <stdbool.h>

#include "base/compiler.h"

/* __cxa_eh_globals of the Itanium C++ ABI. */
struct exceptions {
	void *caught;
	unsigned int uncaught;
};

/* The running thread's, as the C++ runtime keeps them; without one, and before exceptions_watch, an empty one. */
extern __thread struct exceptions *exceptions_of_thread;
extern struct exceptions exceptions_none;

/* Looks for the runtime and for this thread's exceptions. False without one. */
bool exceptions_watch(void);

/* Whether the running stack has any. */
static always_inline bool exceptions_held(void)
{
	return unlikely(exceptions_of_thread->caught != NULL || exceptions_of_thread->uncaught != 0);
}

/* Takes the running stack's exceptions away. False if it has none. */
static inline bool exceptions_take(struct exceptions *ret_held)
{
	if (!exceptions_held())
		return false;
	*ret_held = *exceptions_of_thread;
	*exceptions_of_thread = (struct exceptions){0};
	return true;
}

/* The stack may have come to another thread. */
static inline void exceptions_give_back(const struct exceptions *held)
{
	*exceptions_of_thread = *held;
}

/*
 * Calls a function that is the user's: FENCED(fn(arg)), or result = FENCED_VALUE(fn(arg)). An exception that it throws
 * ends in std::terminate, where it is thrown: frames of the library are not made to be left in the middle, and nobody
 * above would know what to do with it. So the function that contains this gets a personality that ends the search for a
 * handler. It costs nothing until then, and does not keep a thread from being cancelled.
 */
#ifdef __GCC_HAVE_DWARF2_CFI_ASM
#define EXCEPTIONS_FENCE ".cfi_personality 0x1b, exceptions_fence" /* relative to the place, 4 bytes */
#else
#define EXCEPTIONS_FENCE ""
#endif
/* The second one prevents a tail call: this frame must be there. */
#define FENCED(call) \
	({ \
		__asm__ volatile(EXCEPTIONS_FENCE); \
		(call); \
		__asm__ volatile(""); \
		(void)0; \
	})
#define FENCED_VALUE(call) \
	({ \
		__asm__ volatile(EXCEPTIONS_FENCE); \
		__typeof__(call) fenced_value = (call); \
		__asm__ volatile(""); \
		fenced_value; \
	})

#endif
