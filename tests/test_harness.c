/* SPDX-License-Identifier: MIT */
/* What a test program inherits from whoever starts it makes no difference to it. */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INSIDE "TEST_HARNESS_INSIDE"

static const int usual[] = {SIGUSR1, SIGUSR2, SIGPIPE, SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGCHLD, SIGALRM};

static void worsen_surroundings(void)
{
	struct rlimit few = {64, 4096};
	sigset_t all;

	for (size_t i = 0; i < countof(usual); i++)
		signal(usual[i], SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	umask(0777);
	setrlimit(RLIMIT_NOFILE, &few);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		close(fd);
}

/* 0, or the number of the check that fails. */
static int examine_surroundings(void)
{
	struct sigaction action;
	struct rlimit limit;
	sigset_t blocked;

	sigprocmask(SIG_SETMASK, NULL, &blocked);
	for (size_t i = 0; i < countof(usual); i++)
		if (sigaction(usual[i], NULL, &action) < 0 || action.sa_handler != SIG_DFL)
			return 1;
		else if (sigismember(&blocked, usual[i]))
			return 2;
	if (umask(0) != 022)
		return 3;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			return 4;
	if (fcntl(STDERR_FILENO + 1, F_GETFD) >= 0)
		return 5;
	return getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < 1024 ? 6 : 0;
}

static void surroundings_make_no_difference(void **state)
{
	char self[4096] = "";
	int status;

	(void)state;
	/* By its name: under valgrind the link itself is valgrind's. */
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	setenv(INSIDE, "1", 1);
	pid_t child = fork();
	if (child == 0) {
		for (int fd = STDERR_FILENO + 1; fd < 64; fd++)
			close(fd);
		worsen_surroundings();
		execl(self, self, (char *)NULL);
		_exit(126);
	}
	unsetenv(INSIDE);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(surroundings_make_no_difference),
	};

	if (getenv(INSIDE))
		return examine_surroundings();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
