/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. The note is what a reader finds in the program headers; it leads to the table by its distance, so that it
 * needs no relocation and may stay in a read-only segment. Linkers keep sections of type note with --gc-sections, and
 * what they refer to: in a static program, the note keeps the table.
 */
#include <async/layout.h>

#include <async/base.h>
#include <async/group.h>
#include <async/select.h>

#include "base/slab.h"
#include "compose/group.h"
#include "core/loop.h"
#include "core/registry.h"
#include "core/task.h"
#include "introspect/saved.h"
#include "reactor/reactor_impl.h"

#define AT(prefix, type, field) .prefix##_##field = offsetof(struct type, field)

/* Named by the note below, which the compiler does not read. */
__attribute__((used, visibility("hidden"))) const struct async_layout libasync_layout = {
	.magic = ASYNC_LAYOUT_MAGIC,
	.version = ASYNC_LAYOUT_VERSION,
	.size = sizeof(struct async_layout),
	.library = ASYNC_VERSION_STRING,
	.loops = (uintptr_t)&registry_loops,
	.membership = (uintptr_t)&group_membership,
	.stack_paint = STACK_PAINT,
	.saved = {[CONTEXT_ASM] = SAVED_ASM, [CONTEXT_UCONTEXT] = SAVED_UCONTEXT},

	.list_next = offsetof(struct list, next),

	.loop_next = offsetof(struct async_loop, next_loop),
	AT(loop, async_loop, current),
	AT(loop, async_loop, switches),
	AT(loop, async_loop, iterations),
	AT(loop, async_loop, polls),
	AT(loop, async_loop, tasks_created),
	AT(loop, async_loop, tasks),
	AT(loop, async_loop, jobs),
	AT(loop, async_loop, wake_state),
	AT(loop, async_loop, running),
	AT(loop, async_loop, thread),
	AT(loop, async_loop, switch_kind),
	AT(loop, async_loop, observed),
	.loop_clock = offsetof(struct async_loop, options.clock),
	.loop_virtual_now = offsetof(struct async_loop, now),
	.loop_measures = offsetof(struct async_loop, options.measure_stacks),
	AT(loop, async_loop, timers),
	AT(loop, async_loop, task_slab),
	AT(loop, async_loop, reactor),

	AT(reactor, reactor, ops),
	.reactor_ops_name = offsetof(struct reactor_ops, name),
	AT(reactor, reactor, pending),

	AT(heap, heap, slots),
	AT(heap, heap, count),
	.heap_slot_size = sizeof(struct heap_slot),
	.heap_slot_key = offsetof(struct heap_slot, key),

	AT(slab, slab, object_size),
	AT(slab, slab, partial),
	AT(slab, slab, full),
	AT(slab, slab, chunks),
	.chunk_size = SLAB_CHUNK_SIZE,
	AT(chunk, slab_chunk, link),
	AT(chunk, slab_chunk, fresh),
	AT(chunk, slab_chunk, objects),

	.task_size = sizeof(struct task),
	AT(task, task, id),
	AT(task, task, state),
	AT(task, task, stack_class),
	AT(task, task, stack),
	.task_context = offsetof(struct task, context.sp),
	AT(task, task, word),
	AT(task, task, wait_class),
	AT(task, task, wait_object),
	.task_timer = offsetof(struct task, timer.node.index),
	AT(task, task, name),
	AT(task, task, fn),
	AT(task, task, creator),
	AT(task, task, cancels),

	AT(future, async_future, loop),
	AT(future, async_future, class),
	AT(future, async_future, refs),
	AT(future, async_future, state),
	AT(future, async_future, watchers),

	AT(watcher, watcher, link),
	AT(watcher, watcher, entry),
	AT(entry, entry, run),
	AT(group, async_group, parent),

	AT(future_class, future_class, name),
	AT(future_class, future_class, is_task),
	AT(future_class, future_class, children),
	AT(wait_class, wait_class, name),
	AT(wait_class, wait_class, on),
	AT(wait_class, wait_class, detail),
	AT(wait_class, wait_class, children),

	AT(op, op, code),
	AT(op, op, fd),
	AT(op, op, events),
	AT(job, job, state),
	AT(case, async_select_case, kind),
	AT(case, async_select_case, queue),
	AT(case, async_select_case, fd),
	AT(case, async_select_case, when),

	.stack_least = 1u << STACK_SHIFT_MIN,
	AT(stack, stack_header, since),
	AT(stack, stack_header, ran),
	AT(stack, stack_header, switches),
};

_Static_assert(ASYNC_LAYOUT_ON_OTHER == 0 && sizeof(struct async_layout_note) == 8, "the note below is so");

/* %note stands for the type that some assemblers write @note. */
__asm__(".pushsection .note.libasync, \"a\", %note\n"
	"	.balign 4\n"
	"	.4byte 9, 8, 1\n" /* the sizes of the name and of the descriptor, ASYNC_LAYOUT_NOTE */
	"	.asciz \"libasync\"\n"
	"	.balign 4\n"
	"	.4byte 1\n" /* ASYNC_LAYOUT_VERSION */
	"	.4byte libasync_layout - .\n"
	"	.popsection\n");
