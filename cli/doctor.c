/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <async.h>

#include "command.h"
#include "options.h"
#include "output.h"

static struct doctor_settings {
	bool json;
} settings;

static const struct option options[] = {
	{.name = "json",
	 .parse = option_flag,
	 .offset = offsetof(struct doctor_settings, json),
	 .help = "one JSON object"},
	{.name = NULL},
};

/* One line of the report. */
static void finding(struct json *json, const char *name, const char *value, const char *meaning)
{
	if (!settings.json) {
		output_printf("%-22s %s\n%-22s   %s\n", name, value, "", meaning);
		return;
	}
	json_name(json, name);
	json_open(json, '{');
	json_name(json, "value");
	json_string(json, value);
	json_name(json, "meaning");
	json_string(json, meaning);
	json_close(json, '}');
}

/* The first line of a file of /proc; "unknown" where it cannot be read. */
static const char *read_line(const char *path, char *buffer, size_t size)
{
	FILE *file = fopen(path, "re");

	if (!file || !fgets(buffer, (int)size, file))
		snprintf(buffer, size, "unknown");
	buffer[strcspn(buffer, "\n")] = 0;
	if (file)
		fclose(file);
	return buffer;
}

static const char *read_limit(int resource, char *buffer, size_t size)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
		snprintf(buffer, size, "unknown");
	else if (limit.rlim_cur == RLIM_INFINITY)
		snprintf(buffer, size, "unlimited");
	else
		snprintf(buffer, size, "%llu", (unsigned long long)limit.rlim_cur);
	return buffer;
}

static void find_kernel(struct json *json)
{
	struct utsname name;
	char value[sizeof(name.release) + sizeof(name.machine) + 2] = "unknown";

	if (uname(&name) == 0)
		snprintf(value, sizeof(value), "%s %s", name.release, name.machine);
	finding(json, "kernel", value, "features are found by trying them, not by this version");
}

static void find_library(struct json *json, const struct async_system_info *info)
{
	char value[200], meaning[800];

	finding(json, "library", async_version(), "the version of libasync that runs");
	if (info->io_uring) {
		snprintf(meaning, sizeof(meaning), "loops use it unless told otherwise; found: %s",
			 info->io_uring_features);
		finding(json, "io_uring", "yes", meaning);
	} else {
		snprintf(meaning, sizeof(meaning), "loops use epoll, with the same results; why: %s",
			 info->io_uring_reason);
		finding(json, "io_uring", "no", meaning);
	}
	if (*info->guard_reason)
		snprintf(meaning, sizeof(meaning),
			 "each stack takes two mappings, so vm.max_map_count limits tasks; why: %s",
			 info->guard_reason);
	else
		snprintf(meaning, sizeof(meaning), "guard pages take no mappings, so only memory limits tasks");
	finding(json, "stack guard", info->guard, meaning);
	finding(json, "switch", info->switch_kind,
		strcmp(info->switch_kind, "asm") == 0 ? "a switch between tasks costs a few nanoseconds"
						      : "a switch between tasks costs two system calls");
	snprintf(value, sizeof(value), "%u", info->processors);
	finding(json, "processors", value,
		info->processors > 1 ? "workers and the loop spin a little before they sleep, which saves wake-ups"
				     : "computation on workers gains nothing here; blocking calls still do");
	snprintf(value, sizeof(value), "%zu", info->default_workers);
	finding(json, "default workers", value, "so many jobs of the default executor run at once");
	finding(json, "valgrind", info->valgrind ? "yes" : "no",
		info->valgrind ? "slow, and no figure of bench means anything" : "runs at full speed");
}

static void find_limits(struct json *json, const struct async_system_info *info)
{
	char value[64], meaning[200];

	read_line("/proc/sys/vm/max_map_count", value, sizeof(value));
	if (*info->guard_reason && atol(value) > 0)
		snprintf(meaning, sizeof(meaning), "about %ld tasks at once; raise it with sysctl for more",
			 atol(value) / 2);
	else
		snprintf(meaning, sizeof(meaning), "does not limit tasks here, see stack guard");
	finding(json, "vm.max_map_count", value, meaning);
	finding(json, "descriptors", read_limit(RLIMIT_NOFILE, value, sizeof(value)),
		"connections and files open at once (ulimit -n); beyond it calls return -EMFILE");
	finding(json, "memlock", read_limit(RLIMIT_MEMLOCK, value, sizeof(value)),
		"bytes (ulimit -l); older kernels charge io_uring's rings to it and refuse them beyond it");
	finding(json, "threads", read_limit(RLIMIT_NPROC, value, sizeof(value)),
		"of this user, all programs together (ulimit -u); beyond it no worker can be started");
	finding(json, "address space", read_limit(RLIMIT_AS, value, sizeof(value)),
		"bytes (ulimit -v); stacks reserve address space long before they use memory");
	read_line("/proc/sys/vm/overcommit_memory", value, sizeof(value));
	finding(json, "vm.overcommit_memory", value,
		strcmp(value, "2") == 0 ? "strict: reserving room for many stacks may fail"
					: "reserving room for stacks costs nothing until they are used");
	read_line("/proc/sys/kernel/io_uring_disabled", value, sizeof(value));
	finding(json, "io_uring_disabled", value,
		strcmp(value, "0") == 0 ? "the administrator allows io_uring"
		: *value == 'u'         ? "this kernel has no such switch"
					: "the administrator restricts io_uring");
}

static int execute(int argc, char **argv)
{
	struct async_system_info info = {.size = sizeof(info)};
	struct json json = {0};
	int error;

	if (argc) {
		complain_line("argument 1: '%s' is not expected; doctor takes no arguments", argv[0]);
		return STATUS_USAGE;
	}
	error = async_get_system_info(&info);
	if (error < 0) {
		complain_line("cannot probe the system: %s", strerror(-error));
		return STATUS_FAILED;
	}
	if (settings.json)
		json_open(&json, '{');
	find_kernel(&json);
	find_library(&json, &info);
	find_limits(&json, &info);
	if (settings.json) {
		json_close(&json, '}');
		output_printf("\n");
	}
	return output_finish() ? STATUS_DONE : STATUS_FAILED;
}

const struct command doctor_command = {
	.name = "doctor",
	.arguments = "",
	.summary = "show what this machine offers the runtime, and what that means",
	.options = options,
	.settings = &settings,
	.execute = execute,
};
