/* SPDX-License-Identifier: MIT */
#include "inspect/stacks.h"

#include <stdlib.h>

/* A frame pointer leads to the caller's, and behind it to the return address. */
#if defined(__aarch64__)
#define FRAME_POINTER 29
#define STACK_POINTER 31
#else
#define FRAME_POINTER 6
#define STACK_POINTER 7
#endif
#define FRAME_BYTES_MAX (64u << 10)
#define GUESS_WORDS 512

struct stacks {
	const struct target *target;
	struct unwinder *dwarf;
	struct symbols *symbols;
};

struct stacks *stacks_open(const struct target *target)
{
	struct stacks *stacks = calloc(1, sizeof(*stacks));

	if (!stacks)
		return NULL;
	stacks->target = target;
	stacks->dwarf = unwind_dwarf_open(target);
	stacks->symbols = symbols_open(target);
	return stacks;
}

void stacks_close(struct stacks *stacks)
{
	if (!stacks)
		return;
	unwind_dwarf_close(stacks->dwarf);
	symbols_close(stacks->symbols);
	free(stacks);
}

static void set(struct registers *registers, unsigned number, uint64_t value)
{
	if (number >= REGISTERS_MAX)
		return;
	registers->values[number] = value;
	registers->known |= UINT64_C(1) << number;
	if (number == FRAME_POINTER)
		registers->fp = value;
}

static const char *saved_registers(const struct target *target, const struct task_view *task,
				   struct registers *registers)
{
	const struct async_layout_saved *saved = &task->loop->layout->saved[task->loop->switch_kind & 1];

	if (saved->pc == ASYNC_LAYOUT_NOWHERE || saved->count > ASYNC_LAYOUT_REGISTERS)
		return "how this machine's registers are saved is not known";
	/* The mark of a stack on which nothing has run. */
	if (task->sp == 0 || task->sp & 1)
		return "it has not begun";
	registers->pc = TARGET_U64(target, task->sp, saved->pc);
	registers->sp = saved->stack_pointer == ASYNC_LAYOUT_NOWHERE
				? task->sp + saved->size
				: TARGET_U64(target, task->sp, saved->stack_pointer);
	for (uint32_t i = 0; i < saved->count; i++)
		set(registers, saved->registers[i].number, TARGET_U64(target, task->sp, saved->registers[i].at));
	set(registers, STACK_POINTER, registers->sp);
	return registers->pc ? NULL : "its registers cannot be read";
}

/* The kernel does not tell the frame pointer. Code that keeps one has left a pair at that address: the caller's frame
 * pointer, further up the same stack or 0 at its end, and a return address. The lowest such pair is taken for it; code
 * that keeps none does not ask. */
static void guess_frame_pointer(const struct stacks *stacks, const struct task_view *task, struct registers *registers)
{
	uint64_t words[GUESS_WORDS];
	size_t got = target_read_some(stacks->target, registers->sp, words, sizeof(words)) / sizeof(words[0]);

	for (size_t i = 0; i + 1 < got; i++) {
		uint64_t at = registers->sp + i * sizeof(words[0]), up = words[i];
		bool chained = up == 0 || (up > at && up < task->stack && up % 8 == 0);

		if (at >= task->stack || !chained || !symbols_cover(stacks->symbols, words[i + 1]))
			continue;
		set(registers, FRAME_POINTER, at);
		return;
	}
}

static const char *running_registers(const struct stacks *stacks, const struct task_view *task,
				     const struct thread_view *thread, struct registers *registers)
{
	if (!thread->sp)
		return "it is running: only a debugger, which stops it, can tell";
	registers->pc = thread->pc;
	registers->sp = thread->sp;
	set(registers, STACK_POINTER, thread->sp);
	guess_frame_pointer(stacks, task, registers);
	return NULL;
}

/* Where the code was compiled with frame pointers this finds all frames, else it soon stops. */
static void walk_frame_pointers(struct stacks *stacks, struct registers registers, frame_fn *fn, void *arg)
{
	struct frame_view frame;
	uint64_t pair[2];

	for (unsigned level = 0; level < FRAMES_MAX; level++) {
		if (!symbols_find(stacks->symbols, registers.pc - (level > 0), &frame))
			return;
		frame.pc = registers.pc;
		fn(&frame, level, arg);
		if (registers.fp < registers.sp || registers.fp - registers.sp > FRAME_BYTES_MAX || registers.fp % 8 ||
		    !target_read(stacks->target, registers.fp, pair, sizeof(pair)))
			return;
		registers.sp = registers.fp + sizeof(pair);
		registers.fp = pair[0];
		registers.pc = pair[1];
	}
}

const char *stacks_walk(struct stacks *stacks, const struct snapshot *snapshot, const struct task_view *task,
			const struct thread_view *thread, frame_fn *fn, void *arg)
{
	struct registers registers = {0};
	const char *why;

	if (task->state == TASK_VIEW_NEW)
		return "it has not begun";
	if (task->state == TASK_VIEW_RUNNING)
		why = running_registers(stacks, task, thread, &registers);
	else
		why = saved_registers(snapshot->target, task, &registers);
	if (why)
		return why;
	if (!snapshot_still(snapshot, task))
		return "it has run meanwhile";
	if (stacks->dwarf)
		unwind_dwarf(stacks->dwarf, &registers, fn, arg);
	else if (stacks->symbols)
		walk_frame_pointers(stacks, registers, fn, arg);
	return snapshot_still(snapshot, task) ? NULL : "it has run meanwhile: the frames above may be wrong";
}
