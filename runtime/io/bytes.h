/* SPDX-License-Identifier: MIT */
/* Bytes in a row: appended behind, taken in front. Empty and all zero, it holds no memory. */
#ifndef IO_BYTES_H
#define IO_BYTES_H

#include <stddef.h>

struct bytes {
	char *data;
	size_t start, size; /* what is there: data[start] … data[start + size - 1] */
	size_t room;
};

static inline char *bytes_begin(const struct bytes *bytes)
{
	return bytes->data + bytes->start;
}

/* How much fits behind without moving anything. */
static inline size_t bytes_free_space(const struct bytes *bytes)
{
	return bytes->room - bytes->start - bytes->size;
}

/* Makes room for `more` bytes behind, or for as many as there are; what is there may move. 0 or -ENOMEM. */
int bytes_reserve(struct bytes *bytes, size_t more);
/* 0 or -ENOMEM: nothing was appended. */
int bytes_append(struct bytes *bytes, const void *data, size_t size);
/* Copies at most `size` bytes out. Gives the memory back with the last one. Returns the count. */
size_t bytes_take(struct bytes *bytes, void *data, size_t size);
/* Drops everything. */
void bytes_clear(struct bytes *bytes);

#endif
