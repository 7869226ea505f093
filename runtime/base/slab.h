/* SPDX-License-Identifier: MIT */
/*
 * Objects of one size, for one thread. Allocation and release are a few instructions; all live objects can be
 * visited, which is how a loop knows its tasks and futures without linking them.
 *
 * The first word of a free object is the slab's; the rest keeps what its last owner left there, so that a visitor
 * can tell a free object by a field of its own (a reference count of 0). Fresh objects are zero.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

/* Aligned to its size, so that an object finds its chunk. */
#define SLAB_CHUNK_SIZE ((size_t)64 << 10)

struct slab_chunk {
	struct list link;
	void *free;     /* linked by the first word of each */
	uint32_t live;
	uint32_t fresh; /* objects that were never handed out begin here */
	char objects[] __attribute__((aligned(64)));
};

struct slab {
	size_t object_size;
	uint32_t capacity;   /* objects in a chunk */
	struct list partial; /* chunks with room, most recently freed first */
	struct list full;
	size_t chunks;
	size_t empty; /* chunks without a live object */
};

/* `object_size` is a multiple of 8, much smaller than a chunk of 64 KiB. */
void slab_init(struct slab *slab, size_t object_size);
/* Frees everything, live objects too. */
void slab_destroy(struct slab *slab);

/* An object with unspecified contents; NULL if there is no memory. */
void *slab_alloc(struct slab *slab);
void slab_free(struct slab *slab, void *object);
/* Gives chunks without live objects back, but for one. */
void slab_trim(struct slab *slab);

/* Calls `visit` for each object that was ever handed out, free ones included. It must not allocate or free. */
void slab_visit(struct slab *slab, void (*visit)(void *object, void *arg), void *arg);

#endif
