/* SPDX-License-Identifier: MIT */
/* Where code comes from, by the debugging information that the program was built with. By dwarf.c. */
#ifndef INTROSPECT_SOURCE_H
#define INTROSPECT_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

/* "file:line", as the compiler was told the file. False: not known, or elfutils' libdw is not there. Not in a
 * handler. */
bool source_find(const void *address, char *buffer, size_t size);

#endif
