/* SPDX-License-Identifier: MIT */
/*
 * A bar per task on a terminal. Bodies report how far they are, from any thread; at most twenty times a second one
 * of these calls draws. Nothing but lines of text is sent, so there is no state of the terminal to restore other
 * than wiping the bars.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes the name of row `index`. */
typedef const char *progress_name(void *arg, size_t index, char *buffer, size_t size);

/* Shows nothing if stderr is no terminal, or if there is no memory. */
void progress_open(size_t rows, progress_name *name, void *arg);
/* Row `index` has done `done` of `total`; a row that is complete is no longer shown. */
void progress_update(size_t index, uint64_t done, uint64_t total);
/* Wipes the bars, because something else is about to be written; the next update draws them anew. */
void progress_hide(void);
void progress_close(void);

#endif
