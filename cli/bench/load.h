/* SPDX-License-Identifier: MIT */
/*
 * Load for an echo server: connections that each send 64 bytes, wait until they are back, and send them again. Bare
 * epoll, two system calls a request: the same for every server that is measured.
 */
#ifndef CLI_BENCH_LOAD_H
#define CLI_BENCH_LOAD_H

#include <stdint.h>
#include <sys/types.h>

struct load_result {
	double rate; /* requests a second */
	double cpu;  /* ns of the server's processor time a request */
};

/* Connects `count` times to `port` of this machine. Returns: 0 or -errno; on success all of `fds` are open. */
int load_connect(uint16_t port, int *fds, unsigned count);
/* Closes them at once, so that their numbers are free for the next run. */
void load_disconnect(const int *fds, unsigned count);

/* Runs load on `count` connections for `duration` ns, after some time to warm up. Returns: 0 or -errno. */
int load_run(uint16_t port, unsigned count, double duration, pid_t server, struct load_result *result);

/* Makes this process run on the first or the second of the processors that it may use; `which` < 0: on all of them. */
void load_pin(int which);

/* Lets this process have as many descriptors as it may. */
void load_raise_limit(void);

#endif
