/* SPDX-License-Identifier: MIT */
/*
 * Names: getaddrinfo(3) that a task waits for.
 *
 *     struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
 *     int error = async_resolve("localhost", "http", &hints, &list);
 *     ...
 *     freeaddrinfo(list);
 *
 * <netdb.h> has the structure and what frees it. Look-ups take their time, so they run in threads of their own: 8 at a
 * time in a process, the others wait in order. Numbers are answered on the spot.
 */
#ifndef ASYNC_RESOLVE_H
#define ASYNC_RESOLVE_H

#include <async/base.h>

struct addrinfo;

ASYNC_BEGIN_DECLS

/*
 * getaddrinfo(3): `host` or `service` may be NULL, and so may `hints`.
 * Owns: the caller frees the list with freeaddrinfo(3).
 * Suspends: unless host and service are numbers. Cancel: at once; a look-up that runs goes on, and its answer is
 * thrown away.
 * Returns: 0 with the list in `*ret_list`; -ECANCELED, -ENOMEM, -EINVAL (hints that make no sense, neither host nor
 * service), -EPERM (outside a task), -ENOENT (no such host or service: EAI_NONAME), -ENODATA (a host without
 * addresses: EAI_NODATA), -EADDRNOTAVAIL (none of that family: EAI_ADDRFAMILY), -EAGAIN (no answer now: EAI_AGAIN; or
 * no thread could be started), -EIO (the name servers failed: EAI_FAIL), -EAFNOSUPPORT, -ESOCKTNOSUPPORT,
 * -EPROTONOSUPPORT (no such service for this type of socket: EAI_SERVICE), -ENAMETOOLONG, and what the kernel says
 * (EAI_SYSTEM).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_resolve(const char *host, const char *service, const struct addrinfo *hints,
						struct addrinfo **ret_list);

ASYNC_END_DECLS

#endif
