/* SPDX-License-Identifier: MIT */
#include "command.h"
#include "options.h"
#include "output.h"

void help_overview(void)
{
	output_printf("asyncctl runs the classic scenarios of asynchronous programming in every mode, measures the\n"
		      "runtime, looks into running programs, and shows what this machine offers it.\n\n"
		      "Usage: asyncctl COMMAND [OPTION...] [ARGUMENT...]\n\nCommands:\n");
	for (size_t i = 0; commands[i]; i++)
		output_printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
	output_printf("\n'asyncctl help COMMAND' shows its options; 'asyncctl --version' the version.\n"
		      "Exit status: 0 done, 1 failed, 2 bad usage, 130 after Ctrl-C.\n");
}

void help_of_command(const struct command *command)
{
	output_printf("Usage: asyncctl %s%s%s%s\n\nasyncctl %s: %s.\n", command->name,
		      command->options ? " [OPTION...]" : "", *command->arguments ? " " : "", command->arguments,
		      command->name, command->summary);
	options_describe(command->options);
	if (command->describe)
		command->describe();
}

static int execute(int argc, char **argv)
{
	const struct command *command = NULL;

	if (argc > 1) {
		complain_line("argument 2: '%s' is not expected; help takes one command", argv[1]);
		return STATUS_USAGE;
	}
	if (argc) {
		command = command_find(argv[0]);
		if (!command)
			return STATUS_USAGE;
		help_of_command(command);
	} else {
		help_overview();
	}
	return output_finish() ? STATUS_DONE : STATUS_FAILED;
}

const struct command help_command = {
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "explain a command, or list them all",
	.execute = execute,
};
