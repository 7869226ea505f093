/* SPDX-License-Identifier: MIT */
/* The fibres of ThreadSanitizer that a thread keeps for its next stacks. */
#include <pthread.h>

#include "base/memory.h"
#include "context/sanitizer.h"

#define KEPT 256
/* Each end leaves some frames on the shadow stack, since who ends a stack never returns. It holds 64 Ki of them and
 * does not check, and a report that shows many is hard to read. */
#define USES 64

/* Not in the thread's static storage, of which a library that is loaded later gets little. */
static __thread struct kept {
	size_t count;
	struct tsan_fiber fibers[KEPT];
} *kept;
static pthread_key_t thread_ends;
static bool have_key;

void tsan_fibers_drop(void)
{
	while (kept && kept->count > 0)
		__tsan_destroy_fiber(kept->fibers[--kept->count].handle);
}

static void on_thread_end(void *unused)
{
	(void)unused;
	tsan_fibers_drop();
	mem_free(kept);
	kept = NULL;
}

static void make_key(void)
{
	have_key = pthread_key_create(&thread_ends, on_thread_end) == 0;
}

/* NULL: there is no room. */
static struct kept *room(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_key);
	if (!kept && have_key && (kept = mem_zalloc(sizeof(*kept))))
		pthread_setspecific(thread_ends, kept);
	return kept && kept->count < KEPT ? kept : NULL;
}

struct tsan_fiber tsan_fiber_take(void)
{
	struct tsan_fiber fiber = {0};

	if (kept && kept->count > 0)
		fiber = kept->fibers[--kept->count];
	else
		fiber.handle = __tsan_create_fiber(0);
	fiber.uses++;
	return fiber;
}

void tsan_fiber_give(struct tsan_fiber fiber)
{
	struct kept *to = fiber.uses < USES ? room() : NULL;

	if (to)
		to->fibers[to->count++] = fiber;
	else
		__tsan_destroy_fiber(fiber.handle);
}
