/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fault.h"

void *mem_alloc(size_t size)
{
	return fault("malloc") ? NULL : malloc(size);
}

void *mem_zalloc(size_t size)
{
	return mem_array(1, size);
}

void *mem_array(size_t count, size_t size)
{
	return fault("malloc") ? NULL : calloc(count, size);
}

void *mem_realloc_array(void *old, size_t count, size_t size)
{
	return fault("malloc") ? NULL : reallocarray(old, count, size);
}

char *mem_strndup(const char *text, size_t max)
{
	return fault("malloc") ? NULL : strndup(text, max);
}

void *mem_map(size_t size, int protection, int flags)
{
	if (fault("mmap"))
		return NULL;
	void *pages = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	return pages == MAP_FAILED ? NULL : pages;
}

void mem_free(void *block)
{
	free(block);
}
