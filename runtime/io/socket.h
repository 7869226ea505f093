/* SPDX-License-Identifier: MIT */
#ifndef IO_SOCKET_H
#define IO_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>

/*
 * Whether a stream socket that was connected to `target` is connected to itself. That happens where nobody listens:
 * the kernel may choose the very port that is asked for as the socket's own, and then both ends open at the same time.
 */
bool socket_is_its_own_peer(int fd, const struct sockaddr *target);

#endif
