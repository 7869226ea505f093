/* SPDX-License-Identifier: MIT */
#include "base/slab.h"

#include <stdint.h>
#include <sys/mman.h>

#include "base/instrument.h"
#include "base/memory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
/* Free objects are poisoned, so that a use after release is seen. */
#define poison(object, size) __asan_poison_memory_region(object, size)
#define unpoison(object, size) __asan_unpoison_memory_region(object, size)
#define poisoned(object) __asan_address_is_poisoned(object)
#else
#define poison(object, size) ((void)0)
#define unpoison(object, size) ((void)0)
#define poisoned(object) false
#endif

static struct slab_chunk *chunk_of(void *object)
{
	return (struct slab_chunk *)((uintptr_t)object & ~(SLAB_CHUNK_SIZE - 1));
}

void slab_init(struct slab *slab, size_t object_size)
{
	slab->object_size = object_size;
	slab->capacity = (uint32_t)((SLAB_CHUNK_SIZE - sizeof(struct slab_chunk)) / object_size);
	list_init(&slab->partial);
	list_init(&slab->full);
	slab->chunks = slab->empty = 0;
}

static struct slab_chunk *chunk_map(void)
{
	/* Twice the size always holds one aligned chunk; the rest goes back. */
	void *pages = mem_map(2 * SLAB_CHUNK_SIZE, PROT_READ | PROT_WRITE, 0);

	if (!pages)
		return NULL;
	uintptr_t start = (uintptr_t)pages, aligned = (start + SLAB_CHUNK_SIZE - 1) & ~(SLAB_CHUNK_SIZE - 1);
	if (aligned > start)
		munmap((void *)start, aligned - start);
	munmap((void *)(aligned + SLAB_CHUNK_SIZE), start + SLAB_CHUNK_SIZE - aligned);
	/* Tasks and futures point to what users allocated. */
	leaks_add_root((void *)aligned, SLAB_CHUNK_SIZE);
	return (struct slab_chunk *)aligned;
}

static void chunk_unmap(struct slab_chunk *chunk)
{
	leaks_remove_root(chunk, SLAB_CHUNK_SIZE);
	unpoison(chunk, SLAB_CHUNK_SIZE);
	munmap(chunk, SLAB_CHUNK_SIZE);
}

static void unmap_all(struct list *chunks)
{
	list_for_each_safe(node, chunks)
		chunk_unmap(list_entry(node, struct slab_chunk, link));
	list_init(chunks);
}

void slab_destroy(struct slab *slab)
{
	unmap_all(&slab->partial);
	unmap_all(&slab->full);
	slab->chunks = slab->empty = 0;
}

static noinline struct slab_chunk *add_chunk(struct slab *slab)
{
	struct slab_chunk *chunk = chunk_map();

	if (!chunk)
		return NULL;
	list_prepend(&slab->partial, &chunk->link);
	slab->chunks++;
	slab->empty++;
	return chunk;
}

void *slab_alloc(struct slab *slab)
{
	struct slab_chunk *chunk = list_entry(slab->partial.next, struct slab_chunk, link);
	void *object;

	if (unlikely(list_empty(&slab->partial)) && !(chunk = add_chunk(slab)))
		return NULL;
	object = chunk->free;
	if (likely(object)) {
		unpoison(object, slab->object_size);
		chunk->free = *(void **)object;
	} else {
		object = chunk->objects + slab->object_size * chunk->fresh++;
	}
	if (chunk->live++ == 0)
		slab->empty--;
	if (unlikely(chunk->live == slab->capacity)) {
		list_remove(&chunk->link);
		list_append(&slab->full, &chunk->link);
	}
	return object;
}

void slab_free(struct slab *slab, void *object)
{
	struct slab_chunk *chunk = chunk_of(object);

	*(void **)object = chunk->free;
	chunk->free = object;
	poison(object, slab->object_size);
	if (unlikely(chunk->live == slab->capacity)) {
		list_remove(&chunk->link);
		list_prepend(&slab->partial, &chunk->link);
	}
	if (--chunk->live == 0)
		slab->empty++;
}

void slab_trim(struct slab *slab)
{
	if (slab->empty <= 1)
		return;
	list_for_each_safe(node, &slab->partial) {
		struct slab_chunk *chunk = list_entry(node, struct slab_chunk, link);

		if (chunk->live > 0 || slab->empty <= 1)
			continue;
		list_remove(node);
		chunk_unmap(chunk);
		slab->chunks--;
		slab->empty--;
	}
}

static void visit_chunks(struct list *chunks, size_t size, void (*visit)(void *, void *), void *arg)
{
	list_for_each(node, chunks) {
		struct slab_chunk *chunk = list_entry(node, struct slab_chunk, link);

		for (uint32_t i = 0; i < chunk->fresh; i++)
			if (!poisoned(chunk->objects + size * i))
				visit(chunk->objects + size * i, arg);
	}
}

void slab_visit(struct slab *slab, void (*visit)(void *object, void *arg), void *arg)
{
	visit_chunks(&slab->full, slab->object_size, visit, arg);
	visit_chunks(&slab->partial, slab->object_size, visit, arg);
}
