/* SPDX-License-Identifier: MIT */
/* A program in C, in which the C++ runtime appears with a plug-in, for that alone: host PLUGIN. A loop has run
 * before. */
#include <async.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static intptr_t nothing(void *arg)
{
	(void)arg;
	return async_sleep(0);
}

int main(int argc, char **argv)
{
	struct async_options options = ASYNC_OPTIONS_INIT;
	const char *kind = getenv("ASYNC_TEST_SWITCH");

	options.clock = ASYNC_CLOCK_VIRTUAL;
	options.switch_kind = kind && strcmp(kind, "ucontext") == 0 ? ASYNC_SWITCH_UCONTEXT : ASYNC_SWITCH_AUTO;
	if (dlsym(RTLD_DEFAULT, "__cxa_get_globals")) {
		puts("the C++ runtime is here already");
		return 1;
	}
	if (argc < 2 || async_run_with(nothing, NULL, &options) != 0)
		return 1;
	void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (!plugin) {
		puts(dlerror());
		return 1;
	}
	async_fn *plugin_main = (async_fn *)dlsym(plugin, "plugin_main");
	intptr_t result = plugin_main ? async_run_with(plugin_main, NULL, &options) : -1;
	if (result != 10)
		printf("the plug-in's tasks gave %ld\n", (long)result);
	return result != 10;
}
