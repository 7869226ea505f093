/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. elfutils' libdw unwinds by what compilers leave in .eh_frame, which strip keeps, and knows functions and
 * lines where there is debug information. It is loaded when stacks are asked for and not linked: the command starts
 * faster, and runs where there is none. To libdw each stack is a thread, whose registers and memory come from here.
 */
#include "inspect/stacks.h"

#if __has_include(<elfutils/libdwfl.h>)

#include <dlfcn.h>
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTIONS(F) \
	F(dwfl_begin) F(dwfl_end) F(dwfl_linux_proc_report) F(dwfl_report_end) F(dwfl_attach_state) \
	F(dwfl_getthread_frames) F(dwfl_frame_pc) F(dwfl_addrmodule) F(dwfl_module_addrinfo) F(dwfl_module_info) \
	F(dwfl_module_getsrc) F(dwfl_lineinfo) F(dwfl_thread_state_registers) F(dwfl_thread_state_register_pc) \
	F(dwfl_linux_proc_find_elf) F(dwfl_standard_find_debuginfo)

#define MEMBER(name) __typeof__(name) *name;
static struct {
	FUNCTIONS(MEMBER)
} dw;

static bool load(void)
{
	static void *library;
	bool complete;

	if (!library)
		library = dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL);
	complete = library;
#define LOAD(name) complete = complete && (dw.name = (__typeof__(name) *)dlsym(library, #name));
	FUNCTIONS(LOAD)
	return complete;
}

/* Stacks are read in pieces: a word at a time would be a system call for each. */
#define CACHE_SIZE 4096

struct unwinder {
	const struct target *target;
	Dwfl *dwfl;
	Dwfl_Callbacks callbacks;
	char *debuginfo_path;
	const struct registers *registers;
	frame_fn *fn;
	void *arg;
	unsigned level;
	uint64_t cached; /* the address of what is in the cache; 0: nothing */
	char cache[CACHE_SIZE];
};

/* The only thread's number says nothing. */
#define THREAD 1

static pid_t next_thread(Dwfl *dwfl, void *arg, void **ret_thread)
{
	(void)dwfl;
	if (*ret_thread)
		return 0;
	*ret_thread = arg;
	return THREAD;
}

static bool get_thread(Dwfl *dwfl, pid_t thread, void *arg, void **ret_thread)
{
	(void)dwfl, (void)thread;
	*ret_thread = arg;
	return true;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *ret_word, void *arg)
{
	struct unwinder *unwinder = arg;
	uint64_t base = address & ~(uint64_t)(CACHE_SIZE - 1), offset = address - base;

	(void)dwfl;
	if (offset > CACHE_SIZE - sizeof(*ret_word))
		return target_read(unwinder->target, address, ret_word, sizeof(*ret_word));
	if (unwinder->cached != base) {
		unwinder->cached = 0;
		if (!target_read(unwinder->target, base, unwinder->cache, CACHE_SIZE))
			return target_read(unwinder->target, address, ret_word, sizeof(*ret_word));
		unwinder->cached = base;
	}
	memcpy(ret_word, unwinder->cache + offset, sizeof(*ret_word));
	return true;
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	const struct registers *registers = ((struct unwinder *)arg)->registers;

	for (unsigned i = 0; i < REGISTERS_MAX; i++) {
		Dwarf_Word value = registers->values[i];

		if (registers->known >> i & 1 && !dw.dwfl_thread_state_registers(thread, (int)i, 1, &value))
			return false;
	}
	dw.dwfl_thread_state_register_pc(thread, registers->pc);
	return true;
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.get_thread = get_thread,
	.memory_read = read_memory,
	.set_initial_registers = set_registers,
};

struct unwinder *unwind_dwarf_open(const struct target *target)
{
	struct unwinder *unwinder = load() ? calloc(1, sizeof(*unwinder)) : NULL;

	if (!unwinder)
		return NULL;
	unwinder->target = target;
	unwinder->callbacks = (Dwfl_Callbacks){
		.find_elf = dw.dwfl_linux_proc_find_elf,
		.find_debuginfo = dw.dwfl_standard_find_debuginfo,
		.debuginfo_path = &unwinder->debuginfo_path,
	};
	unwinder->dwfl = dw.dwfl_begin(&unwinder->callbacks);
	if (unwinder->dwfl && dw.dwfl_linux_proc_report(unwinder->dwfl, target->pid) == 0 &&
	    dw.dwfl_report_end(unwinder->dwfl, NULL, NULL) == 0 &&
	    dw.dwfl_attach_state(unwinder->dwfl, NULL, target->pid, &thread_callbacks, unwinder))
		return unwinder;
	unwind_dwarf_close(unwinder);
	return NULL;
}

void unwind_dwarf_close(struct unwinder *unwinder)
{
	if (unwinder && unwinder->dwfl)
		dw.dwfl_end(unwinder->dwfl);
	free(unwinder);
}

static int on_frame(Dwfl_Frame *state, void *arg)
{
	struct unwinder *unwinder = arg;
	struct frame_view frame = {0};
	bool exact;
	Dwarf_Addr start;
	GElf_Off offset;
	GElf_Sym symbol;

	if (!dw.dwfl_frame_pc(state, &frame.pc, &exact))
		return DWARF_CB_ABORT;
	/* A return address may be that of the next function. */
	uint64_t pc = frame.pc - !exact;
	Dwfl_Module *module = dw.dwfl_addrmodule(unwinder->dwfl, pc);
	if (module) {
		frame.object = dw.dwfl_module_info(module, NULL, &start, NULL, NULL, NULL, NULL, NULL);
		frame.offset = frame.pc - start;
		frame.function = dw.dwfl_module_addrinfo(module, pc, &offset, &symbol, NULL, NULL, NULL);
		Dwfl_Line *line = dw.dwfl_module_getsrc(module, pc);
		if (line)
			frame.file = dw.dwfl_lineinfo(line, NULL, &frame.line, NULL, NULL, NULL);
	}
	unwinder->fn(&frame, unwinder->level++, unwinder->arg);
	return unwinder->level < FRAMES_MAX ? DWARF_CB_OK : DWARF_CB_ABORT;
}

bool unwind_dwarf(struct unwinder *unwinder, const struct registers *registers, frame_fn *fn, void *arg)
{
	unwinder->registers = registers;
	unwinder->fn = fn;
	unwinder->arg = arg;
	unwinder->level = 0;
	unwinder->cached = 0;
	dw.dwfl_getthread_frames(unwinder->dwfl, THREAD, on_frame, unwinder);
	return unwinder->level > 0;
}

#else

struct unwinder *unwind_dwarf_open(const struct target *target)
{
	(void)target;
	return NULL;
}

void unwind_dwarf_close(struct unwinder *unwinder)
{
	(void)unwinder;
}

bool unwind_dwarf(struct unwinder *unwinder, const struct registers *registers, frame_fn *fn, void *arg)
{
	(void)unwinder, (void)registers, (void)fn, (void)arg;
	return false;
}

#endif
