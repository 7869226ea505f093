/* SPDX-License-Identifier: MIT */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stddef.h>

struct option;

/* What the shell is told. */
enum exit_status {
	STATUS_DONE = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_INTERRUPTED = 130,
};

/* One word after `asyncctl`. The same table is what parses, dispatches and prints the help. */
struct command {
	const char *name;
	const char *arguments; /* as help shows them, or "" */
	const char *summary;
	void (*describe)(void); /* the rest of the help, or NULL */
	const struct option *options;
	void *settings; /* what the options fill */
	int (*execute)(int argc, char **argv);
};

extern const struct command run_command;
extern const struct command compare_command;
extern const struct command list_command;
extern const struct command bench_command;
extern const struct command ps_command;
extern const struct command pstree_command;
extern const struct command top_command;
extern const struct command doctor_command;
extern const struct command help_command;

/* Every command, NULL at the end. */
extern const struct command *const commands[];

/* The command of this name; NULL after saying on stderr which ones there are. */
const struct command *command_find(const char *name);

/* What help prints. */
void help_overview(void);
void help_of_command(const struct command *command);

/* Runs what `bench start` measures, in a process of its own; negative if `argument` asks for nothing of the kind. */
int bench_child(const char *argument);

#endif
