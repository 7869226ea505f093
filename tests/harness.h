/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the library have in common: loops as the environment wants them, a log of events with which
 * an interleaving is asserted, and a record of what the loop's error handler was told.
 *
 * ASYNC_TEST_BACKEND (epoll, io_uring) and ASYNC_TEST_SWITCH (asm, ucontext) choose what runs; unset is auto.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <async.h>

/* cmocka 2.0 has other names for these and warns of the old ones. */
#undef assert_in_range
#define assert_in_range(value, least, most) \
	assert_within((uintmax_t)(value), (uintmax_t)(least), (uintmax_t)(most), __FILE__, __LINE__)
void assert_within(uintmax_t value, uintmax_t least, uintmax_t most, const char *file, int line);
#undef assert_in_set
#undef assert_not_in_range
#undef assert_not_in_set

#define countof(array) (sizeof(array) / sizeof((array)[0]))

/* An entry of a cmocka group. An assertion that fails inside a task leaves a loop behind that seems to run; what
 * follows would fail for that alone. */
#define TEST(function) cmocka_unit_test_teardown(function, harness_recover)
int harness_recover(void **state);

/* The backend and the switch of the environment, the virtual clock, debug mode. */
struct async_options test_options(void);

/* True if this run is watched by `name`: "valgrind", "asan", "tsan" … */
bool under_tool(const char *name);
/* `count`, or a fiftieth of it under the tools that make stacks expensive. */
size_t test_many(size_t count);

/* A loop whose error handler records in `reports`, which is emptied. */
async_loop *loop_with(const struct async_options *options);
async_loop *loop_virtual(void);
/* The same on the real clock, for what other threads have a part in. */
async_loop *loop_real(void);
/* Closes and frees. */
void loop_end(async_loop *loop);

/* Runs `fn(arg)` on a loop of its own and gives its result. run_virtual and for_each_seed assert that nothing was
 * reported, a leaked future included. */
intptr_t run_with(async_fn *fn, void *arg, const struct async_options *options);
intptr_t run_virtual(async_fn *fn, void *arg);

/* Runs `fn(NULL)` with the ready queue shuffled in `count` ways; each must give 0. */
void for_each_seed(async_fn *fn, unsigned count);

/* What the error handler was told since the last loop was made. */
struct reports {
	size_t count;
	intptr_t error; /* the last one's */
	async_future *future;
	char message[8192];
};
extern struct reports reports;
int record_report(const struct async_error_context *context, void *arg);

/* Appends a word to the log. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Compares the log, words separated by blanks, and empties it. */
#define assert_noted(expected) assert_noted_at(expected, __FILE__, __LINE__)
void assert_noted_at(const char *expected, const char *file, int line);
/* The log itself. */
const char *noted(void);
void forget_notes(void);

/* A callback that notes its argument, a string. */
void note_callback(void *arg);

/* Gives way `turns` times. */
void give_way(int turns);

/* Calls `fn(arg)` in another thread and waits for its end: blocks this one. */
void in_thread(void (*fn)(void *arg), void *arg);

/* How many descriptors this process has. */
size_t open_descriptors(void);

/* Runs `fn(NULL)` as a task to its end on a loop of its own, even if the loop fails under it: then once more, so that
 * the body can clean up. Gives the first result. */
intptr_t run_to_the_end(async_fn *fn);

/* Runs `once` with each of its calls that can fail failing once, with each of `errors`: it must give 0 or an error,
 * and leave no descriptor behind. */
void fail_every_call(intptr_t (*once)(void), const int *errors, size_t count);

/* For other threads: returns once the loop sleeps in the kernel, or is about to. */
void await_asleep(async_loop *loop);

/* Sends what is written to stderr into a file, until stderr_release puts it into `text`. */
void stderr_capture(void);
void stderr_release(char *text, size_t size);

#endif
