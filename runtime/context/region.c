/* SPDX-License-Identifier: MIT */
#include "context/region.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "context/sanitizer.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* A million stacks of the default size; as much less as the kernel, a limit or a tool insists on. */
#define REGION_SLOTS ((size_t)1 << 20)
#define REGION_BYTES ((size_t)1 << 36)
/* Guarding a million slots in advance would cost 125 MB of page tables. */
#define CHUNK_SLOTS 1024
#define CHUNK_BYTES ((size_t)64 << 20)

/*
 * Every region of the process, for the handler of a stack overflow: it may not take a lock, so entries are
 * published by their `start` and never move. A process with more regions than this gets a plain SIGSEGV for
 * those beyond.
 */
#define DIRECTORY_SIZE 4096
#define NOT_IN_DIRECTORY DIRECTORY_SIZE
static struct {
	_Atomic(char *) start;
	atomic_size_t size;
	atomic_uint shift;
} directory[DIRECTORY_SIZE];
static atomic_size_t directory_used;

static size_t directory_add(const struct stack_region *region)
{
	for (size_t i = 0; i < DIRECTORY_SIZE; i++) {
		char *expected = NULL;

		/* The size comes first: until it is set the entry matches no address. */
		if (!atomic_compare_exchange_strong(&directory[i].start, &expected, region->start))
			continue;
		atomic_store(&directory[i].shift, region->shift);
		atomic_store(&directory[i].size, region->slots << region->shift);
		size_t used = atomic_load(&directory_used);
		while (used < i + 1 && !atomic_compare_exchange_weak(&directory_used, &used, i + 1))
			;
		return i;
	}
	return NOT_IN_DIRECTORY;
}

static void directory_remove(size_t i)
{
	if (i == NOT_IN_DIRECTORY)
		return;
	atomic_store(&directory[i].size, 0);
	atomic_store(&directory[i].start, NULL);
}

int stack_find_guard(const void *address, void **ret_base)
{
	size_t used = atomic_load(&directory_used);

	for (size_t i = 0; i < used; i++) {
		char *start = atomic_load(&directory[i].start);
		size_t size = atomic_load(&directory[i].size);
		unsigned shift = atomic_load(&directory[i].shift);
		size_t offset = (size_t)((const char *)address - start);

		if (!start || offset >= size)
			continue;
		size_t in_slot = offset & (((size_t)1 << shift) - 1);
		if (in_slot >= stack_page_size())
			return -1;
		*ret_base = start + (offset - in_slot);
		return (int)shift - STACK_SHIFT_MIN;
	}
	return -1;
}

static bool guard_install(char *base)
{
	return SYS("madvise", madvise(base, stack_page_size(), MADV_GUARD_INSTALL)) == 0;
}

static bool reserve(struct stack_region *region, size_t slots)
{
	size_t slot = (size_t)1 << region->shift, size = (slots + 1) << region->shift;
	long address = SYS("mmap", mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

	if (address < 0 && address > -4096)
		return false;
	region->mapping = (void *)address;
	region->mapping_size = size;
	region->start = (char *)(((uintptr_t)address + slot - 1) & ~(slot - 1));
	region->slots = slots;
	return true;
}

struct stack_region *region_new(unsigned shift, enum stack_guard guard)
{
	struct stack_region *region = mem_zalloc(sizeof(*region));
	size_t slots = REGION_SLOTS;

	if (!region)
		return NULL;
	region->shift = shift;
	if (slots << shift > REGION_BYTES)
		slots = REGION_BYTES >> shift;
	while (!reserve(region, slots)) {
		slots /= 4;
		if (slots == 0) {
			mem_free(region);
			return NULL;
		}
	}
	/* One touched page would otherwise become two megabytes. */
	madvise(region->mapping, region->mapping_size, MADV_NOHUGEPAGE);
	region->madvise = guard != STACK_GUARD_MPROTECT;
	region->directory_index = directory_add(region);
	return region;
}

void region_free(struct stack_region *region)
{
	directory_remove(region->directory_index);
	sanitizer_forget_range(region->start, region->next << region->shift);
	munmap(region->mapping, region->mapping_size);
	mem_free(region);
}

static bool make_accessible(struct stack_region *region, size_t count)
{
	return SYS("mprotect", mprotect(region->start + (region->opened << region->shift), count << region->shift,
					PROT_READ | PROT_WRITE)) == 0;
}

/* Opens the next slots. A guard that madvise refuses (an older kernel, locked memory) turns the region to mprotect
 * for good; there a slot is opened only when it is needed, because each uses up mappings. */
static bool open_slots(struct stack_region *region)
{
	size_t count = CHUNK_BYTES >> region->shift;

	if (count > CHUNK_SLOTS)
		count = CHUNK_SLOTS;
	if (count == 0 || !region->madvise)
		count = 1;
	if (count > region->slots - region->opened)
		count = region->slots - region->opened;
	if (!region->madvise) {
		char *base = region->start + (region->opened << region->shift);
		size_t page = stack_page_size();

		/* The guard is what stays as it was reserved. */
		if (SYS("mprotect", mprotect(base + page, ((size_t)1 << region->shift) - page,
					     PROT_READ | PROT_WRITE)) < 0)
			return false;
		region->opened++;
		return true;
	}
	if (!make_accessible(region, count))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (guard_install(region->start + ((region->opened + i) << region->shift)))
			continue;
		region->madvise = false;
		mprotect(region->start + ((region->opened + i) << region->shift), (count - i) << region->shift, PROT_NONE);
		region->opened += i;
		return i > 0 || open_slots(region);
	}
	region->opened += count;
	return true;
}

void *region_take(struct stack_region *region)
{
	if (region->next == region->opened && (region_full(region) || !open_slots(region)))
		return NULL;
	return region->start + (region->next++ << region->shift);
}

enum stack_guard stack_guard_probe(const char **ret_reason)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int error = ENOMEM;

	if (probe != MAP_FAILED) {
		error = madvise(probe, page, MADV_GUARD_INSTALL) == 0 ? 0 : errno;
		munmap(probe, page);
	}
	*ret_reason = error == 0        ? ""
		      : error == EINVAL ? "the kernel is older than 6.13, or the process locks its memory"
		      : error == ENOMEM ? "no memory for the probe"
					: "the kernel refuses MADV_GUARD_INSTALL";
	return error == 0 ? STACK_GUARD_MADVISE : STACK_GUARD_MPROTECT;
}
