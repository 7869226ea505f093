/* SPDX-License-Identifier: MIT */
#include "context/exceptions.h"

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unwind.h>

/* Of the C++ runtime. */
typedef void *globals_fn(void);
__attribute__((weak, visibility("default"))) extern globals_fn __cxa_get_globals;

struct exceptions exceptions_none;
__thread struct exceptions *exceptions_of_thread = &exceptions_none;

/* How many objects the dynamic linker has loaded up to now. */
static int count_loaded(struct dl_phdr_info *info, size_t size, void *count)
{
	(void)size;
	*(unsigned long long *)count = info->dlpi_adds;
	return 1;
}

/* A plugin may have brought the runtime, for itself alone. Only what was loaded since the last look is a reason for
 * another. */
static globals_fn *find_loaded(void)
{
	static const char *const names[] = {"libstdc++.so.6", "libc++abi.so.1"};
	static _Atomic(globals_fn *) found;
	static atomic_ullong looked_at;
	unsigned long long loaded = 0;

	dl_iterate_phdr(count_loaded, &loaded);
	if (atomic_load(&looked_at) == loaded)
		return found;
	for (size_t i = 0; !found && i < array_size(names); i++) {
		void *runtime = dlopen(names[i], RTLD_LAZY | RTLD_NOLOAD);

		/* It is kept, because this thread's exceptions are. */
		if (runtime)
			found = (globals_fn *)dlsym(runtime, "__cxa_get_globals");
	}
	atomic_store(&looked_at, loaded);
	return found;
}

bool exceptions_watch(void)
{
	globals_fn *globals = __cxa_get_globals ? __cxa_get_globals : find_loaded();

	if (globals)
		exceptions_of_thread = globals();
	return globals != NULL;
}

/* The personality of a function with a FENCED call. In the search phase nothing has been unwound yet, and an error
 * there makes whoever throws call std::terminate. A forced unwinding, as of pthread_cancel, has no such phase. */
_Unwind_Reason_Code exceptions_fence(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
				     struct _Unwind_Exception *exception, struct _Unwind_Context *context)
	__attribute__((used, visibility("hidden")));

_Unwind_Reason_Code exceptions_fence(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
				     struct _Unwind_Exception *exception, struct _Unwind_Context *context)
{
	(void)version, (void)class, (void)exception, (void)context;
	return actions & _UA_SEARCH_PHASE ? _URC_FATAL_PHASE1_ERROR : _URC_CONTINUE_UNWIND;
}
