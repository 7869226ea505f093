/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of the library's own. They are never 0, 1 or 2: those belong to the program even while they are closed,
 * and what it prints must not end up in an eventfd. They are always close-on-exec. Whatever the library opens for
 * itself is opened here; what a caller asks for by name (async_open, async_socket, async_accept) gets the number that
 * POSIX gives it.
 *
 * Each returns the descriptor or -errno, and is safe in signal handlers but for own_opendir.
 */
#ifndef BASE_OWN_FD_H
#define BASE_OWN_FD_H

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

int own_open(const char *path, int flags, mode_t mode);
/* NULL with the reason in *ret_error. */
DIR *own_opendir(const char *path, int *ret_error);
int own_eventfd(unsigned count, int flags);
int own_epoll(void);
/* On CLOCK_MONOTONIC. */
int own_timerfd(int flags);
int own_signalfd(const sigset_t *signals);
/* `fault_name`: see base/fault.h. */
int own_pidfd(pid_t pid, const char *fault_name);
int own_socket(int domain, int type, int protocol);
/* A non-blocking one. */
int own_accept(int fd, struct sockaddr *address, socklen_t *size);
/* Unix ones; 0 or -errno. */
int own_socketpair(int type, int ret_fds[2]);
/* 0 or -errno. */
int own_pipe(int ret_fds[2]);
/* Another descriptor of what `fd` stands for, which stays as it is. */
int own_copy(int fd);

/* For what other code has opened, or a message has brought, close-on-exec: the same under a number above 2. A negative
 * error stays that; where there is no number, the descriptor is closed. */
int own_lift(int fd);

/* Around calls of other libraries that open files: 0, 1 and 2 are taken as far as they are free, by descriptors that
 * can neither be read nor written. */
void own_standard_block(bool ret_blocked[3]);
void own_standard_unblock(const bool blocked[3]);

#endif
