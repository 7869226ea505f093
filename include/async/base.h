/* SPDX-License-Identifier: MIT */
/*
 * The types that every other header uses, how time is written, and the names of the errors that calls return negated.
 *
 * Time is a signed count of nanoseconds on the loop's own clock, which is CLOCK_MONOTONIC or virtual. The
 * constants are scales: async_sleep(500 * ASYNC_MS). A point in time and a span have the same type.
 */
#ifndef ASYNC_BASE_H
#define ASYNC_BASE_H

/* `make` shows these before it compiles anything. */
#if !defined(__linux__)
#error "libasync needs Linux: its loop waits with io_uring or epoll"
#elif !defined(__LP64__)
#error "libasync needs a 64-bit target: it reserves 64 GiB of address space for stacks, and results carry pointers"
#endif

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* <errno.h> says which C library it is. */
#if !defined(__GLIBC__) || defined(__UCLIBC__)
#error "libasync needs the GNU C library: musl and others have no makecontext"
#endif

#define ASYNC_VERSION_MAJOR 0
#define ASYNC_VERSION_MINOR 1
#define ASYNC_VERSION_PATCH 0
#define ASYNC_VERSION_STRING "0.1.0"

#ifdef __cplusplus
#define ASYNC_BEGIN_DECLS extern "C" {
#define ASYNC_END_DECLS }
#else
#define ASYNC_BEGIN_DECLS
#define ASYNC_END_DECLS
#endif

/*
 * What the initialisers that end in _INIT are made of: a structure that knows its size, and one that is all zero. C++
 * has other ways to say it, in which no compiler misses the fields that are left out by design.
 */
#ifdef __cplusplus
#define ASYNC_INIT_SIZE(type) \
	([] { \
		type zero = {}; \
		zero.size = sizeof(zero); \
		return zero; \
	}())
#define ASYNC_INIT_ZERO {}
#else
#define ASYNC_INIT_SIZE(type) {.size = sizeof(type)}
#define ASYNC_INIT_ZERO {0}
#endif

/* What the library exports; everything else in it is hidden. */
#define ASYNC_EXPORT __attribute__((visibility("default")))
/* Whoever ignores -ECANCELED cannot be stopped, so a call that suspends must have its result looked at. */
#define ASYNC_MUST_CHECK __attribute__((warn_unused_result))

typedef int64_t async_time;

#define ASYNC_NS ((async_time)1)
#define ASYNC_US (1000 * ASYNC_NS)
#define ASYNC_MS (1000 * ASYNC_US)
#define ASYNC_S (1000 * ASYNC_MS)
/* No deadline, or no limit. */
#define ASYNC_FOREVER INT64_MAX

typedef struct async_loop async_loop;
typedef struct async_handle async_handle;
typedef struct async_executor async_executor;

/* Something that will have a result. A task is a future whose result a coroutine produces, so whatever
 * waits for a future waits for a task too. */
typedef struct async_future async_future;
typedef struct async_future async_task;

/* The body of a task or of a job. Its word is a count, a pointer, or a negative errno. */
typedef intptr_t async_fn(void *arg);
/* What a loop calls back. */
typedef void async_callback(void *arg);
/* Disposes of an argument whose body never ran. */
typedef void async_destroy(void *arg);
/* Disposes of a result that nobody took. Called for results >= 0 only: an error owns nothing. */
typedef void async_drop(intptr_t result);

/* For calls that a loop is going to make. Zero means the default in every field. */
struct async_call_options {
	size_t size;            /* sizeof(struct async_call_options) */
	async_destroy *destroy; /* gets the argument if the call is never made */
};

#define ASYNC_CALL_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_call_options)

ASYNC_BEGIN_DECLS

/* The version of the library that runs, which may be newer than the header: "0.1.0". */
ASYNC_EXPORT const char *async_version(void);

ASYNC_END_DECLS

#endif
