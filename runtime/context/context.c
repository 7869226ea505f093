/* SPDX-License-Identifier: MIT */
#include "context/context.h"

#include <stdint.h>
#include <ucontext.h>

#ifdef WITH_ASAN
__thread struct sanitizer_fiber *sanitizer_left;
#endif
#ifdef WITH_TSAN
__thread void *sanitizer_dead_fiber;
#endif

/* makecontext passes integers: a pointer travels in two halves. */
static void start_ucontext(unsigned entry_high, unsigned entry_low, unsigned arg_high, unsigned arg_low)
{
	context_entry *entry = (context_entry *)((uintptr_t)((uint64_t)entry_high << 32 | entry_low));
	void *arg = (void *)((uintptr_t)((uint64_t)arg_high << 32 | arg_low));

	setcontext(entry(arg));
	__builtin_unreachable();
}

void context_make_ucontext(struct context *context, void *bottom, void *top, context_entry *entry, void *arg)
{
	/* The ucontext_t itself lives at the top of the stack that it describes. */
	ucontext_t *uc = (ucontext_t *)(((uintptr_t)top - sizeof(ucontext_t)) & ~(uintptr_t)63);
	uint64_t e = (uintptr_t)entry, a = (uintptr_t)arg;

	getcontext(uc);
	uc->uc_link = NULL;
	uc->uc_stack.ss_sp = bottom;
	uc->uc_stack.ss_size = (size_t)((char *)uc - (char *)bottom);
	makecontext(uc, (void (*)(void))start_ucontext, 4, (unsigned)(e >> 32), (unsigned)e, (unsigned)(a >> 32),
		    (unsigned)a);
	context->sp = uc;
}

void context_swap_ucontext(void **save, void *to)
{
	ucontext_t here;

	/* AddressSanitizer takes what it finds here for a stack that whoever comes back has left behind. */
	here.uc_stack = (stack_t){0};
	*save = &here;
	swapcontext(&here, to);
}

#if !CONTEXT_HAS_ASM
void context_swap_asm(void **save, void *to)
{
	context_swap_ucontext(save, to);
}
#endif

noinline void context_switch(struct context *from, struct context *to, enum context_kind kind)
{
	sanitizer_before_switch(&from->fiber, &to->fiber, true);
	if (CONTEXT_HAS_ASM && likely(kind == CONTEXT_ASM))
		context_swap_asm(&from->sp, to->sp);
	else
		context_swap_ucontext(&from->sp, to->sp);
	sanitizer_after_switch(&from->fiber);
	/* No tail call: the swap must return here. */
	__asm__ volatile("");
}
