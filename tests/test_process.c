/* SPDX-License-Identifier: MIT */
/* Child processes: what they get, how they end, and that nothing of them is left. */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"

static struct async_process_options piped(void)
{
	struct async_process_options options = ASYNC_PROCESS_OPTIONS_INIT;

	for (int i = 0; i < 3; i++)
		options.stdio[i].kind = ASYNC_STDIO_PIPE;
	return options;
}

static async_process *shell(const char *script, const struct async_process_options *options)
{
	char sh[] = "sh", c[] = "-c", text[1024];
	char *argv[] = {sh, c, text, NULL};
	async_process *process = NULL;

	snprintf(text, sizeof(text), "%s", script);
	assert_int_equal(async_process_spawn("sh", argv, options, &process), 0);
	return process;
}

/* Runs a script; gives what it wrote and its status. */
static int run_shell(const char *script, const struct async_process_options *options, const char *input,
		     struct async_process_output *output)
{
	async_process *process = shell(script, options);
	int status = async_process_communicate(process, input, strlen(input), 1 << 20, output, NULL);

	assert_int_equal(async_process_close(process), 0);
	return status;
}

static void assert_says(const char *script, const struct async_process_options *options, const char *expected)
{
	struct async_process_output output = {0};

	assert_int_equal(run_shell(script, options, "", &output), 0);
	assert_string_equal(output.data, expected);
	free(output.data);
}

static void assert_no_child(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static int count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* Ends */

static intptr_t ends(void *arg)
{
	struct async_process_output output = {0};
	async_process *process = shell("exit 7", NULL);

	(void)arg;
	assert_true(async_process_pid(process) > 0);
	int status = async_process_wait(process);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_int_equal(async_process_wait(process), status);
	assert_int_equal(async_process_kill(process, SIGTERM), -ESRCH);
	assert_int_equal(async_process_close(process), 0);

	process = shell("kill -TERM $$", NULL);
	status = async_process_wait(process);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
	assert_int_equal(async_process_close(process), 0);

	struct async_process_options options = piped();
	status = run_shell("cat; exit 3", &options, "text", &output);
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_string_equal(output.data, "text");
	assert_int_equal(output.size, 4);
	free(output.data);
	assert_no_child();
	return 0;
}

static void test_ends(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(ends, NULL), 0);
}

static intptr_t wait_for_it(void *process)
{
	return async_process_wait(process);
}

/* A child that ends when its input does. */
static intptr_t cancels(void *arg)
{
	struct async_process_options options = piped();
	async_process *process = shell("read line", &options);
	async_task *tasks[] = {async_create_task(wait_for_it, process), async_create_task(wait_for_it, process)};

	(void)arg;
	give_way(1);
	async_cancel(tasks[0], NULL);
	assert_int_equal(async_await(tasks[0]), -ECANCELED);
	/* It lives on. */
	assert_int_equal(async_process_kill(process, 0), 0);
	assert_false(async_done(tasks[1]));
	assert_int_equal(async_close(async_process_take_fd(process, 0)), 0);
	assert_int_equal(async_process_fd(process, 0), -EBADF);
	assert_int_equal(WEXITSTATUS((int)async_await(tasks[1])), 1);
	assert_int_equal(async_process_close(process), 0);
	return 0;
}

static void test_cancellation(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancels, NULL), 0);
}

static intptr_t kills(void *arg)
{
	struct async_process_options options = piped();
	int before = count_descriptors();
	async_process *process = shell("trap '' TERM; echo ready; read line", &options);
	char line[16];

	(void)arg;
	assert_int_equal(async_read(async_process_fd(process, 1), line, sizeof(line)), 6);
	assert_int_equal(async_process_kill(process, SIGTERM), 0);
	assert_int_equal(async_process_kill(process, SIGKILL), 0);
	int status = async_process_wait(process);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_int_equal(async_process_close(process), 0);
	/* Closing kills. */
	process = shell("read line", &options);
	assert_int_equal(async_process_close(process), 0);
	assert_no_child();
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(async_process_close(NULL), 0);
	return 0;
}

static intptr_t poll_once(void *arg)
{
	(void)arg;
	return async_poll(STDERR_FILENO, POLLOUT) > 0 ? kills(NULL) : -1;
}

static void test_kill(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(poll_once, NULL), 0);
}

/* A loop that closes leaves nothing, and nobody has to wait for a child to be reaped. */
static intptr_t leaves(void *arg)
{
	struct async_process_options options = piped();
	async_process *ended = shell("exit 0", NULL);

	(void)arg;
	shell("read line", &options);
	assert_true(async_process_pid(ended) > 0);
	async_release(async_create_task(wait_for_it, shell("read line", &options)));
	give_way(1);
	return 0;
}

static void test_closed_loop(void **state)
{
	struct async_options options = test_options();
	int before = count_descriptors();

	(void)state;
	assert_int_equal(run_with(leaves, NULL, &options), 0);
	assert_no_child();
	assert_int_equal(count_descriptors(), before);
}

/* What a child gets */

static intptr_t gets(void *arg)
{
	char one[] = "ONE=1", *env[] = {one, NULL};
	struct async_process_options options = piped();
	int stray[2], out[2];
	char text[32];

	(void)arg;
	options.directory = "/";
	assert_says("pwd", &options, "/\n");
	options.directory = NULL;
	options.env = env;
	assert_says("echo $ONE$HOME", &options, "1\n");
	options.env = NULL;
	options.stdio[0].kind = ASYNC_STDIO_NULL;
	assert_says("cat; echo end", &options, "end\n");
	options.stdio[2].kind = ASYNC_STDIO_STDOUT;
	assert_says("echo one; echo two >&2", &options, "one\ntwo\n");

	/* Not even what was opened without O_CLOEXEC. */
	assert_int_equal(pipe(stray), 0);
	snprintf(text, sizeof(text), "[ -e /proc/$$/fd/%d ] || echo no", stray[1]);
	assert_says(text, &options, "no\n");
	close(stray[0]);
	close(stray[1]);
	/* Two of the three change places. */
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	options.stdio[1].kind = options.stdio[2].kind = ASYNC_STDIO_FD;
	options.stdio[1].fd = out[1];
	options.stdio[2].fd = STDOUT_FILENO;
	async_process *process = shell("echo fd", &options);
	assert_int_equal(async_process_wait(process), 0);
	assert_int_equal(async_read(out[0], text, sizeof(text)), 3);
	assert_int_equal(async_process_close(process), 0);
	assert_int_equal(async_close(out[0]), 0);
	assert_int_equal(async_close(out[1]), 0);
	return 0;
}

static void test_environment(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gets, NULL), 0);
}

static intptr_t groups(void *arg)
{
	struct async_process_options options = piped();

	(void)arg;
	options.group = ASYNC_PROCESS_GROUP_NEW;
	async_process *first = shell("read line", &options);
	assert_int_equal(getpgid(async_process_pid(first)), async_process_pid(first));
	options.group = ASYNC_PROCESS_GROUP_JOIN;
	options.group_id = async_process_pid(first);
	async_process *second = shell("read line", &options);
	assert_int_equal(getpgid(async_process_pid(second)), async_process_pid(first));
	options.group = ASYNC_PROCESS_GROUP_SESSION;
	async_process *third = shell("read line", &options);
	assert_int_equal(getsid(async_process_pid(third)), async_process_pid(third));
	assert_int_equal(async_process_close(first), 0);
	assert_int_equal(async_process_close(second), 0);
	assert_int_equal(async_process_close(third), 0);
	return 0;
}

static void test_groups(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(groups, NULL), 0);
}

/* Talking */

#define MUCH 300000

static intptr_t talks(void *arg)
{
	struct async_process_options options = piped();
	struct async_process_output output = {0}, errors = {0};
	char *input = calloc(1, MUCH);

	(void)arg;
	/* More than pipes hold, both ways at once. */
	memset(input, 'x', MUCH);
	async_process *process = shell("tee /dev/stderr", &options);
	assert_int_equal(async_process_communicate(process, input, MUCH, MUCH, &output, &errors), 0);
	assert_int_equal(output.size, MUCH);
	assert_int_equal(errors.size, MUCH);
	assert_memory_equal(output.data, input, MUCH);
	assert_memory_equal(errors.data, input, MUCH);
	assert_int_equal(async_process_close(process), 0);
	free(output.data);
	free(errors.data);
	/* One that does not listen, and one that says too much. */
	process = shell("exit 0", &options);
	assert_int_equal(async_process_communicate(process, input, MUCH, MUCH, NULL, NULL), 0);
	assert_int_equal(async_process_close(process), 0);
	process = shell("cat", &options);
	assert_int_equal(async_process_communicate(process, input, MUCH, MUCH - 1, &output, &errors), -EMSGSIZE);
	assert_int_equal(async_process_close(process), 0);
	free(input);
	return 0;
}

static void test_communicate(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(talks, NULL), 0);
}

struct talk {
	async_process *process;
	const char *input;
	size_t limit;
	struct async_process_output output;
};

static intptr_t talk(void *arg)
{
	struct talk *talk = arg;
	size_t size = talk->input ? strlen(talk->input) : 0;

	return async_process_communicate(talk->process, talk->input, size, talk->limit, &talk->output, NULL);
}

/* Nothing is lost when a limit ends it, be it of time or of size: another call goes on. */
static intptr_t talks_on(void *arg)
{
	struct async_process_options options = piped();
	struct talk mine = {.input = "one\ntwo\n", .limit = 1 << 20};
	int gate[2];
	char byte;

	(void)arg;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate), 0);
	/* Says on the gate, which it has as standard error, that it has written a line, and waits there. */
	options.stdio[2] = (__typeof__(options.stdio[2])){ASYNC_STDIO_FD, gate[0]};
	mine.process = shell("read a; echo $a; echo >&2; read go <&2; read b; echo $b; exit 3", &options);
	async_task *task = async_create_task(talk, &mine);
	assert_int_equal(async_read(gate[1], &byte, 1), 1);
	int left = 1;
	while (left > 0) {
		assert_int_equal(ioctl(async_process_fd(mine.process, 1), FIONREAD, &left), 0);
		give_way(1);
	}
	assert_int_equal(async_cancel(task, NULL), 1);
	assert_int_equal(async_await(task), -ECANCELED);
	mine.limit = 2;
	assert_int_equal(async_await(async_create_task(talk, &mine)), -EALREADY);
	mine.input = NULL;
	assert_int_equal(async_await(async_create_task(talk, &mine)), -EMSGSIZE);
	mine.limit = 100;
	assert_null(mine.output.data);
	task = async_create_task(talk, &mine);
	give_way(5);
	assert_int_equal(async_await(async_create_task(talk, &mine)), -EBUSY);
	assert_int_equal(write(gate[1], "\n", 1), 1);
	assert_int_equal(WEXITSTATUS((int)async_await(task)), 3);
	assert_string_equal(mine.output.data, "one\ntwo\n");
	assert_int_equal(mine.output.size, 8);
	free(mine.output.data);
	assert_int_equal(async_process_close(mine.process), 0);
	/* What is never fetched goes with the process. */
	mine.limit = 2;
	mine.process = shell("echo text", &options);
	assert_int_equal(async_await(async_create_task(talk, &mine)), -EMSGSIZE);
	assert_int_equal(async_process_close(mine.process), 0);
	close(gate[0]);
	close(gate[1]);
	return 0;
}

static void test_communicate_goes_on(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(talks_on, NULL), 0);
}

/* Somebody else keeps the pipes, and may fill them: the child's end, and a grace, is the end. */
static intptr_t ends_in_time(void *arg)
{
	static const char *const scripts[] = {
		"echo text; cat <&2 & exit 4",
		"echo text; exec 3<&0; (while echo text; do :; done) & exit 4",
	};
	struct async_process_options options = piped();
	int gate[2];

	(void)arg;
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	options.stdio[0].kind = ASYNC_STDIO_NULL;
	options.stdio[2] = (__typeof__(options.stdio[2])){ASYNC_STDIO_FD, gate[0]};
	options.pipe_grace = -1;
	async_process *process = NULL;
	char *argv[] = {(char *)"true", NULL};
	assert_int_equal(async_process_spawn("true", argv, &options, &process), -EINVAL);
	options.pipe_grace = 10 * ASYNC_MS;
	for (size_t i = 0; i < countof(scripts); i++) {
		struct async_process_output output = {0};

		process = shell(scripts[i], &options);
		int status = async_process_communicate(process, NULL, 0, SIZE_MAX / 2, &output, NULL);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 4);
		assert_int_equal(strncmp(output.data, "text\n", 5), 0);
		assert_int_equal(async_process_fd(process, 1), -EBADF);
		free(output.data);
		assert_int_equal(async_process_close(process), 0);
	}
	/* A grace as good as endless ends with the pipes. */
	struct async_process_output output = {0};
	options.pipe_grace = ASYNC_FOREVER - 1;
	process = shell("(sleep 0.05; echo later) & exit 4", &options);
	assert_int_equal(WEXITSTATUS(async_process_communicate(process, NULL, 0, SIZE_MAX / 2, &output, NULL)), 4);
	assert_string_equal(output.data, "later\n");
	free(output.data);
	assert_int_equal(async_process_close(process), 0);
	close(gate[0]);
	close(gate[1]);
	return 0;
}

static void test_communicate_ends_in_time(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(run_with(ends_in_time, NULL, &options), 0);
	fault_arm("pidfd_open child", 1, -ENOSYS);
	assert_int_equal(run_with(ends_in_time, NULL, &options), 0);
	fault_disarm();
}

/* Errors */

static intptr_t fails(void *arg)
{
	const char *tool = getenv("TEST_TOOL");
	struct async_process_options options = ASYNC_PROCESS_OPTIONS_INIT;
	char name[] = "/nonexistent/program", *argv[] = {name, NULL}, *none[] = {NULL};
	async_process *process = (async_process *)argv;

	(void)arg;
	/* valgrind turns sharing memory with a child into a plain fork, and the reason is lost. */
	if (!tool || strcmp(tool, "valgrind") != 0)
		assert_int_equal(async_process_spawn(name, argv, NULL, &process), -ENOENT);
	assert_int_equal(async_process_spawn(NULL, argv, NULL, &process), -EINVAL);
	assert_int_equal(async_process_spawn("sh", none, NULL, &process), -EINVAL);
	assert_int_equal(async_process_spawn("sh", argv, NULL, NULL), -EINVAL);
	options.stdio[1].kind = ASYNC_STDIO_STDOUT;
	assert_int_equal(async_process_spawn("sh", argv, &options, &process), -EINVAL);
	options.stdio[1].kind = ASYNC_STDIO_FD;
	options.stdio[1].fd = 9999;
	assert_int_equal(async_process_spawn("sh", argv, &options, &process), -EBADF);
	assert_ptr_equal(process, argv);
	assert_int_equal(async_process_wait(NULL), -EINVAL);
	assert_int_equal(async_process_kill(NULL, SIGTERM), -EINVAL);
	assert_int_equal(async_process_pid(NULL), -EINVAL);
	assert_int_equal(async_process_fd(NULL, 0), -EINVAL);
	assert_no_child();
	return 0;
}

static void test_bad_calls(void **state)
{
	char name[] = "true", *argv[] = {name, NULL};
	async_process *process;

	(void)state;
	assert_int_equal(run_virtual(fails, NULL), 0);
	assert_int_equal(async_process_spawn(name, argv, NULL, &process), -EPERM);
}

/* Without pidfd, and without anything else once. */
static intptr_t spawn_and_wait(void *arg)
{
	struct async_process_options options = piped();
	char sh[] = "sh", c[] = "-c", text[] = "cat", *argv[] = {sh, c, text, NULL};
	async_process *process;

	(void)arg;
	int error = async_process_spawn("sh", argv, &options, &process);
	if (error)
		return error;
	int status = async_process_communicate(process, "x", 1, 10, NULL, NULL);
	return async_process_close(process) < 0 ? -1 : status;
}

static void test_without_pidfd(void **state)
{
	struct async_options options = test_options();

	(void)state;
	fault_arm("pidfd_open child", 1, -ENOSYS);
	assert_int_equal(run_with(spawn_and_wait, NULL, &options), 0);
	assert_int_equal(fault_disarm(), 1);
	fault_arm("pidfd_open child", 1, -ENOSYS);
	assert_int_equal(run_with(cancels, NULL, &options), 0);
	fault_arm("pidfd_open child", 1, -ENOSYS);
	assert_int_equal(run_with(leaves, NULL, &options), 0);
	fault_disarm();
	assert_no_child();
}

static void test_every_failure(void **state)
{
	static const char *const calls[] = {"pidfd_open child", "pipe2", "posix_spawn"};
	struct async_options options = test_options();
	int before = count_descriptors();

	(void)state;
	for (size_t i = 0; i < countof(calls); i++) {
		fault_count(calls[i]);
		assert_int_equal(run_with(spawn_and_wait, NULL, &options), 0);
		unsigned long count = fault_disarm();
		assert_true(count > 0);
		for (unsigned long nth = count; nth > 0; nth--) {
			fault_arm(calls[i], nth, -EMFILE);
			assert_int_equal(run_with(spawn_and_wait, NULL, &options), -EMFILE);
			fault_disarm();
			assert_no_child();
			assert_int_equal(count_descriptors(), before);
		}
	}
}

/* What cannot be had is no descriptor of the parent's instead, whatever the reason. */
static intptr_t refusals(void *arg)
{
	static const struct {
		enum async_stdio_kind kind;
		const char *call;
	} cases[] = {{ASYNC_STDIO_PIPE, "pipe2"}, {ASYNC_STDIO_NULL, "open"}, {ASYNC_STDIO_FD, "fcntl"},
		     {ASYNC_STDIO_INHERIT, "fcntl"}};
	static const int errors[] = {-EPERM, -EACCES, -ENOENT};
	char *argv[] = {(char *)"true", NULL};

	(void)arg;
	for (size_t i = 0; i < countof(cases) * countof(errors); i++) {
		struct async_process_options options = ASYNC_PROCESS_OPTIONS_INIT;
		async_process *process = NULL;
		int error = errors[i % countof(errors)];

		options.stdio[1].kind = cases[i / countof(errors)].kind;
		options.stdio[1].fd = 1;
		/* The first of the three is that of standard input. */
		fault_arm(cases[i / countof(errors)].call, strcmp(cases[i / countof(errors)].call, "fcntl") ? 1 : 2, error);
		assert_int_equal(async_process_spawn("true", argv, &options, &process), error);
		fault_disarm();
		assert_null(process);
	}
	struct async_process_options options = ASYNC_PROCESS_OPTIONS_INIT;
	async_process *process;
	options.group = ASYNC_PROCESS_GROUP_JOIN;
	assert_int_equal(async_process_spawn("true", argv, &options, &process), -EINVAL);
	return 0;
}

static void test_refusals(void **state)
{
	int before = count_descriptors();

	(void)state;
	assert_int_equal(run_virtual(refusals, NULL), 0);
	assert_no_child();
	assert_int_equal(count_descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ends),
		TEST(test_cancellation),
		TEST(test_kill),
		TEST(test_closed_loop),
		TEST(test_environment),
		TEST(test_groups),
		TEST(test_communicate),
		TEST(test_communicate_goes_on),
		TEST(test_communicate_ends_in_time),
		TEST(test_bad_calls),
		TEST(test_without_pidfd),
		TEST(test_every_failure),
		TEST(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
