/* SPDX-License-Identifier: MIT */
/*
 * What contains the library stays loaded. Destructors of thread-local values, handlers of fork and of signals and
 * worker threads are in it, and none of them can be taken back for all threads when somebody calls dlclose(3).
 * libasync.so says so itself; a plug-in that libasync.a was linked into is told here.
 */
#include <dlfcn.h>
#include <link.h>

__attribute__((constructor)) static void stay_loaded(void)
{
	struct link_map *object;
	Dl_info info;

	/* The program itself has no name there. */
	if (dladdr1((void *)stay_loaded, &info, (void **)&object, RTLD_DL_LINKMAP) && object->l_name[0])
		/* It counts as open once more: which does not matter to what is never unloaded. */
		(void)!dlopen(object->l_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}
