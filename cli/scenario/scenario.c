/* SPDX-License-Identifier: MIT */
#include "scenario.h"

#include <stdio.h>
#include <string.h>

#include "options.h"

const struct scenario *const scenarios[] = {&primes_scenario, &countdown_scenario, &stdin_scenario, NULL};

const struct scenario *scenario_find(const char *name)
{
	const char *names[sizeof(scenarios) / sizeof(scenarios[0])] = {NULL};

	for (size_t i = 0; scenarios[i]; i++) {
		if (strcmp(scenarios[i]->name, name) == 0)
			return scenarios[i];
		names[i] = scenarios[i]->name;
	}
	complain_choice("scenario", name, names);
	return NULL;
}

const char *scenario_modes(const struct scenario *scenario, const char *separator, char *buffer, size_t size)
{
	size_t used = 0;

	for (int mode = 0; mode < MODE_COUNT; mode++)
		if (scenario->body[mode])
			used += (size_t)snprintf(buffer + used, size - used, "%s%s", used ? separator : "",
						 mode_names[mode]);
	return buffer;
}
