/* SPDX-License-Identifier: MIT */
/* The trace as a file: what is in it, and when it is written. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "trace_peers.h"

static char *contents(const char *path)
{
	static char text[1 << 20];
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	ssize_t size = read(fd, text, sizeof(text) - 1);
	assert_true(size >= 0);
	text[size] = '\0';
	close(fd);
	return text;
}

static size_t occurrences(const char *text, const char *word)
{
	size_t count = 0;

	for (const char *at = text; (at = strstr(at, word)); at++)
		count++;
	return count;
}

static const char *temporary(void)
{
	static char path[] = "/tmp/async-trace-XXXXXX";

	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	return path;
}

static void test_json(void **state)
{
	const char *path = temporary();
	int fd = open(path, O_WRONLY);

	(void)state;
	trace(rename_and_end);
	assert_int_equal(async_trace_write(fd), 0);
	close(fd);
	const char *text = contents(path);
	unlink(path);
	assert_non_null(strstr(text, "\"name\":\"\\\"after\\\"\\u000a\\ufffd\""));
	assert_non_null(strstr(text, "\"name\":\"waits for \\\"after\\\""));
	assert_true(occurrences(text, "\"ph\":\"s\"") > 0);
	assert_int_equal(occurrences(text, "\"ph\":\"s\""), occurrences(text, "\"ph\":\"f\""));
	assert_int_equal(occurrences(text, "{"), occurrences(text, "}"));
	assert_non_null(strstr(text, "\n],\"otherData\":{\"lost\":0}}\n"));
}

static intptr_t two_slices(void *arg)
{
	(void)arg;
	give_way(2);
	return 0;
}

static void test_written_on_a_slow_task(void **state)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;
	struct async_options loop = test_options();
	const char *path = temporary();

	(void)state;
	loop.slow_task = 1;
	options.path = path;
	options.on_slow_task = true;
	assert_int_equal(async_trace_start(&options), 0);
	loop_end(loop_with(&loop));
	assert_int_equal(run_with(two_slices, NULL, &loop), 0);
	async_trace_stop();
	assert_non_null(strstr(contents(path), "\"name\":\"Task-1\""));
	unlink(path);
}

static int start_with(const char *path)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;

	options.path = path;
	options.on_slow_task = true;
	int error = async_trace_start(&options);
	if (error == 0)
		async_trace_stop();
	return error;
}

static void test_paths_are_looked_at_first(void **state)
{
	const char *path = temporary();
	char name[200];

	(void)state;
	assert_int_equal(start_with(path), 0);
	assert_int_equal(start_with("/tmp"), -EISDIR);
	assert_int_equal(start_with("/dev/null"), -EINVAL);
	assert_int_equal(start_with("/"), -EISDIR);
	assert_int_equal(start_with("/nowhere/trace"), -ENOENT);
	snprintf(name, sizeof(name), "%s/trace", path);
	assert_int_equal(start_with(name), -ENOTDIR);
	assert_int_equal(start_with("a_new_file_here"), 0);
	assert_int_equal(access("a_new_file_here", F_OK), -1);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(start_with(path), -EINVAL);
	unlink(path);
	fault_arm("faccessat", 1, -EROFS);
	assert_int_equal(start_with(path), -EROFS);
	fault_disarm();
	/* None of these leaves anything on. */
	assert_int_equal(async_trace_start(NULL), 0);
	async_trace_stop();
}

/* What was a file at the start is a FIFO, or a directory, when there is something to write. */
static void test_what_is_no_file_any_more(void **state)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;
	struct async_options loop = test_options();
	const char *path = temporary();

	(void)state;
	loop.slow_task = 1;
	options.path = path;
	options.on_slow_task = true;
	for (int reader = -1, kind = 0; kind < 2; kind++) {
		assert_int_equal(async_trace_start(&options), 0);
		unlink(path);
		assert_int_equal(mkfifo(path, 0600), 0);
		if (kind == 1)
			reader = open(path, O_RDONLY | O_NONBLOCK);
		assert_int_equal(run_with(two_slices, NULL, &loop), 0);
		async_trace_stop();
		char byte;
		if (kind == 1)
			assert_int_equal(read(reader, &byte, 1), 0);
		close(reader);
		unlink(path);
	}
}

static intptr_t abort_task(void *arg)
{
	(void)arg;
	abort();
}

static void crash(const char *path)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;

	signal(SIGABRT, SIG_DFL);
	options.path = path;
	options.on_crash = true;
	if (async_trace_start(&options) == 0)
		async_run(abort_task, NULL);
}

static void test_written_in_a_crash(void **state)
{
	const char *path = temporary();
	char said[8192];
	int status;

	(void)state;
	in_child(crash, path, said, sizeof(said), &status);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(said, "async: crashed; the trace is in /tmp/"));
	const char *text = contents(path);
	unlink(path);
	assert_non_null(strstr(text, "\"name\":\"Task-1\""));
	assert_non_null(strstr(text, "],\"otherData\":"));
}

static intptr_t overflow(void *arg)
{
	volatile char frame[4096];

	frame[0] = (char)(intptr_t)arg;
	return arg == &arg ? 0 : overflow((void *)&frame) + frame[0];
}

static void overflow_in_a_trace(const char *path)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;

	signal(SIGSEGV, SIG_DFL);
	options.path = path;
	options.on_crash = true;
	if (async_trace_start(&options) == 0)
		async_run(overflow, NULL);
}

static void test_an_overflow_is_still_named(void **state)
{
	const char *path;
	char said[8192];
	int status;

	(void)state;
	if (under_tool("asan") || under_tool("tsan") || under_tool("valgrind"))
		skip();
	path = temporary();
	in_child(overflow_in_a_trace, path, said, sizeof(said), &status);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	assert_non_null(strstr(said, "stack overflow in task Task-1"));
	assert_non_null(strstr(said, "async: crashed; the trace is in /tmp/"));
	assert_non_null(strstr(contents(path), "],\"otherData\":"));
	unlink(path);
}

static void exit_with_trace(const char *path)
{
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;
	char with_number[100];

	snprintf(with_number, sizeof(with_number), "%s.%%p", path);
	options.path = with_number;
	options.on_exit = true;
	if (async_trace_start(&options) < 0 || async_run(nothing, NULL) < 0)
		_exit(1);
	/* Only the writer of this process's trace is to run, not what the parent registered. */
	snprintf(with_number, sizeof(with_number), "%s.%d", path, getpid());
	if (rename(with_number, path) == 0)
		_exit(2);
	exit(0);
}

static void test_written_at_exit(void **state)
{
	const char *path = temporary();
	char said[8192], name[100];
	int status;

	(void)state;
	stderr_capture();
	pid_t pid = fork();
	if (pid == 0)
		exit_with_trace(path);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	stderr_release(said, sizeof(said));
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	snprintf(name, sizeof(name), "%s.%d", path, (int)pid);
	assert_non_null(strstr(contents(name), "\"name\":\"Task-1\""));
	unlink(name);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_json),
		TEST(test_written_on_a_slow_task),
		TEST(test_paths_are_looked_at_first),
		TEST(test_what_is_no_file_any_more),
		TEST(test_written_in_a_crash),
		TEST(test_an_overflow_is_still_named),
		TEST(test_written_at_exit),
	};

	return cmocka_run_group_tests_name("trace_file", tests, NULL, NULL);
}
