/* SPDX-License-Identifier: MIT */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

/* Writes an address as people do: "127.0.0.1:80", "[::1]:80", "/run/x", "@x"; nothing for a Unix socket without one. */
void address_print(const struct sockaddr_storage *address, socklen_t size, char *text, size_t room);

#endif
