/* SPDX-License-Identifier: MIT */
/*
 * A captured stack in words, innermost function first, a line each. With elfutils' libdw, which is loaded when it is
 * first needed, by what the compiler says of frames, with names, files and lines; without it along the chain of frame
 * pointers, as far as the program was compiled with them, with addresses that addr2line understands.
 */
#ifndef INTROSPECT_BACKTRACE_H
#define INTROSPECT_BACKTRACE_H

#include <sys/types.h>

#include "introspect/capture.h"
#include "introspect/safe_text.h"

/* More would hide what matters. */
#define BACKTRACE_FRAMES 32

enum backtrace_end {
	BACKTRACE_WHOLE,
	BACKTRACE_CUT, /* a frame was not understood, or there are too many */
};

enum backtrace_end backtrace_write(const struct capture *capture, pid_t thread, struct safe_text *text);

/* The two ways. *ret_end is set if it returns true; false: not to be had here, nothing was written. */
bool backtrace_by_dwarf(const struct capture *capture, pid_t thread, struct safe_text *text,
			enum backtrace_end *ret_end);
enum backtrace_end backtrace_by_frame_pointers(const struct capture *capture, struct safe_text *text);

/* The word at an address: from the copy, or from what does not change. False: there is none. */
bool backtrace_read(const struct capture *capture, uintptr_t address, uintptr_t *ret_word);

/* "#3  name (file:line)" */
void backtrace_add_frame(struct safe_text *text, unsigned number, const char *name, const char *where);

#endif
