/* SPDX-License-Identifier: MIT */
/* The fibres of ThreadSanitizer that a thread keeps for its next stacks. */
#include <pthread.h>

#include "base/compiler.h"
#include "context/sanitizer.h"

#define KEPT 256
/* Each end leaves some frames on the shadow stack, since who ends a stack never returns. It holds 64 Ki of them and
 * does not check, and a report that shows many is hard to read. */
#define USES 64

static __thread struct tsan_fiber kept[KEPT];
static __thread size_t count;
static pthread_key_t thread_ends;
static bool have_key;

void tsan_fibers_drop(void)
{
	while (count > 0)
		__tsan_destroy_fiber(kept[--count].handle);
}

static void on_thread_end(void *unused)
{
	(void)unused;
	tsan_fibers_drop();
}

static void make_key(void)
{
	have_key = pthread_key_create(&thread_ends, on_thread_end) == 0;
}

struct tsan_fiber tsan_fiber_take(void)
{
	struct tsan_fiber fiber = {0};

	if (count > 0)
		fiber = kept[--count];
	else
		fiber.handle = __tsan_create_fiber(0);
	fiber.uses++;
	return fiber;
}

void tsan_fiber_give(struct tsan_fiber fiber)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_key);
	if (fiber.uses == USES || count == KEPT || !have_key) {
		__tsan_destroy_fiber(fiber.handle);
		return;
	}
	kept[count++] = fiber;
	pthread_setspecific(thread_ends, kept);
}
