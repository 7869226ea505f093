/* SPDX-License-Identifier: MIT */
/*
 * The registers and the stack of another thread of this process, copied while it stands still, without a signal, which
 * would end a system call of the program's with -EINTR.
 *
 * A thread that sleeps in a system call is read where it sleeps: /proc says its program counter and its stack pointer.
 * That disturbs nothing, but the other registers stay unknown, and some frames are found through them only.
 *
 * A thread that runs is stopped for some microseconds by a tracer. That must be another process, so one is made that
 * shares everything with this one but lives for that copy only. A system call that such a stop interrupts is begun anew
 * by the kernel, but for the few that capture_disturbs knows.
 */
#ifndef INTROSPECT_CAPTURE_H
#define INTROSPECT_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/* A thread is stopped where its registers have names here. Elsewhere only threads that sleep are seen. */
#if defined(__x86_64__) || defined(__aarch64__)
#define CAPTURE_HAS_REGISTERS 1
#else
#define CAPTURE_HAS_REGISTERS 0
#endif

#define CAPTURE_STACK ((size_t)64 << 10)

struct capture {
	uintptr_t pc, sp;
	bool has_registers;        /* else `pc` and `sp` are all that is known */
	bool disturbs;             /* it sleeps in a system call that a stop would end */
#if CAPTURE_HAS_REGISTERS
	struct user_regs_struct registers;
#endif
	uintptr_t start;           /* where the copy comes from */
	size_t size;
	char stack[CAPTURE_STACK];
};

/* Both return 0, or -errno with *ret_why, what failed. -EAGAIN: the thread does not sleep. */
int capture_sleeping(struct capture *capture, pid_t thread, const char **ret_why);
int capture_stopped(struct capture *capture, pid_t thread, const char **ret_why);

#endif
