/* SPDX-License-Identifier: MIT */
#ifndef IO_PROCESS_START_H
#define IO_PROCESS_START_H

#include <async/process.h>

/* Starts a child. `fds` gets the caller's ends of its pipes, also if it fails: the caller closes them. Returns 0 or
 * -errno. */
int process_start(const char *file, char *const argv[], const struct async_process_options *options, int fds[3],
		  pid_t *ret_pid);

#endif
