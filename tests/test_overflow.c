/* SPDX-License-Identifier: MIT */
/* A stack overflow names its task, and the process dies as it would have; every other fault is left alone. */
#include "harness.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "context/stack.h"
#include "core/loop.h"

/* What a process does that is made to die: this program, started with the name of a scenario and of a guard. */

static volatile int depth_wanted = 1 << 30;

static noinline int dig(int depth)
{
	volatile char frame[512];

	frame[0] = (char)depth;
	if (depth < depth_wanted)
		dig(depth + 1);
	return frame[0];
}

static intptr_t overflow(void *arg)
{
	(void)arg;
	return dig(0);
}

static noinline intptr_t use_large_frame(size_t where)
{
	volatile char frame[100 << 10];

	frame[where] = 1;
	return frame[where];
}

static intptr_t overflow_at_once(void *arg)
{
	(void)arg;
	return use_large_frame((size_t)depth_wanted % 1000);
}

/* Where the task is created, which the parent is told as an offset in the program. */
static noinline intptr_t create_and_await(async_fn *fn, const char *name, size_t size)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.name = name;
	options.stack_size = size;
	return async_await(async_create_task_with(fn, NULL, &options));
}

static intptr_t named(void *arg)
{
	Dl_info info = {0};

	(void)arg;
	dladdr((void *)(uintptr_t)create_and_await, &info);
	fprintf(stderr, "creator 0x%zx\n", (size_t)((char *)(uintptr_t)create_and_await - (char *)info.dli_fbase));
	return create_and_await(overflow, "digger", 200 << 10);
}

static intptr_t unnamed(void *arg)
{
	(void)arg;
	return create_and_await(overflow, NULL, 0);
}

static intptr_t large_frame(void *arg)
{
	(void)arg;
	return create_and_await(overflow_at_once, "leaper", 0);
}

static intptr_t others_first(void *arg)
{
	(void)arg;
	depth_wanted = 3;
	for (int i = 0; i < 100; i++)
		if (create_and_await(overflow, "modest", 0) < 0)
			return -1;
	depth_wanted = 1 << 30;
	return create_and_await(overflow, "last", 16 << 10);
}

static volatile char *volatile nowhere = (char *)4096;

static intptr_t wild_pointer(void *arg)
{
	(void)arg;
	*nowhere = 1;
	return 0;
}

static intptr_t sent(void *arg)
{
	(void)arg;
	kill(getpid(), SIGSEGV);
	return 0;
}

static char own_stack[64 << 10];

static void own_handler(int number)
{
	char here;

	(void)number;
	_exit(&here > own_stack && &here < own_stack + sizeof(own_stack) ? 7 : 8);
}

static intptr_t own(void *arg)
{
	return unnamed(arg);
}

static void install_own_handler(void)
{
	stack_t stack = {.ss_sp = own_stack, .ss_size = sizeof(own_stack)};
	struct sigaction action = {.sa_handler = own_handler, .sa_flags = (int)SA_ONSTACK};

	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

static intptr_t ignored(void *arg)
{
	(void)arg;
	return 0;
}

static const struct scenario {
	const char *name;
	async_fn *fn;
	bool thread;
	void (*prepare)(void);
} scenarios[] = {
	{"named", named, false, NULL},
	{"unnamed", unnamed, false, NULL},
	{"large frame", large_frame, false, NULL},
	{"others first", others_first, false, NULL},
	{"thread", named, true, NULL},
	{"wild pointer", wild_pointer, false, NULL},
	{"sent", sent, false, NULL},
	{"own handler", own, false, install_own_handler},
	{"nothing", ignored, false, NULL},
};

static enum stack_guard child_guard;

static void *run_scenario(void *arg)
{
	const struct scenario *scenario = arg;
	struct async_options options = test_options();
	async_loop *loop;

	if (async_loop_new(&options, &loop) < 0)
		_exit(9);
	loop->stacks.guard = child_guard;
	async_loop_run_until_complete(loop, async_loop_create_task(loop, scenario->fn, NULL, NULL));
	async_loop_free(loop);
	return NULL;
}

static int child(const char *name, const char *guard)
{
	const struct scenario *scenario = scenarios;
	pthread_t thread;

	while (strcmp(scenario->name, name) != 0)
		scenario++;
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	child_guard = strcmp(guard, "mprotect") == 0 ? STACK_GUARD_MPROTECT : STACK_GUARD_AUTO;
	if (scenario->prepare)
		scenario->prepare();
	if (!scenario->thread)
		run_scenario((void *)(uintptr_t)scenario);
	else if (pthread_create(&thread, NULL, run_scenario, (void *)(uintptr_t)scenario) == 0)
		pthread_join(thread, NULL);
	return 0;
}

/* The other side */

static char *program;
static char said[65536];

static void add_option(const char *variable, const char *option)
{
	char value[1024];
	const char *old = getenv(variable);

	snprintf(value, sizeof(value), "%s:%s", old ? old : "", option);
	setenv(variable, value, 1);
}

/* Starts a process, reads what it says on stderr, and gives its status. */
static int run_child(const char *name, const char *guard)
{
	int ends[2], status;
	size_t length = 0;
	ssize_t count;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *argv[] = {program, (char *)(uintptr_t)name, (char *)(uintptr_t)guard, NULL};

		/* The sanitizers would be first otherwise. */
		add_option("ASAN_OPTIONS", "handle_segv=0:use_sigaltstack=0");
		add_option("UBSAN_OPTIONS", "handle_segv=0");
		add_option("TSAN_OPTIONS", "handle_segv=0");
		dup2(ends[1], STDERR_FILENO);
		execv(program, argv);
		_exit(10);
	}
	close(ends[1]);
	while ((count = read(ends[0], said + length, sizeof(said) - 1 - length)) > 0)
		length += (size_t)count;
	said[length] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void assert_dies(const char *name, const char *guard)
{
	int status = run_child(name, guard);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

/* One line, exactly once, that says what `format` holds. */
static void assert_report(const char *task, const char *size)
{
	char begin[100], *report = strstr(said, "async: stack overflow"), *end;

	snprintf(begin, sizeof(begin), "async: stack overflow in task %s, created at ", task);
	assert_non_null(report);
	assert_memory_equal(report, begin, strlen(begin));
	assert_null(strstr(report + 1, "async: stack overflow"));
	end = strchr(report, '\n');
	assert_non_null(end);
	assert_true((size_t)(end - report) > strlen(size));
	assert_memory_equal(end - strlen(size), size, strlen(size));
}

/* The last "+0x…" before the size is an offset in the program. */
static void assert_created_by_creator(void)
{
	const char *creator = strstr(said, "creator 0x"), *report = strstr(said, "created at "), *offset = NULL;

	assert_non_null(creator);
	assert_non_null(report);
	assert_non_null(strstr(report, strrchr(program, '/') + 1));
	for (const char *p = report; (p = strstr(p, "+0x")); p++)
		offset = p;
	assert_non_null(offset);
	size_t function = strtoul(creator + strlen("creator "), NULL, 16), place = strtoul(offset + 1, NULL, 16);
	assert_in_range(place, function, function + 2000);
}

static void for_both_guards(void (*test)(const char *guard))
{
	test("auto");
	test("mprotect");
}

static void name_task(const char *guard)
{
	assert_dies("named", guard);
	assert_report("digger", " (stack of 256 KiB)");
	assert_created_by_creator();
}

static void overflow_names_task_place_and_size(void **state)
{
	(void)state;
	for_both_guards(name_task);
}

static void number_task(const char *guard)
{
	assert_dies("unnamed", guard);
	assert_report("Task-2", " (stack of 64 KiB)");
}

static void task_without_a_name_has_a_number(void **state)
{
	(void)state;
	for_both_guards(number_task);
}

static void leap(const char *guard)
{
	assert_dies("large frame", guard);
	assert_report("leaper", " (stack of 64 KiB)");
}

static void large_frame_does_not_leap_the_guard(void **state)
{
	(void)state;
	for_both_guards(leap);
}

static void reuse(const char *guard)
{
	assert_dies("others first", guard);
	assert_report("last", " (stack of 16 KiB)");
}

static void who_had_the_stack_before_is_not_named(void **state)
{
	(void)state;
	for_both_guards(reuse);
}

static void overflow_in_a_thread(const char *guard)
{
	assert_dies("thread", guard);
	assert_report("digger", " (stack of 256 KiB)");
	assert_created_by_creator();
}

static void threads_have_their_own_watch(void **state)
{
	(void)state;
	for_both_guards(overflow_in_a_thread);
}

static void other_faults_are_no_overflow(void **state)
{
	static const char *const names[] = {"wild pointer", "sent"};

	(void)state;
	for (size_t i = 0; i < countof(names); i++) {
		assert_dies(names[i], "auto");
		assert_null(strstr(said, "async:"));
	}
}

static void keep_handler(const char *guard)
{
	int status = run_child("own handler", guard);

	/* It ran, and on the stack that the program gave it. */
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_null(strstr(said, "async:"));
}

static void handler_of_the_program_is_left_alone(void **state)
{
	(void)state;
	for_both_guards(keep_handler);
}

static void nothing_happens_without_a_fault(void **state)
{
	int status = run_child("nothing", "auto");

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_null(strstr(said, "async:"));
}

static intptr_t alternate_stack_is_there(void *arg)
{
	stack_t stack;

	(void)arg;
	assert_int_equal(sigaltstack(NULL, &stack), 0);
	return (stack.ss_flags & SS_DISABLE) == 0;
}

static void alternate_stack_is_put_back(void **state)
{
	stack_t before, after;

	(void)state;
	assert_int_equal(sigaltstack(NULL, &before), 0);
	assert_int_equal(run_virtual(alternate_stack_is_there, NULL), 1);
	assert_int_equal(sigaltstack(NULL, &after), 0);
	assert_int_equal(after.ss_flags, before.ss_flags);
	if (!(before.ss_flags & SS_DISABLE))
		assert_ptr_equal(after.ss_sp, before.ss_sp);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(overflow_names_task_place_and_size),
		TEST(task_without_a_name_has_a_number),
		TEST(large_frame_does_not_leap_the_guard),
		TEST(who_had_the_stack_before_is_not_named),
		TEST(threads_have_their_own_watch),
		TEST(other_faults_are_no_overflow),
		TEST(handler_of_the_program_is_left_alone),
		TEST(nothing_happens_without_a_fault),
		TEST(alternate_stack_is_put_back),
	};

	program = argv[0];
	if (argc == 3)
		return child(argv[1], argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
