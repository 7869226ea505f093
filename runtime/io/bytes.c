/* SPDX-License-Identifier: MIT */
#include "io/bytes.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"

/* Less is not worth an allocation of its own. */
#define ROOM_MIN 128

int bytes_reserve(struct bytes *bytes, size_t more)
{
	size_t size = bytes->size + more, room = size;

	if (more <= bytes_free_space(bytes))
		return 0;
	if (size < more)
		return -ENOMEM;
	if (bytes->start > 0) {
		memmove(bytes->data, bytes_begin(bytes), bytes->size);
		bytes->start = 0;
	}
	if (size <= bytes->room)
		return 0;
	if (room < bytes->size * 2)
		room = bytes->size * 2;
	if (room < ROOM_MIN)
		room = ROOM_MIN;
	char *data = mem_realloc_array(bytes->data, room, 1);
	if (!data)
		return -ENOMEM;
	bytes->data = data;
	bytes->room = room;
	return 0;
}

int bytes_append(struct bytes *bytes, const void *data, size_t size)
{
	int error = size ? bytes_reserve(bytes, size) : 0;

	if (error || size == 0)
		return error;
	memcpy(bytes_begin(bytes) + bytes->size, data, size);
	bytes->size += size;
	return 0;
}

size_t bytes_take(struct bytes *bytes, void *data, size_t size)
{
	if (size > bytes->size)
		size = bytes->size;
	if (size == 0)
		return 0;
	memcpy(data, bytes_begin(bytes), size);
	bytes->start += size;
	bytes->size -= size;
	if (bytes->size == 0)
		bytes_clear(bytes);
	return size;
}

void bytes_clear(struct bytes *bytes)
{
	mem_free(bytes->data);
	*bytes = (struct bytes){0};
}
