/* SPDX-License-Identifier: MIT */
/*
 * Structures that begin with their size, so that they can grow: a caller that was built against an older header
 * passes fewer bytes, one built against a newer header may pass more, as long as the surplus asks for nothing.
 */
#ifndef BASE_VERSIONED_H
#define BASE_VERSIONED_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* More than any version will ever have. */
#define VERSIONED_SIZE_MAX 4096

/* Copies what the caller gave over the defaults in `known`. Returns 0 or -EINVAL. */
static inline int versioned_copy(void *known, size_t known_size, const void *given)
{
	size_t size = *(const size_t *)given;

	if (size < sizeof(size_t) || size > VERSIONED_SIZE_MAX)
		return -EINVAL;
	for (size_t i = known_size; i < size; i++)
		if (((const char *)given)[i])
			return -EINVAL;
	memcpy(known, given, size < known_size ? size : known_size);
	return 0;
}

/* Fills in as much of the caller's structure as it knows. Its size stays as it is. Returns 0 or -EINVAL. */
static inline int versioned_fill(void *given, const void *known, size_t known_size)
{
	size_t size = *(size_t *)given;

	if (size <= sizeof(size_t) || size > VERSIONED_SIZE_MAX)
		return -EINVAL;
	if (size > known_size)
		memset((char *)given + known_size, 0, size - known_size);
	memcpy((char *)given + sizeof(size_t), (const char *)known + sizeof(size_t),
	       (size < known_size ? size : known_size) - sizeof(size_t));
	return 0;
}

#endif
