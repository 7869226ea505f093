/* SPDX-License-Identifier: MIT */
/* What the tests of the reactor have in common: a reactor, operations that note their end, both ends of descriptors. */
#ifndef TESTS_REACTOR_PEERS_H
#define TESTS_REACTOR_PEERS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "reactor/reactor.h"

/* An entry of a cmocka group: each test has a reactor of its own. */
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int setup(void **state);
int teardown(void **state);

/* Runs the tests on epoll, and on io_uring if it can be used, with as many descriptors as are allowed: how many failed.
 * What hangs ends after a minute. */
int run_on_each_backend(const struct CMUnitTest *tests, size_t count);

/* What runs now. */
extern enum reactor_kind kind;
extern struct reactor *r;

/* An operation with its buffer, which notes its end. */
struct call {
	struct op op;
	bool done;
	int order;
	char bytes[64];
};

/* These begin one. True if it is pending. */
bool begin_op(struct call *c, enum op_code code, int fd, const void *buffer, size_t size);
bool begin_read(struct call *c, int fd);
bool begin_poll(struct call *c, int fd, short events);
/* Waits for its end, and gives the result. */
int64_t finish(struct call *c);
/* From the beginning to the end. */
int64_t do_read(struct call *c, int fd);
int64_t do_write(int fd, const void *bytes, size_t size);
/* Cancels it, and waits for its end. */
int64_t cancel(struct call *c);
/* Lets submissions reach the kernel and everything that can complete do so. */
void settle(void);

/* Writes the whole text without the reactor. Static, as such short names are taken in other tests. */
static inline void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

void close_both(const int fds[2]);
/* Writes until there is no more room: so many bytes. */
size_t fill(int fd);
/* A file without a name that holds the text, at its beginning. */
int temporary(const char *text);

#endif
