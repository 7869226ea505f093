/* SPDX-License-Identifier: MIT */
#include "command.h"
#include "output.h"
#include "scenario/scenario.h"

static int execute(int argc, char **argv)
{
	if (argc) {
		complain_line("argument 1: '%s' is not expected; list takes no arguments", argv[0]);
		return STATUS_USAGE;
	}
	for (size_t i = 0; scenarios[i]; i++) {
		char modes[80];

		output_printf("%-10s %-28s %s\n", scenarios[i]->name,
			      scenario_modes(scenarios[i], ",", modes, sizeof(modes)), scenarios[i]->summary);
	}
	return output_finish() ? STATUS_DONE : STATUS_FAILED;
}

const struct command list_command = {
	.name = "list",
	.arguments = "",
	.summary = "list the scenarios and their modes",
	.execute = execute,
};
