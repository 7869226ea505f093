/* SPDX-License-Identifier: MIT */
/*
 * What the command writes: results to standard output, each write checked, and everything else to standard error.
 *
 * After a failed write the run is asked to stop, and output_finish tells why; later output is dropped. All may
 * be called from any thread.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

/* Makes sure that descriptors 0 to 2 are taken and that a closed pipe is an error, not a signal. */
void output_open(void);

/* Adds text; it is written when there is a page of it, or by output_flush. */
__attribute__((format(printf, 1, 2))) void output_printf(const char *format, ...);
void output_flush(void);

/* Writes what is left. Returns: true, or false after the reason was given on stderr. */
bool output_finish(void);

/* A line on stderr. complain_line puts the name of the program before it. Neither needs more than 2 KiB of stack
 * of its own, so that small tasks may use them. */
__attribute__((format(printf, 1, 2))) void note_line(const char *format, ...);
__attribute__((format(printf, 1, 2))) void complain_line(const char *format, ...);

/* JSON: separators and escapes; names and brackets are the caller's. */
struct json {
	bool separate; /* a comma comes before the next item */
};

void json_open(struct json *json, char bracket);
void json_close(struct json *json, char bracket);
void json_name(struct json *json, const char *name);
void json_string(struct json *json, const char *text);
void json_uint(struct json *json, uint64_t value);
void json_real(struct json *json, double value, int digits);
void json_bool(struct json *json, bool value);
void json_null(struct json *json);

#endif
