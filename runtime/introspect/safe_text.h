/* SPDX-License-Identifier: MIT */
/* Text that grows in memory of the caller, and is cut when that is full. Safe in a signal handler: snprintf is not. */
#ifndef INTROSPECT_SAFE_TEXT_H
#define INTROSPECT_SAFE_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct safe_text {
	char *start;
	size_t size, length; /* without the final NUL, which is always there */
};

void text_init(struct safe_text *text, char *start, size_t size);
void text_add(struct safe_text *text, const char *string);
/* What is not printable becomes '?', so that a name cannot command a terminal. */
void text_add_name(struct safe_text *text, const char *name);
void text_add_number(struct safe_text *text, uint64_t number);
void text_add_hex(struct safe_text *text, uint64_t number);
/* Nanoseconds as seconds, to the millisecond. */
void text_add_seconds(struct safe_text *text, int64_t ns);

#endif
