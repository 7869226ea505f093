/* SPDX-License-Identifier: MIT */
/*
 * The kernel reads and writes buffers behind the back of memory checkers. Here they are told what they cannot
 * see: what is handed over must be ours to give, and what came back has been written.
 */
#ifndef REACTOR_BUFFER_H
#define REACTOR_BUFFER_H

#include "base/instrument.h"
#include "reactor/op.h"

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define NVALGRIND
#define RUNNING_ON_VALGRIND 0
#endif
/* Its own header defines this on processors that it does not know, and then uses no argument. */
#ifdef NVALGRIND
#undef VALGRIND_CHECK_MEM_IS_ADDRESSABLE
#undef VALGRIND_CHECK_MEM_IS_DEFINED
#undef VALGRIND_MAKE_MEM_DEFINED
#define VALGRIND_CHECK_MEM_IS_ADDRESSABLE(address, size) ((void)(address), (void)(size))
#define VALGRIND_CHECK_MEM_IS_DEFINED(address, size) ((void)(address), (void)(size))
#define VALGRIND_MAKE_MEM_DEFINED(address, size) ((void)(address), (void)(size))
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BUFFER_ASAN
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define BUFFER_ASAN
#endif

#ifdef BUFFER_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* The same of what is not one buffer. */
void buffer_hand_over_other(const struct op *op);
void buffer_take_back_other(const struct op *op, int64_t result);

static inline void buffer_check_readable(const void *buffer, size_t size)
{
	(void)VALGRIND_CHECK_MEM_IS_DEFINED(buffer, size);
#ifdef BUFFER_ASAN
	volatile char *poisoned = __asan_region_is_poisoned((void *)(uintptr_t)buffer, size);

	if (poisoned)
		(void)*poisoned; /* is reported, with this stack */
#endif
}

static inline void buffer_check_writable(void *buffer, size_t size)
{
	(void)VALGRIND_CHECK_MEM_IS_ADDRESSABLE(buffer, size);
#ifdef BUFFER_ASAN
	volatile char *poisoned = __asan_region_is_poisoned(buffer, size);

	if (poisoned)
		*poisoned = *poisoned;
#endif
}

static inline void buffer_hand_over(struct op *op)
{
	if (op->code == OP_READ || op->code == OP_RECV)
		buffer_check_writable(op->buffer, op->size);
	else if (op->code == OP_WRITE || op->code == OP_SEND)
		buffer_check_readable(op->buffer, op->size);
	else if (op->code != OP_POLL)
		buffer_hand_over_other(op);
	order_release(op);
}

static inline void buffer_take_back(struct op *op, int64_t result)
{
	order_acquire(op);
	if (result < 0 || op->code == OP_SEND)
		return;
	if (op->code == OP_READ)
		(void)VALGRIND_MAKE_MEM_DEFINED(op->buffer, (size_t)result);
	else if (op->code == OP_RECV) /* with MSG_TRUNC it says how much there was */
		(void)VALGRIND_MAKE_MEM_DEFINED(op->buffer, (size_t)result < op->size ? (size_t)result : op->size);
	else if (op->code > OP_WRITE)
		buffer_take_back_other(op, result);
}

#endif
