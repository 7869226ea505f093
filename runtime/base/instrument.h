/* SPDX-License-Identifier: MIT */
/*
 * What a sanitizer's runtime offers, if there is one in the process. A program may be built with a sanitizer while the
 * library is not, so nothing here depends on how the library was built: these are weak references, which are
 * null where no runtime is, and asking costs one comparison.
 */
#ifndef BASE_INSTRUMENT_H
#define BASE_INSTRUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

#define INSTRUMENT_WEAK __attribute__((weak, visibility("default")))

/* AddressSanitizer, and LeakSanitizer within it or alone */
INSTRUMENT_WEAK extern void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size);
INSTRUMENT_WEAK extern void __sanitizer_finish_switch_fiber(void *fake_stack, const void **bottom, size_t *size);
INSTRUMENT_WEAK extern void __asan_unpoison_memory_region(void const volatile *start, size_t size);
INSTRUMENT_WEAK extern void __lsan_register_root_region(const void *start, size_t size);
INSTRUMENT_WEAK extern void __lsan_unregister_root_region(const void *start, size_t size);
/* ThreadSanitizer */
INSTRUMENT_WEAK extern void *__tsan_get_current_fiber(void);
INSTRUMENT_WEAK extern void *__tsan_create_fiber(unsigned flags);
INSTRUMENT_WEAK extern void __tsan_destroy_fiber(void *fiber);
INSTRUMENT_WEAK extern void __tsan_switch_to_fiber(void *fiber, unsigned flags);
INSTRUMENT_WEAK extern void __tsan_acquire(void *address);
INSTRUMENT_WEAK extern void __tsan_release(void *address);

static always_inline bool instrument_asan(void)
{
	return unlikely(__sanitizer_start_switch_fiber != NULL) && !__tsan_switch_to_fiber;
}

static always_inline bool instrument_tsan(void)
{
	return unlikely(__tsan_switch_to_fiber != NULL);
}

/* What was written before a release is seen after an acquire of the same address: for what ThreadSanitizer cannot see,
 * because the kernel or code without it passes it on. */
static always_inline void order_release(const void *address)
{
	if (unlikely(__tsan_release != NULL))
		__tsan_release((void *)address);
}

static always_inline void order_acquire(const void *address)
{
	if (unlikely(__tsan_acquire != NULL))
		__tsan_acquire((void *)address);
}

/* Memory that LeakSanitizer does not look through by itself, and that points to what users allocated. */
static inline void leaks_add_root(const void *start, size_t size)
{
	if (__lsan_register_root_region)
		__lsan_register_root_region(start, size);
}

static inline void leaks_remove_root(const void *start, size_t size)
{
	if (__lsan_unregister_root_region)
		__lsan_unregister_root_region(start, size);
}

#endif
