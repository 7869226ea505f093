/* SPDX-License-Identifier: MIT */
/*
 * The floating-point environment of a stack: how results are rounded, and which exceptions trap. The flags that tell
 * what has happened are no part of it: they are the thread's.
 *
 * It is read at each switch, and loaded only where it differs, because loading it costs 75 ns if flags are set.
 */
#ifndef CONTEXT_FPENV_H
#define CONTEXT_FPENV_H

#include <stdint.h>
#include <ucontext.h>

#include "base/compiler.h"

#if defined(__x86_64__)

/*
 * Two units, each with control bits of its own: x87 has a control word, SSE has MXCSR, which holds the flags too.
 * Reading MXCSR waits for what sets flags: on some processors that takes 6 ns, more than all the rest of a switch. So
 * it is not read. The rounding of SSE is seen by its effect on three numbers, without raising a flag; its traps are
 * taken to follow those of x87, as fenv.h sets them. What is set in MXCSR alone besides (flushing of subnormal numbers)
 * stays the thread's.
 */

/* The control word, FPENV_* of the rounding of SSE above it. */
enum {
	FPENV_DOWN = 6 << 16,
	FPENV_UP = 1 << 16,
	FPENV_TO_ZERO = 4 << 16,
	FPENV_ROUNDING = 7 << 16,
	FPENV_TRAPS = 0x3f,
	/* Of MXCSR. */
	FPENV_SSE_ROUNDING_SHIFT = 13,
	FPENV_SSE_TRAPS_SHIFT = 7,
};

extern const float fpenv_probe[4] __attribute__((visibility("hidden")));

static always_inline uint32_t fpenv_get(void)
{
	uint32_t rounding;
	uint16_t x87;

	__asm__ volatile("fnstcw %0" : "=m"(x87));
	if (likely(__builtin_cpu_supports("sse4.1"))) {
		/* As MXCSR says, and without telling that it is inexact: 0.5, -0.5 and 1.5 become 1, -1 and 1, each in
		 * some modes only. Then bit 29 of those that did is collected. */
		__asm__ volatile("roundps $12, %1, %%xmm0\n\tpslld $2, %%xmm0\n\tmovmskps %%xmm0, %0"
				 : "=r"(rounding)
				 : "m"(fpenv_probe)
				 : "xmm0");
	} else {
		uint32_t sse;

		__asm__ volatile("stmxcsr %0" : "=m"(sse));
		rounding = 0x4160u >> (sse >> FPENV_SSE_ROUNDING_SHIFT & 3) * 4 & 7;
	}
	return x87 | rounding << 16;
}

void fpenv_change(uint32_t from, uint32_t to);

#elif defined(__aarch64__)

static always_inline uint32_t fpenv_get(void)
{
	uint64_t control;

	__asm__ volatile("mrs %0, fpcr" : "=r"(control));
	return (uint32_t)control;
}

static inline void fpenv_change(uint32_t from, uint32_t to)
{
	(void)from;
	__asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)to));
}

#elif defined(__riscv_flen)

static always_inline uint32_t fpenv_get(void)
{
	uint32_t rounding;

	__asm__ volatile("frrm %0" : "=r"(rounding));
	return rounding;
}

static inline void fpenv_change(uint32_t from, uint32_t to)
{
	(void)from;
	__asm__ volatile("fsrm %0" : : "r"(to));
}

#else

/* What swapcontext keeps is all that is kept. */
static always_inline uint32_t fpenv_get(void)
{
	return 0;
}

static inline void fpenv_change(uint32_t from, uint32_t to)
{
	(void)from, (void)to;
}

#endif

/* Makes what swapcontext will load together with `uc` what this thread has now. */
void fpenv_save(ucontext_t *uc);

/* Goes over from the environment that this returns to `wanted`. */
static always_inline uint32_t fpenv_exchange(uint32_t wanted)
{
	uint32_t here = fpenv_get();

	if (unlikely(here != wanted))
		fpenv_change(here, wanted);
	return here;
}

#endif
