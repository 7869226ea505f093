/* SPDX-License-Identifier: MIT */
/* Where an address of code is, as `binary+0xoffset`, which addr2line understands: from /proc/self/maps, because the
 * dynamic linker's own functions take locks. Safe in a signal handler. */
#ifndef INTROSPECT_LOCATE_H
#define INTROSPECT_LOCATE_H

#include <stddef.h>

/* Returns `text`; the bare address if it is in no file. */
const char *locate_code(const void *address, char *text, size_t size);
/* The same with the function, the file and the line before it, as far as they are known: `work (work.c:12,
 * binary+0x1234)`. Not in a handler. */
const char *locate_function(const void *address, char *text, size_t size);

#endif
