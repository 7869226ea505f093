/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"

/* A program that makes threads all the time does not make rings all the time. */
#define RINGS_MAX 64
#define NAMES_MAX 4096
#define NAME_SIZE 64
#define NAME_NONE_LEFT 1

atomic_uint trace_session;
void (*_Atomic trace_on_slow)(void);

static struct {
	atomic_flag lock; /* never held for long */
	bool reading;
	struct trace_ring *rings;
	size_t count;
	size_t events; /* in each ring */
	unsigned sessions;
	char (*names)[NAME_SIZE];
	bool watched; /* threads that end, and forks */
	pthread_key_t thread_ends;
	_Atomic(uint64_t) unrecorded;
	_Atomic(uint64_t) jobs;
} trace = {.lock = ATOMIC_FLAG_INIT};

static __thread struct trace_ring *this_ring;

static void lock(void)
{
	while (atomic_flag_test_and_set_explicit(&trace.lock, memory_order_acquire))
		sched_yield();
}

static void unlock(void)
{
	atomic_flag_clear_explicit(&trace.lock, memory_order_release);
}

static void on_thread_end(void *ring)
{
	lock();
	((struct trace_ring *)ring)->orphan = true;
	unlock();
	this_ring = NULL;
}

/* The child has a copy of the rings, and threads of its own: it does not go on with its parent's recording. */
static void stop_in_child(void)
{
	atomic_store(&trace_session, 0);
	trace.reading = false;
	unlock();
}

static int watch(void)
{
	if (trace.watched)
		return 0;
	if (pthread_key_create(&trace.thread_ends, on_thread_end))
		return -ENOMEM;
	if (pthread_atfork(lock, unlock, stop_in_child)) {
		pthread_key_delete(trace.thread_ends);
		return -ENOMEM;
	}
	trace.watched = true;
	return 0;
}

static size_t ring_bytes(size_t events)
{
	return events * 4 * sizeof(uint64_t);
}

static void ring_free(struct trace_ring **link)
{
	struct trace_ring *ring = *link;

	*link = ring->next;
	trace.count--;
	munmap((void *)ring->words, ring_bytes(ring->mask + 1));
	mem_free(ring);
}

/* What earlier recordings left of threads that are gone. */
static void free_orphans(void)
{
	for (struct trace_ring **link = &trace.rings; *link;) {
		if ((*link)->orphan)
			ring_free(link);
		else
			link = &(*link)->next;
	}
}

int trace_start(size_t events)
{
	int error;

	lock();
	error = atomic_load(&trace_session) || trace.reading ? -EBUSY : watch();
	if (!error && !trace.names)
		trace.names = mem_map(NAMES_MAX * NAME_SIZE, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	if (!error && !trace.names)
		error = -ENOMEM;
	if (!error) {
		free_orphans();
		trace.events = events;
		atomic_store(&trace.unrecorded, 0);
		atomic_store(&trace_session, ++trace.sessions);
	}
	unlock();
	return error;
}

void trace_stop(void)
{
	atomic_store(&trace_session, 0);
}

/* The oldest ring of a thread that has ended, which is the last in the list. */
static struct trace_ring *ring_reuse(void)
{
	struct trace_ring *found = NULL;

	for (struct trace_ring *ring = trace.reading ? NULL : trace.rings; ring; ring = ring->next)
		if (ring->orphan && ring->mask + 1 == trace.events)
			found = ring;
	if (found)
		atomic_fetch_add(&trace.unrecorded, atomic_load(&found->head) - found->since);
	return found;
}

static struct trace_ring *ring_new(void)
{
	struct trace_ring *ring = trace.count < RINGS_MAX ? mem_zalloc(sizeof(*ring)) : NULL;

	if (!ring)
		return ring_reuse();
	ring->words = mem_map(ring_bytes(trace.events), PROT_READ | PROT_WRITE, MAP_NORESERVE);
	if (!ring->words) {
		mem_free(ring);
		return NULL;
	}
	ring->next = trace.rings;
	trace.rings = ring;
	trace.count++;
	return ring;
}

/* The first event of this thread in this recording. */
static noinline struct trace_ring *ring_enter(void)
{
	struct trace_ring *ring;

	lock();
	ring = this_ring;
	if (ring && ring->mask + 1 != trace.events) {
		ring->orphan = true;
		ring = NULL;
	}
	if (!ring)
		ring = ring_new();
	if (ring) {
		ring->mask = trace.events - 1;
		ring->since = atomic_load(&ring->head);
		ring->session = trace.sessions;
		ring->orphan = false;
		ring->thread = (int)syscall(SYS_gettid);
		pthread_getname_np(pthread_self(), ring->name, sizeof(ring->name));
		pthread_setspecific(trace.thread_ends, ring);
	}
	this_ring = ring;
	unlock();
	return ring;
}

/* Each word is stored after the one before it, and all after the `head` of the event before: a reader that sees one of
 * this event also sees, if it looks at `head` afterwards, how far the writer was. */
void trace_write(int64_t when, uint64_t first, uint64_t second, uint64_t word)
{
	struct trace_ring *ring = this_ring;

	if (unlikely(!ring || ring->session != atomic_load_explicit(&trace_session, memory_order_relaxed))) {
		if (!trace_on())
			return;
		ring = ring_enter();
		if (!ring) {
			atomic_fetch_add_explicit(&trace.unrecorded, 1, memory_order_relaxed);
			return;
		}
	}
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	_Atomic(uint64_t) *words = &ring->words[(head & ring->mask) * 4];
	atomic_store_explicit(&words[0], (uint64_t)when, memory_order_release);
	atomic_store_explicit(&words[1], first, memory_order_release);
	atomic_store_explicit(&words[2], second, memory_order_release);
	atomic_store_explicit(&words[3], word, memory_order_release);
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

static unsigned hash_of(const char *name)
{
	unsigned hash = 2166136261u;

	for (size_t i = 0; name[i] && i < NAME_SIZE - 1; i++)
		hash = (hash ^ (unsigned char)name[i]) * 16777619u;
	return hash;
}

uint16_t trace_intern(const char *name)
{
	unsigned place = hash_of(name) % NAMES_MAX;
	uint16_t number = NAME_NONE_LEFT;

	if (!*name)
		return NAME_NONE_LEFT;
	lock();
	for (int tries = 0; tries < NAMES_MAX; tries++, place = (place + 1) % NAMES_MAX) {
		/* Numbers 0 and 1 have a meaning. */
		if (place <= NAME_NONE_LEFT)
			continue;
		if (!trace.names[place][0])
			snprintf(trace.names[place], NAME_SIZE, "%s", name);
		if (strncmp(trace.names[place], name, NAME_SIZE - 1) == 0) {
			number = (uint16_t)place;
			break;
		}
	}
	unlock();
	return number;
}

const char *trace_interned(uint16_t number)
{
	return number > NAME_NONE_LEFT && number < NAMES_MAX && trace.names ? trace.names[number] : NULL;
}

uint64_t trace_next_job(void)
{
	return atomic_fetch_add_explicit(&trace.jobs, 1, memory_order_relaxed) + 1;
}

bool trace_ring_current(const struct trace_ring *ring)
{
	return ring->session == trace.sessions;
}

static int claim(bool in_signal)
{
	if (trace.reading && !in_signal)
		return -EBUSY;
	if (!trace.rings)
		return -ENODATA;
	trace.reading = true;
	return 0;
}

int trace_read_begin(bool in_signal, struct trace_ring **ret_first, uint64_t *lost)
{
	int error;

	if (!in_signal)
		lock();
	error = claim(in_signal);
	for (struct trace_ring *ring = error ? NULL : trace.rings; ring; ring = ring->next) {
		uint64_t capacity = ring->mask + 1;

		ring->end = atomic_load_explicit(&ring->head, memory_order_acquire);
		ring->cursor = ring->end - ring->since > capacity ? ring->end - capacity : ring->since;
		if (trace_ring_current(ring))
			*lost += ring->cursor - ring->since;
	}
	*ret_first = trace.rings;
	*lost += atomic_load(&trace.unrecorded);
	if (!in_signal)
		unlock();
	return error;
}

void trace_read_end(void)
{
	lock();
	trace.reading = false;
	unlock();
}

bool trace_ring_get(struct trace_ring *ring, uint64_t *lost)
{
	uint64_t words[4], head, capacity = ring->mask + 1;

	while (ring->cursor < ring->end) {
		for (int i = 0; i < 4; i++)
			words[i] = atomic_load_explicit(&ring->words[(ring->cursor & ring->mask) * 4 + (uint64_t)i],
							memory_order_acquire);
		head = atomic_load_explicit(&ring->head, memory_order_acquire);
		if (ring->cursor + capacity > head)
			break;
		/* The writer is, or was, at this very place. */
		uint64_t first = head - capacity + 1;
		*lost += (first < ring->end ? first : ring->end) - ring->cursor;
		ring->cursor = first;
	}
	if (ring->cursor >= ring->end)
		return false;
	ring->event = (struct trace_event){
		.when = (int64_t)words[0],
		.kind = (uint8_t)words[1],
		.small = (uint16_t)(words[1] >> 8),
		.small2 = (uint32_t)words[2] & 0xffffff,
		.id = words[1] >> 24,
		.other = words[2] >> 24,
		.word = words[3],
	};
	return true;
}
