/* SPDX-License-Identifier: MIT */
#include <async/system.h>

#include <errno.h>

#include "base/clock.h"
#include "core/loop.h"

struct ping_pong {
	struct context here, there;
	enum context_kind kind;
	size_t left;
};

/* Both stacks run this, as tasks that wait in the same call do: so the return predictor is right about them. */
static noinline void bounce(struct ping_pong *both, struct context *from, struct context *to)
{
	while (both->left > 0) {
		both->left--;
		context_switch(from, to, both->kind);
	}
}

static void *pong(void *arg)
{
	struct ping_pong *both = arg;

	context_begun(both->kind);
	for (;;) {
		bounce(both, &both->there, &both->here);
		context_switch(&both->there, &both->here, both->kind);
	}
	return NULL;
}

intptr_t async_measure_switch(enum async_switch kind, size_t round_trips)
{
	struct ping_pong both = {.kind = loop_switch_kind(kind) | context_observers()};
	struct stack_pool stacks;

	if ((unsigned)kind > ASYNC_SWITCH_UCONTEXT)
		return -EINVAL;
	if (kind == ASYNC_SWITCH_ASM && !CONTEXT_HAS_ASM)
		return -ENOSYS;
	stack_pool_init(&stacks, STACK_GUARD_AUTO);
	int class = stack_class_for(ASYNC_STACK_SIZE_DEFAULT);
	struct stack_header *stack = stack_alloc(&stacks, (unsigned)class, NULL);
	if (!stack) {
		stack_pool_destroy(&stacks);
		return -ENOMEM;
	}
	context_make(&both.there, both.kind, stack_bottom(stack, (unsigned)class), stack, fpenv_get(), pong, &both);
	/* The first one begins the stack. */
	context_switch(&both.here, &both.there, both.kind);
	both.left = 2 * round_trips;
	int64_t start = clock_now();
	bounce(&both, &both.here, &both.there);
	int64_t elapsed = clock_now() - start;
	sanitizer_fiber_abandon(&stack->fiber);
	stack_pool_destroy(&stacks);
	return (intptr_t)elapsed;
}
