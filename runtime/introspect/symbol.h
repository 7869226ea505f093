/* SPDX-License-Identifier: MIT */
/* Names of functions, those that are static among them: from a file's symbol table, if it was not stripped. */
#ifndef INTROSPECT_SYMBOL_H
#define INTROSPECT_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The function of the ELF file at `path` that has `address`, as the file counts addresses, in `name`. False: not
 * known. */
bool symbol_find(const char *path, uintptr_t address, char *name, size_t size);

#endif
