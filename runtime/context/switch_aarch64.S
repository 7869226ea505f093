/* SPDX-License-Identifier: MIT */
/*
 * The switch for AArch64, AAPCS64.
 *
 * A suspended stack, 176 bytes from the word that context.sp points at:
 *
 *     fpenv, unused  x19 x20  x21 x22  x23 x24  x25 x26  x27 x28  x29 x30  d8 d9  d10 d11  d12 d13  d14 d15
 *
 * fpenv is the floating-point environment, which only context.c looks at. A stack that has not begun holds, after that
 * and an unused word, its argument and its entry, and bit 0 of the pointer is set. The entry returns the stack that
 * goes on when this one has ended. It leaves by `ret`, for the reasons that switch_x86_64.S gives, and because a branch
 * to a return address is a fault where branch targets are enforced.
 */
	.text

	.globl	context_swap_asm
	.hidden	context_swap_asm
	.type	context_swap_asm, %function
	.p2align 4
/* void context_swap_asm(void **save, void *to, uint32_t fpenv) */
context_swap_asm:
	.cfi_startproc
	hint	#34			/* bti c */
	sub	sp, sp, #176
	.cfi_adjust_cfa_offset 176
	stp	x19, x20, [sp, #16]
	.cfi_rel_offset x19, 16
	.cfi_rel_offset x20, 24
	stp	x21, x22, [sp, #32]
	.cfi_rel_offset x21, 32
	.cfi_rel_offset x22, 40
	stp	x23, x24, [sp, #48]
	.cfi_rel_offset x23, 48
	.cfi_rel_offset x24, 56
	stp	x25, x26, [sp, #64]
	.cfi_rel_offset x25, 64
	.cfi_rel_offset x26, 72
	stp	x27, x28, [sp, #80]
	.cfi_rel_offset x27, 80
	.cfi_rel_offset x28, 88
	stp	x29, x30, [sp, #96]
	.cfi_rel_offset x29, 96
	.cfi_rel_offset x30, 104
	stp	d8, d9, [sp, #112]
	.cfi_rel_offset d8, 112
	.cfi_rel_offset d9, 120
	stp	d10, d11, [sp, #128]
	.cfi_rel_offset d10, 128
	.cfi_rel_offset d11, 136
	stp	d12, d13, [sp, #144]
	.cfi_rel_offset d12, 144
	.cfi_rel_offset d13, 152
	stp	d14, d15, [sp, #160]
	.cfi_rel_offset d14, 160
	.cfi_rel_offset d15, 168
	str	w2, [sp]
	mov	x9, sp
	str	x9, [x0]
.Lcontinue:
	tbnz	x1, #0, .Lbegin
	.cfi_remember_state
	mov	sp, x1			/* the same layout on the other stack: the CFI still holds */
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	x29, x30, [sp, #96]
	ldp	d8, d9, [sp, #112]
	ldp	d10, d11, [sp, #128]
	ldp	d12, d13, [sp, #144]
	ldp	d14, d15, [sp, #160]
	add	sp, sp, #176
	.cfi_adjust_cfa_offset -176
	.cfi_restore x19
	.cfi_restore x20
	.cfi_restore x21
	.cfi_restore x22
	.cfi_restore x23
	.cfi_restore x24
	.cfi_restore x25
	.cfi_restore x26
	.cfi_restore x27
	.cfi_restore x28
	.cfi_restore x29
	.cfi_restore x30
	.cfi_restore d8
	.cfi_restore d9
	.cfi_restore d10
	.cfi_restore d11
	.cfi_restore d12
	.cfi_restore d13
	.cfi_restore d14
	.cfi_restore d15
	ret
	.cfi_restore_state
.Lbegin:
	add	x9, x1, #15
	mov	sp, x9
	/* The outermost frame: an unwinder stops where the return address is undefined. */
	.cfi_undefined x30
	ldp	x0, x10, [sp]
	mov	x29, xzr
	mov	x30, xzr
	blr	x10
	mov	x1, x0
	b	.Lcontinue
	.cfi_endproc
	.size	context_swap_asm, . - context_swap_asm

	.section .note.GNU-stack, "", %progbits

	/* BTI and PAC, so that the linker leaves them on. The return address of a suspended stack is not signed:
	 * whoever looks at it from outside could not read it. */
	.section .note.gnu.property, "a", %note
	.p2align 3
	.long	4, 16, 5		/* sizes of name and properties, NT_GNU_PROPERTY_TYPE_0 */
	.asciz	"GNU"
	.long	0xc0000000, 4, 3	/* GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI, PAC */
	.long	0
