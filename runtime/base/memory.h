/* SPDX-License-Identifier: MIT */
/* The only malloc of the library, so that a test can make each allocation fail. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

/* NULL if there is no memory; freed with mem_free. */
void *mem_alloc(size_t size) __attribute__((malloc));
void *mem_zalloc(size_t size) __attribute__((malloc));
/* An array of `count` elements; NULL also if the product overflows. */
void *mem_array(size_t count, size_t size) __attribute__((malloc));
void *mem_realloc_array(void *old, size_t count, size_t size);
char *mem_strndup(const char *text, size_t max) __attribute__((malloc));
void mem_free(void *block);

/* Anonymous private pages, PROT_NONE or readable and writable; NULL if there are none. Unmapped with munmap. `flags`
 * are added to the mapping's. */
void *mem_map(size_t size, int protection, int flags);

#endif
