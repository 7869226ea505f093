/* SPDX-License-Identifier: MIT */
#include "introspect/backtrace.h"

#include <dlfcn.h>
#include <string.h>

#include "introspect/locate.h"
#include "introspect/peek.h"

bool backtrace_read(const struct capture *capture, uintptr_t address, uintptr_t *ret_word)
{
	uintptr_t offset = address - capture->start;

	if (address >= capture->start && offset + sizeof(*ret_word) <= capture->size) {
		memcpy(ret_word, capture->stack + offset, sizeof(*ret_word));
		return true;
	}
	return peek(ret_word, (const void *)address, sizeof(*ret_word)) == sizeof(*ret_word);
}

void backtrace_add_frame(struct safe_text *text, unsigned number, const char *name, const char *where)
{
	text_add(text, number < 10 ? "  #" : " #");
	text_add_number(text, number);
	text_add(text, "  ");
	text_add_name(text, name);
	text_add(text, " (");
	text_add(text, where);
	text_add(text, ")\n");
}

static void add_address(struct safe_text *text, unsigned number, uintptr_t pc)
{
	/* A return address may lie behind the end of the function that called. */
	const void *within = (const void *)(pc - (number > 0));
	char where[300];
	Dl_info info;

	bool known = dladdr(within, &info) && info.dli_sname;
	backtrace_add_frame(text, number, known ? info.dli_sname : "?", locate_code(within, where, sizeof(where)));
}

static uintptr_t frame_pointer(const struct capture *capture)
{
#if defined(__x86_64__)
	return capture->has_registers ? capture->registers.rbp : 0;
#elif defined(__aarch64__)
	return capture->has_registers ? capture->registers.regs[29] : 0;
#else
	(void)capture;
	return 0;
#endif
}

enum backtrace_end backtrace_by_frame_pointers(const struct capture *capture, struct safe_text *text)
{
	uintptr_t frame = frame_pointer(capture), below = capture->sp, next, pc = capture->pc;

	for (unsigned number = 0; number < BACKTRACE_FRAMES; number++) {
		add_address(text, number, pc);
		/* Frames lie above one another, in the copy. */
		if (frame < below || frame % sizeof(frame) != 0 || frame - capture->start >= capture->size ||
		    !backtrace_read(capture, frame, &next) || !backtrace_read(capture, frame + sizeof(frame), &pc))
			return BACKTRACE_CUT;
		if (pc == 0)
			return BACKTRACE_WHOLE;
		below = frame + 1;
		frame = next;
	}
	return BACKTRACE_CUT;
}

enum backtrace_end backtrace_write(const struct capture *capture, pid_t thread, struct safe_text *text)
{
	enum backtrace_end end;

	if (backtrace_by_dwarf(capture, thread, text, &end))
		return end;
	return backtrace_by_frame_pointers(capture, text);
}
