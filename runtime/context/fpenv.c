/* SPDX-License-Identifier: MIT */
#include "context/fpenv.h"

#include <stdbool.h>

#ifdef __x86_64__

const float fpenv_probe[4] __attribute__((aligned(16))) = {0.5f, -0.5f, 1.5f, 0.0f};

/* The rounding of SSE as MXCSR says it: nearest, down, up, to zero. */
static uint32_t sse_rounding(uint32_t environment)
{
	switch (environment & FPENV_ROUNDING) {
	case FPENV_DOWN:
		return 1u << FPENV_SSE_ROUNDING_SHIFT;
	case FPENV_UP:
		return 2u << FPENV_SSE_ROUNDING_SHIFT;
	case FPENV_TO_ZERO:
		return 3u << FPENV_SSE_ROUNDING_SHIFT;
	default:
		return 0;
	}
}

/* What differs is set, and nothing else is touched. */
void fpenv_change(uint32_t from, uint32_t to)
{
	uint32_t sse, set, traps = ((from ^ to) & FPENV_TRAPS) << FPENV_SSE_TRAPS_SHIFT;
	uint16_t x87 = (uint16_t)to, status;

	__asm__ volatile("stmxcsr %0\n\tfnstsw %1" : "=m"(sse), "=m"(status));
	set = (sse & ~traps) | ((to & FPENV_TRAPS) << FPENV_SSE_TRAPS_SHIFT & traps);
	set = (set & ~(3u << FPENV_SSE_ROUNDING_SHIFT)) | sse_rounding(to);
	/* With a flag that somebody else has raised and that traps here, the next x87 instruction would. SSE traps at
	 * what raises a flag and not at the flag, so there it can stay. */
	bool clears = status & ~x87 & FPENV_TRAPS;
	if (clears)
		set |= status & FPENV_TRAPS;
	if (set != sse)
		__asm__ volatile("ldmxcsr %0" : : "m"(set));
	if (clears)
		__asm__ volatile("fnclex");
	__asm__ volatile("fldcw %0" : : "m"(x87));
}

/* setcontext loads x87's environment, in which the control word, the flags and the tags have 32 bits each, and
 * MXCSR. */
void fpenv_save(ucontext_t *uc)
{
	uint16_t *x87 = (uint16_t *)uc->uc_mcontext.fpregs, control, status;

	__asm__ volatile("stmxcsr %0\n\tfnstcw %1\n\tfnstsw %2"
			 : "=m"(uc->uc_mcontext.fpregs->mxcsr), "=m"(control), "=m"(status));
	x87[0] = control;
	x87[2] = (uint16_t)((x87[2] & ~FPENV_TRAPS) | (status & FPENV_TRAPS));
}

#elif defined(__aarch64__)

#include <asm/sigcontext.h>

void fpenv_save(ucontext_t *uc)
{
	/* The first of the records there. */
	struct fpsimd_context *fp = (struct fpsimd_context *)(void *)uc->uc_mcontext.__reserved;
	uint64_t control, status;

	__asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(control), "=r"(status));
	fp->fpcr = (uint32_t)control;
	fp->fpsr = (uint32_t)status;
}

#elif defined(__riscv_flen)

void fpenv_save(ucontext_t *uc)
{
	uint32_t both;

	__asm__ volatile("frcsr %0" : "=r"(both));
	uc->uc_mcontext.__fpregs.__d.__fcsr = both;
}

#else

void fpenv_save(ucontext_t *uc)
{
	(void)uc;
}

#endif
