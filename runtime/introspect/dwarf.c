/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. libdw is asked for when the first report is made, so that a program which makes none does not depend on it.
 * It unwinds what it is told to be a process with one thread, whose registers and memory are the captured ones. Debug
 * information is looked for on this machine only: asking a server may take minutes.
 */
#include "introspect/backtrace.h"
#include "introspect/source.h"

#if CAPTURE_HAS_REGISTERS && __has_include(<elfutils/libdwfl.h>)

#include <dlfcn.h>
#include <elfutils/libdwfl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "base/own_fd.h"
#include "introspect/locate.h"

#define FUNCTIONS(each) \
	each(begin) each(end) each(report_begin) each(report_end) each(linux_proc_report) each(linux_proc_find_elf) \
	each(build_id_find_debuginfo) each(attach_state) each(getthread_frames) each(thread_state_registers) \
	each(thread_state_register_pc) each(frame_pc) each(addrmodule) each(module_addrname) each(module_getsrc) \
	each(lineinfo)

#define MEMBER(name) __typeof__(&dwfl_##name) name;
static struct {
	FUNCTIONS(MEMBER)
} dw;
static Dwfl_Callbacks callbacks;

static bool load_now(void)
{
	static void *library;
	bool complete = true;

	if (library)
		return true;
	library = fault("dlopen") ? NULL : dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return false;
#define FETCH(name) complete &= (dw.name = (__typeof__(dw.name))dlsym(library, "dwfl_" #name)) != NULL;
	FUNCTIONS(FETCH)
	if (complete) {
		callbacks.find_elf = dw.linux_proc_find_elf;
		callbacks.find_debuginfo = dw.build_id_find_debuginfo;
		return true;
	}
	dlclose(library);
	library = NULL;
	return false;
}

static bool load(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&mutex);
	bool loaded = load_now();
	pthread_mutex_unlock(&mutex);
	return loaded;
}

/* This process, with what it has loaded; NULL. */
static Dwfl *look_at_self(void)
{
	Dwfl *dwfl = load() ? dw.begin(&callbacks) : NULL;

	if (!dwfl)
		return NULL;
	dw.report_begin(dwfl);
	if (dw.linux_proc_report(dwfl, getpid()) == 0 && dw.report_end(dwfl, NULL, NULL) == 0)
		return dwfl;
	dw.end(dwfl);
	return NULL;
}

/* "file:line", as the compiler was called. False: not known. */
static bool find_source(Dwfl_Module *module, Dwarf_Addr address, char *buffer, size_t size)
{
	Dwfl_Line *line = module ? dw.module_getsrc(module, address) : NULL;
	int number = 0;
	const char *file = line ? dw.lineinfo(line, NULL, &number, NULL, NULL, NULL) : NULL;
	struct safe_text text;

	if (!file)
		return false;
	text_init(&text, buffer, size);
	text_add_name(&text, file);
	text_add(&text, ":");
	text_add_number(&text, (uint64_t)number);
	return true;
}

struct walk {
	const struct capture *capture;
	pid_t thread;
	struct safe_text *text;
	Dwfl *dwfl;
	unsigned frames;
	bool outermost; /* the last one is where a stack begins */
};

/* libdw takes a frame whose registers are unknown for the last one. */
static bool begins_a_stack(const char *name)
{
	static const char *const names[] = {"context_swap_asm", "__start_context", "_start", "clone", "clone3",
					    "__clone", "__clone3"};

	for (size_t i = 0; name && i < array_size(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static pid_t next_thread(Dwfl *dwfl, void *arg, void **ret_thread)
{
	struct walk *walk = arg;

	(void)dwfl;
	if (*ret_thread)
		return 0;
	*ret_thread = walk;
	return walk->thread;
}

static bool get_thread(Dwfl *dwfl, pid_t thread, void *arg, void **ret_thread)
{
	(void)dwfl, (void)thread;
	*ret_thread = arg;
	return true;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *ret_word, void *arg)
{
	const struct walk *walk = arg;
	uintptr_t word;

	(void)dwfl;
	if (!backtrace_read(walk->capture, address, &word))
		return false;
	*ret_word = word;
	return true;
}

/* By DWARF's numbers. What is not set is unknown, and a frame that needs it ends the walk. */
#if defined(__x86_64__)
static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	const struct capture *capture = ((struct walk *)arg)->capture;
	const struct user_regs_struct *from = &capture->registers;
	Dwarf_Word all[17] = {from->rax, from->rdx, from->rcx, from->rbx, from->rsi, from->rdi, from->rbp, from->rsp,
			      from->r8,  from->r9,  from->r10, from->r11, from->r12, from->r13, from->r14, from->r15,
			      from->rip};
	Dwarf_Word pc = capture->pc, sp = capture->sp;

	if (capture->has_registers)
		return dw.thread_state_registers(thread, 0, array_size(all), all);
	return dw.thread_state_registers(thread, 7, 1, &sp) && dw.thread_state_registers(thread, 16, 1, &pc);
}
#else
static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	const struct capture *capture = ((struct walk *)arg)->capture;
	Dwarf_Word all[31], sp = capture->sp;

	for (int i = 0; i < 31; i++)
		all[i] = capture->registers.regs[i];
	if (capture->has_registers && !dw.thread_state_registers(thread, 0, array_size(all), all))
		return false;
	dw.thread_state_register_pc(thread, capture->pc);
	return dw.thread_state_registers(thread, 31, 1, &sp);
}
#endif

static int add_frame(Dwfl_Frame *frame, void *arg)
{
	struct walk *walk = arg;
	bool interrupted;
	Dwarf_Addr pc;

	if (!dw.frame_pc(frame, &pc, &interrupted))
		return DWARF_CB_ABORT;
	if (walk->frames == BACKTRACE_FRAMES)
		return DWARF_CB_ABORT;
	/* A return address may lie behind the end of the function that called. */
	Dwarf_Addr within = pc - (interrupted ? 0 : 1);
	Dwfl_Module *module = dw.addrmodule(walk->dwfl, within);
	const char *name = module ? dw.module_addrname(module, within) : NULL;
	char buffer[300];

	if (!find_source(module, within, buffer, sizeof(buffer)))
		locate_code((const void *)(uintptr_t)within, buffer, sizeof(buffer));
	walk->outermost = begins_a_stack(name);
	backtrace_add_frame(walk->text, walk->frames++, name ? name : "?", buffer);
	return DWARF_CB_OK;
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.get_thread = get_thread,
	.memory_read = read_memory,
	.set_initial_registers = set_registers,
};

static bool walk_by_dwarf(struct walk *walk, enum backtrace_end *ret_end)
{
	walk->dwfl = look_at_self();
	if (!walk->dwfl)
		return false;
	*ret_end = BACKTRACE_CUT;
	if (dw.attach_state(walk->dwfl, NULL, getpid(), &thread_callbacks, walk) &&
	    dw.getthread_frames(walk->dwfl, walk->thread, add_frame, walk) == 0 && walk->outermost)
		*ret_end = BACKTRACE_WHOLE;
	dw.end(walk->dwfl);
	return walk->frames > 0;
}

bool backtrace_by_dwarf(const struct capture *capture, pid_t thread, struct safe_text *text,
			enum backtrace_end *ret_end)
{
	struct walk walk = {.capture = capture, .thread = thread, .text = text};
	bool blocked[3];

	own_standard_block(blocked);
	bool found = walk_by_dwarf(&walk, ret_end);
	own_standard_unblock(blocked);
	return found;
}

bool source_find(const void *address, char *buffer, size_t size)
{
	Dwarf_Addr at = (Dwarf_Addr)(uintptr_t)address;
	bool blocked[3], found = false;

	own_standard_block(blocked);
	Dwfl *dwfl = look_at_self();
	if (dwfl) {
		found = find_source(dw.addrmodule(dwfl, at), at, buffer, size);
		dw.end(dwfl);
	}
	own_standard_unblock(blocked);
	return found;
}

#else

bool backtrace_by_dwarf(const struct capture *capture, pid_t thread, struct safe_text *text,
			enum backtrace_end *ret_end)
{
	(void)capture, (void)thread, (void)text, (void)ret_end;
	return false;
}

bool source_find(const void *address, char *buffer, size_t size)
{
	(void)address, (void)buffer, (void)size;
	return false;
}

#endif
