/* SPDX-License-Identifier: MIT */
/* Programs that load the library, or a plug-in that it was linked into, and close it again: it stays. */
#include "harness.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A file that was built beside this program. */
static void path_of(const char *name, char path[PATH_MAX])
{
	ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);

	assert_true(size > 0);
	path[size] = '\0';
	char *end = strrchr(path, '/') + 1;
	assert_true(strlen(name) < (size_t)(path + PATH_MAX - end));
	strcpy(end, name);
}

typedef intptr_t run_fn(void *library);

static intptr_t give_word(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t run_library(void *library)
{
	__typeof__(&async_get_event_loop) own = (__typeof__(own))dlsym(library, "async_get_event_loop");
	__typeof__(&async_run) run = (__typeof__(run))dlsym(library, "async_run");

	assert_non_null(own);
	assert_non_null(run);
	assert_non_null(own());
	return run(give_word, (void *)3);
}

static intptr_t run_plugin(void *library)
{
	intptr_t (*run)(intptr_t word) = (__typeof__(run))dlsym(library, "plugin_run");

	assert_non_null(run);
	return run(3);
}

struct usage {
	char path[PATH_MAX];
	run_fn *run;
	intptr_t result;
};

/* In a thread that has a loop of its own when the library is closed under it. */
static void use(void *arg)
{
	struct usage *usage = arg;

	for (int i = 0; i < 3; i++) {
		void *library = dlopen(usage->path, RTLD_NOW | RTLD_LOCAL);

		if (!library) {
			fprintf(stderr, "%s\n", dlerror());
			usage->result = -ENOENT;
			return;
		}
		usage->result = usage->run(library);
		dlclose(library);
	}
}

static void nothing(void *arg)
{
	(void)arg;
}

static void stays_loaded(const char *name, run_fn *run)
{
	struct usage usage = {.run = run};
	struct sigaction action;
	Dl_info info;
	int status;

	path_of(name, usage.path);
	in_thread(use, &usage);
	assert_int_equal(usage.result, 3);
	void *library = dlopen(usage.path, RTLD_NOW | RTLD_NOLOAD);
	assert_non_null(library);
	dlclose(library);
	/* Handlers of signals and of fork, destructors of threads. */
	assert_int_equal(sigaction(SIGSEGV, NULL, &action), 0);
	if (action.sa_handler != SIG_DFL)
		assert_true(dladdr((void *)action.sa_sigaction, &info));
	in_thread(nothing, NULL);
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void the_library_stays(void **state)
{
	(void)state;
	stays_loaded("../libasync.so", run_library);
}

static void a_plug_in_that_contains_it_stays(void **state)
{
	(void)state;
	stays_loaded("plugin/plugin.so", run_plugin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_library_stays),
		TEST(a_plug_in_that_contains_it_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
