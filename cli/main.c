/* SPDX-License-Identifier: MIT */
#include <string.h>

#include <async.h>

#include "command.h"
#include "options.h"
#include "output.h"

const struct command *const commands[] = {&run_command,    &compare_command, &list_command, &bench_command,
					  &ps_command,     &pstree_command,  &top_command,
					  &doctor_command, &help_command, NULL};

const struct command *command_find(const char *name)
{
	const char *names[sizeof(commands) / sizeof(commands[0])] = {NULL};

	for (size_t i = 0; commands[i]; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
		names[i] = commands[i]->name;
	}
	complain_choice("command", name, names);
	return NULL;
}

static int finish(void)
{
	return output_finish() ? STATUS_DONE : STATUS_FAILED;
}

int main(int argc, char **argv)
{
	const struct command *command;
	int status = argc == 2 ? bench_child(argv[1]) : -1;

	if (status >= 0)
		return status;
	output_open();
	if (argc < 2) {
		complain_line("the command is missing; 'asyncctl help' shows them");
		return STATUS_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		output_printf("asyncctl %s\n", async_version());
		return finish();
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		help_overview();
		return finish();
	}
	command = command_find(argv[1]);
	if (!command)
		return STATUS_USAGE;
	argc = options_parse(command->options, command->settings, argc - 2, argv + 2);
	if (argc == OPTIONS_WRONG)
		return STATUS_USAGE;
	if (argc == OPTIONS_HELP) {
		help_of_command(command);
		return finish();
	}
	return command->execute(argc, argv + 2);
}
