/* SPDX-License-Identifier: MIT */
/*
 * Options: one table per command, from which the command line is parsed and its help is printed.
 *
 * Options are written --name=VALUE or --name VALUE, before, between or after the arguments; `--` ends them. The
 * last of several counts.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct option {
	const char *name;     /* without the dashes; NULL ends a table */
	const char *argument; /* as help shows it; NULL for a flag */
	/* Stores the value at `target`, or says on stderr what was expected and returns false. Where no value is
	 * written, `text` is NULL. */
	bool (*parse)(const struct option *option, const char *text, void *target);
	size_t offset; /* of the field in the command's settings */
	const char *help;
	int64_t minimum, maximum;
	const char *const *choices; /* NULL at the end; the value is the index */
	bool optional;              /* the argument, which is then written --name=VALUE or not at all */
};

bool option_flag(const struct option *option, const char *text, void *target);   /* bool */
bool option_count(const struct option *option, const char *text, void *target);  /* uint64_t */
bool option_size(const struct option *option, const char *text, void *target);   /* uint64_t */
bool option_time(const struct option *option, const char *text, void *target);   /* async_time */
bool option_choice(const struct option *option, const char *text, void *target); /* int */
bool option_string(const struct option *option, const char *text, void *target); /* const char *; "" if optional */

enum {
	OPTIONS_WRONG = -1, /* it was said on stderr */
	OPTIONS_HELP = -2,  /* --help was given */
};

/* Fills `settings` and moves the arguments that are no options to the front of `argv`.
 * Returns: how many there are, or one of the above. */
int options_parse(const struct option *options, void *settings, int argc, char **argv);

/* Prints the table as help. */
void options_describe(const struct option *options);

/* Says on stderr that `what` got `text`, which is none of `choices`, and which one may have been meant. */
void complain_choice(const char *what, const char *text, const char *const *choices);

#endif
