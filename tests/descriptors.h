/* SPDX-License-Identifier: MIT */
/*
 * What the tests of descriptors have in common, whatever the calls that they use. Static, as such short names are taken
 * in other tests.
 */
#ifndef TESTS_DESCRIPTORS_H
#define TESTS_DESCRIPTORS_H

#include "harness.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Closes, as a task: it must not fail. */
static inline void close_now(int fd)
{
	assert_int_equal(async_close(fd), 0);
}

/* Puts bytes there as another process would. */
static inline void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* How many bytes can be read. */
static inline size_t available(int fd)
{
	int count = -1;

	assert_int_equal(ioctl(fd, FIONREAD, &count), 0);
	return (size_t)count;
}

/* Gives a task that was just created the time to get where it waits, in the kernel too. */
static inline void settle(void)
{
	give_way(5);
}

/* What the kernel does takes real time. No descriptor is left open. */
static inline void run_really(async_fn *fn)
{
	struct async_options options = test_options();
	size_t before = open_descriptors();

	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(run_with(fn, NULL, &options), 0);
	assert_int_equal(open_descriptors(), before);
}

#endif
