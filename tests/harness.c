/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "core/loop.h"

struct reports reports;

#define USUAL_DESCRIPTORS 1024

/*
 * A test program begins like one that a terminal has just started, whatever its parents ignore, block, close or limit:
 * nohup, make, a shell in the background and a runner of tests differ in that.
 */
__attribute__((constructor)) static void begin_afresh(void)
{
	struct rlimit descriptors;
	sigset_t none;
	int fd;

	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;

		if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			signal(number, SIG_DFL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
		;
	close(fd);
	getrlimit(RLIMIT_NOFILE, &descriptors);
	if (descriptors.rlim_cur < USUAL_DESCRIPTORS && descriptors.rlim_max >= USUAL_DESCRIPTORS)
		descriptors.rlim_cur = USUAL_DESCRIPTORS;
	setrlimit(RLIMIT_NOFILE, &descriptors);
}

static char notes[65536];
static size_t notes_length;

int harness_recover(void **state)
{
	(void)state;
	loop_running = NULL;
	fault_disarm();
	forget_notes();
	return 0;
}

static bool is(const char *variable, const char *value)
{
	const char *set = getenv(variable);

	return set && strcmp(set, value) == 0;
}

struct async_options test_options(void)
{
	struct async_options options = ASYNC_OPTIONS_INIT;

	if (is("ASYNC_TEST_BACKEND", "epoll"))
		options.backend = ASYNC_BACKEND_EPOLL;
	else if (is("ASYNC_TEST_BACKEND", "io_uring"))
		options.backend = ASYNC_BACKEND_IO_URING;
	if (is("ASYNC_TEST_SWITCH", "asm"))
		options.switch_kind = ASYNC_SWITCH_ASM;
	else if (is("ASYNC_TEST_SWITCH", "ucontext"))
		options.switch_kind = ASYNC_SWITCH_UCONTEXT;
	options.clock = ASYNC_CLOCK_VIRTUAL;
	options.debug = true;
	/* Tools make everything slow; nothing of that shall be reported. */
	options.slow_task = 3600 * ASYNC_S;
	return options;
}

bool under_tool(const char *name)
{
	return is("TEST_TOOL", name);
}

size_t test_many(size_t count)
{
	/* Each task is a thread for ThreadSanitizer, and each switch costs it a look at them all. */
	size_t divisor = under_tool("tsan") ? 200 : under_tool("valgrind") || under_tool("asan") ? 50 : 1;

	return (count + divisor - 1) / divisor;
}

int record_report(const struct async_error_context *context, void *arg)
{
	(void)arg;
	reports.count++;
	reports.error = context->error;
	reports.future = context->future;
	snprintf(reports.message, sizeof(reports.message), "%s", context->message);
	return 0;
}

async_loop *loop_with(const struct async_options *options)
{
	async_loop *loop = NULL;

	reports = (struct reports){0};
	assert_int_equal(async_loop_new(options, &loop), 0);
	assert_int_equal(async_loop_set_error_handler(loop, record_report, NULL), 0);
	return loop;
}

async_loop *loop_virtual(void)
{
	struct async_options options = test_options();

	return loop_with(&options);
}

async_loop *loop_real(void)
{
	struct async_options options = test_options();

	options.clock = ASYNC_CLOCK_REAL;
	return loop_with(&options);
}

void loop_end(async_loop *loop)
{
	assert_int_equal(async_loop_close(loop), 0);
	async_loop_free(loop);
}

intptr_t run_with(async_fn *fn, void *arg, const struct async_options *options)
{
	async_loop *loop = loop_with(options);
	intptr_t result = async_loop_run_until_complete(loop, async_loop_create_task(loop, fn, arg, NULL));

	loop_end(loop);
	return result;
}

static void assert_no_reports(void)
{
	if (reports.count > 0)
		fail_msg("%zu reports, the last: %s (%ld)", reports.count, reports.message, (long)reports.error);
}

intptr_t run_virtual(async_fn *fn, void *arg)
{
	struct async_options options = test_options();
	intptr_t result = run_with(fn, arg, &options);

	assert_no_reports();
	return result;
}

void for_each_seed(async_fn *fn, unsigned count)
{
	struct async_options options = test_options();
	/* ThreadSanitizer's fibres are kept for the next loop while there is another. */
	async_loop *another = loop_virtual();

	for (unsigned seed = 1; seed <= count; seed++) {
		options.shuffle_seed = seed;
		intptr_t result = run_with(fn, NULL, &options);

		if (result != 0)
			fail_msg("seed %u gives %ld", seed, (long)result);
		assert_no_reports();
		forget_notes();
	}
	loop_end(another);
}

void note(const char *format, ...)
{
	va_list args;

	if (notes_length > 0 && notes_length < sizeof(notes) - 1)
		notes[notes_length++] = ' ';
	va_start(args, format);
	notes_length += (size_t)vsnprintf(notes + notes_length, sizeof(notes) - notes_length, format, args);
	va_end(args);
	if (notes_length >= sizeof(notes))
		notes_length = sizeof(notes) - 1;
}

void assert_noted_at(const char *expected, const char *file, int line)
{
	if (strcmp(notes, expected) != 0) {
		print_error("expected: %s\n     got: %s\n", expected, notes);
		_fail(file, line);
	}
	forget_notes();
}

void assert_within(uintmax_t value, uintmax_t least, uintmax_t most, const char *file, int line)
{
	if (value < least || value > most) {
		print_error("%ju is not from %ju to %ju\n", value, least, most);
		_fail(file, line);
	}
}

const char *noted(void)
{
	return notes;
}

void forget_notes(void)
{
	notes_length = 0;
	notes[0] = '\0';
}

void note_callback(void *arg)
{
	note("%s", (const char *)arg);
}

void give_way(int turns)
{
	while (turns-- > 0)
		assert_int_equal(async_sleep(0), 0);
}

struct thread_call {
	void (*fn)(void *arg);
	void *arg;
};

static void *call_in_thread(void *arg)
{
	const struct thread_call *call = arg;

	call->fn(call->arg);
	return NULL;
}

void in_thread(void (*fn)(void *arg), void *arg)
{
	struct thread_call call = {fn, arg};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, call_in_thread, &call), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

void await_asleep(async_loop *loop)
{
	int state;

	while ((state = atomic_load(&loop->wake_state)) != LOOP_ASLEEP && state != LOOP_DOZING)
		sched_yield();
}

static int captured_fd = -1, real_stderr = -1;

void stderr_capture(void)
{
	fflush(stderr);
	captured_fd = memfd_create("stderr", 0);
	real_stderr = dup(STDERR_FILENO);
	assert_true(captured_fd >= 0 && real_stderr >= 0);
	assert_int_equal(dup2(captured_fd, STDERR_FILENO), STDERR_FILENO);
}

void stderr_release(char *text, size_t size)
{
	fflush(stderr);
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	ssize_t length = pread(captured_fd, text, size - 1, 0);
	close(captured_fd);
	text[length > 0 ? length : 0] = '\0';
}

size_t open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

intptr_t run_to_the_end(async_fn *fn)
{
	struct async_options options = test_options();
	async_loop *loop = NULL;
	intptr_t error = async_loop_new(&options, &loop);

	if (error < 0)
		return error;
	async_loop_set_error_handler(loop, record_report, NULL);
	async_task *task = async_loop_create_task(loop, fn, NULL, NULL);
	error = async_loop_run_until_complete(loop, async_ref(task));
	for (int i = 0; i < 3 && !async_done(task); i++)
		(void)async_loop_run_until_complete(loop, async_ref(task));
	assert_true(async_done(task));
	async_release(task);
	loop_end(loop);
	return error;
}

void fail_every_call(intptr_t (*once)(void), const int *errors, size_t count)
{
	size_t before = open_descriptors();

	for (size_t i = 0; i < count; i++) {
		for (unsigned long nth = 1, seen = nth; seen >= nth; nth++) {
			assert_true(nth < 1000);
			fault_arm(NULL, nth, errors[i]);
			intptr_t result = once();
			seen = fault_disarm();
			if (result > 0 || result < -4095)
				fail_msg("call %lu failing with %d gives %ld", nth, errors[i], (long)result);
			if (open_descriptors() != before)
				fail_msg("call %lu failing with %d leaves descriptors", nth, errors[i]);
			if (seen < nth)
				assert_int_equal(result, 0);
		}
	}
}
