/* SPDX-License-Identifier: MIT */
/* What the tests of sockets have in common: addresses and sockets of each family, and tasks that call once. */
#ifndef TESTS_SOCKET_PEERS_H
#define TESTS_SOCKET_PEERS_H

#include "descriptors.h"

#include <sys/socket.h>

enum family { INET, INET6, UNIX_PATH, UNIX_ABSTRACT, FAMILIES };

struct address {
	struct sockaddr_storage storage;
	socklen_t size;
};

/* The form that the calls want. */
struct sockaddr *sa(struct address *address);
/* A machine may have no IPv6. */
bool has_family(enum family family);
/* An address on which nobody else is. */
struct address local_address(enum family family);

/* A socket; `blocking`: one that is set to wait, which is none of async_socket. */
int make(enum family family, int type, bool blocking);
/* A socket with an address of its own, which is filled in. */
int make_bound(enum family family, int type, bool blocking, struct address *address);
/* The same, which listens. */
int make_listener(enum family family, bool blocking, int backlog, struct address *address);
/* Closes, and removes the file of a path. */
void close_bound(enum family family, int fd, struct address *address);
/* Two connected streams of a family. */
void make_pair(enum family family, int fds[2]);

/* Runs and sees to it that no descriptor is left. Static, as others have the name, too. */
static inline void run(async_fn *fn, void *arg)
{
	size_t before = open_descriptors();

	assert_int_equal(run_virtual(fn, arg), 0);
	assert_int_equal(open_descriptors(), before);
}

struct call {
	int fd;
	struct address address;
	char buffer[16];
	size_t size;
	intptr_t result; /* a task that was cancelled meanwhile ends with -ECANCELED, whatever its call returned */
};

/* Accepts into the address, receives into the buffer. */
intptr_t accept_once(void *call);
intptr_t recv_once(void *call);

#endif
