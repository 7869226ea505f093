/* SPDX-License-Identifier: MIT */
/*
 * The switch for x86-64, System V ABI.
 *
 * A suspended stack, from the word that context.sp points at upwards:
 *
 *     fpenv  r15  r14  r13  r12  rbx  rbp  return address  | frame of whoever switched
 *
 * fpenv is the floating-point environment, which only context.c looks at. A stack that has not begun holds, after that
 * and an unused word, its argument and its entry, and bit 0 of the pointer is set. The entry returns the stack that
 * goes on when this one has ended.
 *
 * It leaves by `ret`, and everybody enters from the one call in context_switch: so the return predictor, which
 * expects that call, is right although the stack is another one, and stays in step with the calls above. Leaving
 * by a jump puts it one entry out of step, and every return up the other stack is mispredicted (15 against 5 ns a
 * yield). For the same reason a stack begins by a call and ends by returning from it: whoever created a short task
 * and waits for it finds the predictor as it left it.
 */
	.text

	.globl	context_swap_asm
	.hidden	context_swap_asm
	.type	context_swap_asm, @function
	.p2align 4
/* void context_swap_asm(void **save, void *to, uint32_t fpenv) */
context_swap_asm:
	.cfi_startproc
	endbr64
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r15, 0
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	movq	%rsp, (%rdi)
.Lcontinue:
	testb	$1, %sil
	jnz	.Lbegin
	.cfi_remember_state
	leaq	8(%rsi), %rsp		/* the same layout on the other stack: the CFI still holds */
	.cfi_adjust_cfa_offset -8
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbp
	ret
	.cfi_restore_state
.Lbegin:
	leaq	15(%rsi), %rsp
	/* The outermost frame: an unwinder stops where the return address is undefined. */
	.cfi_undefined %rip
	movq	(%rsp), %rdi
	xorl	%ebp, %ebp
	callq	*8(%rsp)
	movq	%rax, %rsi
	jmp	.Lcontinue
	.cfi_endproc
	.size	context_swap_asm, . - context_swap_asm

	.section .note.GNU-stack, "", @progbits

	/* IBT, so that the linker leaves it on: this file branches indirectly to functions of C only. Not SHSTK: the
	 * processor's shadow stack would still be that of the stack that was left. */
	.section .note.gnu.property, "a", @note
	.p2align 3
	.long	4, 16, 5		/* sizes of name and properties, NT_GNU_PROPERTY_TYPE_0 */
	.asciz	"GNU"
	.long	0xc0000002, 4, 1	/* GNU_PROPERTY_X86_FEATURE_1_AND: IBT */
	.long	0
