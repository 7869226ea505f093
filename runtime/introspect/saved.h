/* SPDX-License-Identifier: MIT */
/* Where the two switches leave the registers of a stack, see context/switch_*.S; numbered as DWARF does. */
#ifndef INTROSPECT_SAVED_H
#define INTROSPECT_SAVED_H

#include <async/layout.h>

#include <stddef.h>
#include <ucontext.h>

#if defined(__x86_64__)

#define SAVED_ASM \
	{.pc = 56, \
	 .stack_pointer = ASYNC_LAYOUT_NOWHERE, \
	 .size = 64, \
	 .count = 6, \
	 .registers = {{15, 8}, {14, 16}, {13, 24}, {12, 32}, {3, 40}, {6, 48}}}

#define SAVED_AT(name) offsetof(ucontext_t, uc_mcontext.gregs[name])
#define SAVED_UCONTEXT \
	{.pc = SAVED_AT(REG_RIP), \
	 .stack_pointer = SAVED_AT(REG_RSP), \
	 .size = sizeof(ucontext_t), \
	 .count = 6, \
	 .registers = {{15, SAVED_AT(REG_R15)}, \
		       {14, SAVED_AT(REG_R14)}, \
		       {13, SAVED_AT(REG_R13)}, \
		       {12, SAVED_AT(REG_R12)}, \
		       {3, SAVED_AT(REG_RBX)}, \
		       {6, SAVED_AT(REG_RBP)}}}

#elif defined(__aarch64__)

#define SAVED_ASM \
	{.pc = 104, \
	 .stack_pointer = ASYNC_LAYOUT_NOWHERE, \
	 .size = 176, \
	 .count = 12, \
	 .registers = {{19, 16}, {20, 24}, {21, 32}, {22, 40}, {23, 48}, {24, 56}, {25, 64}, {26, 72}, {27, 80}, \
		       {28, 88}, {29, 96}, {30, 104}}}

#define SAVED_X(number) {number, offsetof(ucontext_t, uc_mcontext.regs[number])}
#define SAVED_UCONTEXT \
	{.pc = offsetof(ucontext_t, uc_mcontext.pc), \
	 .stack_pointer = offsetof(ucontext_t, uc_mcontext.sp), \
	 .size = sizeof(ucontext_t), \
	 .count = 12, \
	 .registers = {SAVED_X(19), SAVED_X(20), SAVED_X(21), SAVED_X(22), SAVED_X(23), SAVED_X(24), SAVED_X(25), \
		       SAVED_X(26), SAVED_X(27), SAVED_X(28), SAVED_X(29), SAVED_X(30)}}

#else

/* Unknown: readers show no stacks. */
#define SAVED_ASM {.pc = ASYNC_LAYOUT_NOWHERE}
#define SAVED_UCONTEXT {.pc = ASYNC_LAYOUT_NOWHERE}

#endif

#endif
