/* SPDX-License-Identifier: MIT */
#include "context/context.h"

#include <stdint.h>
#include <ucontext.h>

#include "context/exceptions.h"

__thread struct sanitizer_fiber *sanitizer_left;
__thread struct tsan_fiber sanitizer_ended;

/* makecontext passes integers: a pointer travels in two halves. */
static void start_ucontext(unsigned entry_high, unsigned entry_low, unsigned arg_high, unsigned arg_low)
{
	context_entry *entry = (context_entry *)((uintptr_t)((uint64_t)entry_high << 32 | entry_low));
	void *arg = (void *)((uintptr_t)((uint64_t)arg_high << 32 | arg_low));

	setcontext(entry(arg));
	__builtin_unreachable();
}

struct saved {
	ucontext_t uc; /* first: readers from outside know it */
	uint32_t fpenv;
};

void context_make_ucontext(struct context *context, void *bottom, void *top, uint32_t fpenv, context_entry *entry,
			   void *arg)
{
	/* It lives at the top of the stack that it describes. */
	struct saved *saved = (struct saved *)(((uintptr_t)top - sizeof(*saved)) & ~(uintptr_t)63);
	uint64_t e = (uintptr_t)entry, a = (uintptr_t)arg;

	saved->fpenv = fpenv;
	getcontext(&saved->uc);
	saved->uc.uc_link = NULL;
	saved->uc.uc_stack.ss_sp = bottom;
	saved->uc.uc_stack.ss_size = (size_t)((char *)saved - (char *)bottom);
	makecontext(&saved->uc, (void (*)(void))start_ucontext, 4, (unsigned)(e >> 32), (unsigned)e,
		    (unsigned)(a >> 32), (unsigned)a);
	/* AddressSanitizer forgets all it knows of the stack that it finds here, each time it is left. */
	saved->uc.uc_stack = (stack_t){0};
	context->sp = saved;
}

/* Goes over to the environment of a stack, so that what is loaded with it changes nothing any more: it holds the flags
 * of when it was left, and they are the thread's. */
static uint32_t enter_environment(struct saved *to)
{
	uint32_t here = fpenv_exchange(to->fpenv);

	fpenv_save(&to->uc);
	return here;
}

static void swap_ucontext(struct context *from, struct context *to)
{
	struct saved here;

	/* AddressSanitizer takes what it finds here for a stack that whoever comes back has left behind. */
	here.uc.uc_stack = (stack_t){0};
	here.fpenv = enter_environment(to->sp);
	from->sp = &here;
	swapcontext(&here.uc, &((struct saved *)to->sp)->uc);
}

void *context_finish_ucontext(struct context *to)
{
	enter_environment(to->sp);
	return to->sp;
}

static always_inline void swap(struct context *from, struct context *to, enum context_kind kind)
{
#if CONTEXT_HAS_ASM
	if (!(kind & CONTEXT_UCONTEXT)) {
		context_swap_asm(&from->sp, to->sp, fpenv_exchange(context_fpenv_asm(to->sp)));
		return;
	}
#endif
	(void)kind;
	swap_ucontext(from, to);
}

/* A thread's own stack, for a sanitizer. */
static __thread struct sanitizer_fiber thread_fiber;

const void *context_thread_top(void)
{
	return (const char *)thread_fiber.bottom + thread_fiber.size;
}

static struct sanitizer_fiber *fiber_of(const void *address)
{
	struct sanitizer_fiber *fiber = stack_fiber(address);

	return fiber ? fiber : &thread_fiber;
}

/* All but the common case. */
static noinline void switch_otherwise(struct context *from, struct context *to, enum context_kind kind)
{
	struct exceptions held;
	bool holds = exceptions_take(&held);
	struct sanitizer_fiber *self = NULL;

	if (kind & CONTEXT_FIBERS) {
		self = fiber_of(__builtin_frame_address(0));
		sanitizer_before_switch(self, fiber_of(to->sp), true);
	}
	swap(from, to, kind);
	if (self)
		sanitizer_after_switch(self);
	if (unlikely(holds))
		exceptions_give_back(&held);
}

noinline void context_switch(struct context *from, struct context *to, enum context_kind kind)
{
#if CONTEXT_HAS_ASM
	uint32_t here = fpenv_get();
	bool alone = likely(kind == CONTEXT_ASM) || (kind == CONTEXT_EXCEPTIONS && !exceptions_held());

	if (likely(alone && here == context_fpenv_asm(to->sp)))
		context_swap_asm(&from->sp, to->sp, here);
	else
#endif
		switch_otherwise(from, to, kind);
	/* No tail call: the swap must return here. */
	__asm__ volatile("");
}

_Noreturn void context_finish_fiber(struct context *from, struct context *to, enum context_kind kind)
{
	sanitizer_before_switch(fiber_of(__builtin_frame_address(0)), fiber_of(to->sp), false);
	swap(from, to, kind);
	__builtin_unreachable();
}

unsigned context_observers(void)
{
	return (sanitizer_present() ? CONTEXT_FIBERS : 0) | (exceptions_watch() ? CONTEXT_EXCEPTIONS : 0);
}
