/* SPDX-License-Identifier: MIT */
/* Text without stdio, for signal handlers: each appends at `at`, cuts what does not fit before `limit`, ends the text
 * with a zero and returns where that is. */
#ifndef INTROSPECT_TEXT_H
#define INTROSPECT_TEXT_H

#include <stdint.h>

static inline char *text_append(char *at, char *limit, const char *text)
{
	while (*text && at < limit - 1)
		*at++ = *text++;
	*at = '\0';
	return at;
}

static inline char *text_append_base(char *at, char *limit, uint64_t number, unsigned base)
{
	char digits[24], *first = digits + sizeof(digits) - 1;

	*first = '\0';
	do
		*--first = "0123456789abcdef"[number % base];
	while (number /= base);
	return text_append(at, limit, first);
}

static inline char *text_append_number(char *at, char *limit, uint64_t number)
{
	return text_append_base(at, limit, number, 10);
}

static inline char *text_append_hex(char *at, char *limit, uint64_t number)
{
	return text_append_base(text_append(at, limit, "0x"), limit, number, 16);
}

#endif
