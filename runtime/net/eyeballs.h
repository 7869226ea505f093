/* SPDX-License-Identifier: MIT */
/* Happy eyeballs: which of several addresses answers first (RFC 8305). */
#ifndef NET_EYEBALLS_H
#define NET_EYEBALLS_H

#include <netdb.h>

#include <async/base.h>

/* Stores the addresses of a list in the order in which they are tried: families take turns, beginning with that of
 * the first; within a family the resolver's order stays. */
void eyeballs_order(const struct addrinfo *list, const struct addrinfo **ret_order);

/*
 * Connects a socket to one of the addresses: the next is begun `delay` after the one before, or at once when that has
 * failed. `local` (may be NULL) are the addresses to connect from. The descriptor, or why the last attempt failed,
 * unless that says less than an earlier one; -ECANCELED, -ENOMEM.
 */
int eyeballs_connect(const struct addrinfo *list, const struct addrinfo *local, async_time delay);

#endif
