/* SPDX-License-Identifier: MIT */
#include "context/region.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/own_fd.h"
#include "context/sanitizer.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* A million stacks of the default size; as much less as the kernel, a limit or a tool insists on. */
#define REGION_SLOTS ((size_t)1 << 20)
#define REGION_BYTES ((size_t)1 << 36)
/* Slots are opened in chunks, as many as there are already: a small program pays for a few, a large one for few
 * system calls. Guarding a million in advance would cost 125 MB of page tables. */
#define CHUNK_SLOTS_MIN 4
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

static char *slot_base(const struct stack_region *region, size_t slot)
{
	return region->start + (slot << region->shift);
}

/* The slot that has `address`, and its class; NULL. */
static char *find_slot(const void *address, unsigned *ret_class)
{
	size_t used = atomic_load(&directory_used);

	for (size_t i = 0; i < used; i++) {
		char *start = atomic_load(&directory[i].start);
		size_t size = atomic_load(&directory[i].size);
		unsigned shift = atomic_load(&directory[i].shift);
		size_t offset = (size_t)((const char *)address - start);

		if (!start || offset >= size)
			continue;
		*ret_class = shift - STACK_SHIFT_MIN;
		return start + (offset >> shift << shift);
	}
	return NULL;
}

int stack_find_guard(const void *address, void **ret_base)
{
	unsigned class;
	char *base = find_slot(address, &class);

	if (!base || (size_t)((const char *)address - base) >= stack_page_size())
		return -1;
	*ret_base = base;
	return (int)class;
}

struct sanitizer_fiber *stack_fiber(const void *address)
{
	unsigned class;
	char *base = find_slot(address, &class);

	return base ? &stack_header(base, class)->fiber : NULL;
}

/* Guards `count` slots from `first` on. Returns how many got one: all, or those before the first refusal. */
static size_t guard_each(struct stack_region *region, size_t first, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (SYS("madvise", madvise(slot_base(region, first + i), stack_page_size(), MADV_GUARD_INSTALL)) < 0)
			return i;
	return count;
}

/* So many at a time: this runs on whatever stack a task has. */
#define GUARDS_AT_ONCE 64

static size_t guard_batch(struct stack_region *region, int self, size_t first, size_t count)
{
	struct iovec guards[GUARDS_AT_ONCE];

	for (size_t i = 0; i < count; i++)
		guards[i] = (struct iovec){slot_base(region, first + i), stack_page_size()};
	long bytes = SYS("process_madvise",
			 syscall(SYS_process_madvise, self, guards, count, MADV_GUARD_INSTALL, 0));
	return bytes > 0 ? (size_t)bytes / stack_page_size() : 0;
}

/* The same with fewer system calls, at half the price, where the kernel lets a process advise itself this way. */
static size_t guard_slots(struct stack_region *region, size_t first, size_t count)
{
	/* valgrind knows neither call, and would say so each time. */
	bool batches = count > 1 && !sanitizer_on_valgrind();
	int self = batches ? own_pidfd(getpid(), "pidfd_open") : -ENOSYS;
	size_t guarded = 0, batch, done;

	if (self >= 0) {
		do {
			batch = count - guarded < GUARDS_AT_ONCE ? count - guarded : GUARDS_AT_ONCE;
			done = guard_batch(region, self, first + guarded, batch);
			guarded += done;
		} while (done == batch && guarded < count);
		close(self);
	}
	/* What is left over gets its own call, and an error that tells why. */
	return guarded + guard_each(region, first + guarded, count - guarded);
}

static bool reserve(struct stack_region *region, size_t slots)
{
	size_t slot = (size_t)1 << region->shift, size = (slots + 1) << region->shift;
	void *pages = mem_map(size, PROT_NONE, MAP_NORESERVE);

	if (!pages)
		return false;
	region->mapping = pages;
	region->mapping_size = size;
	region->start = (char *)(((uintptr_t)pages + slot - 1) & ~(slot - 1));
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
	/* A core file is of what is used: gdb would write the whole reservation. */
	madvise(region->mapping, region->mapping_size, MADV_DONTDUMP);
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

/* A chunk at once: guards that cost no mapping. */
static bool open_chunk(struct stack_region *region)
{
	size_t first = region->opened, count = first < CHUNK_SLOTS_MIN ? CHUNK_SLOTS_MIN : first;

	if (count > CHUNK_SLOTS)
		count = CHUNK_SLOTS;
	if (count > CHUNK_BYTES >> region->shift)
		count = CHUNK_BYTES >> region->shift;
	if (count == 0)
		count = 1;
	if (count > region->slots - first)
		count = region->slots - first;
	if (SYS("mprotect", mprotect(slot_base(region, first), count << region->shift, PROT_READ | PROT_WRITE)) < 0)
		return false;
	madvise(slot_base(region, first), count << region->shift, MADV_DODUMP);
	size_t guarded = guard_slots(region, first, count);
	region->opened += guarded;
	if (guarded == count)
		return true;
	/* An older kernel, or locked memory: for good. */
	region->madvise = false;
	mprotect(slot_base(region, first + guarded), (count - guarded) << region->shift, PROT_NONE);
	return guarded > 0;
}

/* One slot, because each uses up two mappings. The guard is what stays as it was reserved. */
static bool open_one(struct stack_region *region)
{
	size_t page = stack_page_size(), size = ((size_t)1 << region->shift) - page;
	char *bottom = slot_base(region, region->opened) + page;

	if (SYS("mprotect", mprotect(bottom, size, PROT_READ | PROT_WRITE)) < 0)
		return false;
	madvise(bottom, size, MADV_DODUMP);
	region->opened++;
	return true;
}

void *region_take(struct stack_region *region)
{
	if (region->next == region->opened) {
		if (region_full(region))
			return NULL;
		bool opened = region->madvise && open_chunk(region);
		/* One that has just turned to mprotect goes on with that. */
		if (!opened && (region->madvise || !open_one(region)))
			return NULL;
	}
	return slot_base(region, region->next++);
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
