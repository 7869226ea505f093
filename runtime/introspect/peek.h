/* SPDX-License-Identifier: MIT */
/*
 * Reading this process's own memory as if it were another's: an address that leads nowhere is an error and no crash.
 * That is for those who look at what another thread changes meanwhile, or what they have interrupted. Safe in a signal
 * handler.
 */
#ifndef INTROSPECT_PEEK_H
#define INTROSPECT_PEEK_H

#include <stdbool.h>
#include <stddef.h>

/* Copies `size` bytes. Returns how many there were before memory ended that can be read. */
size_t peek(void *to, const void *from, size_t size);

/* True if all of `*to` was read. */
#define PEEK(to, from) (peek(to, from, sizeof(*(to))) == sizeof(*(to)))

/* A string of at most `size` bytes with its end, cut if it is longer. Returns false if none of it could be read. */
bool peek_string(char *to, const char *from, size_t size);

#endif
