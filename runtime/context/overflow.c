/* SPDX-License-Identifier: MIT */
#include "context/overflow.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "context/stack.h"

static _Atomic(overflow_describe *) describe_owner;

/* snprintf is not on the list of async-signal-safe functions, but without floating point and locale it takes no
 * lock and allocates nothing in glibc and musl; and the process is dying. */
static void report(void *base, int class)
{
	const void *label = stack_header(base, (unsigned)class)->label;
	overflow_describe *describe = atomic_load(&describe_owner);
	char owner[320] = "a task that has ended", line[448];

	if (label && describe)
		describe(label, owner, sizeof(owner));
	int length = snprintf(line, sizeof(line), "async: stack overflow in %s (stack of %zu KiB)\n", owner,
			      stack_class_size((unsigned)class) >> 10);
	ssize_t ignored = write(STDERR_FILENO, line, (size_t)length);
	(void)ignored;
}

void overflow_tell(const siginfo_t *info)
{
	void *base;
	int class = stack_find_guard(info->si_addr, &base);

	if (class >= 0)
		report(base, class);
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	overflow_tell(info);
	/* Returning repeats the instruction, and this time the default action follows. */
	signal(signal_number, SIG_DFL);
	/* A SIGSEGV that somebody sent would not come again by itself. */
	if (info->si_code <= 0)
		raise(signal_number);
}

bool overflow_handles(const struct sigaction *action)
{
	return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_fault;
}

static void install_handler(void)
{
	struct sigaction action, old;

	if (sigaction(SIGSEGV, NULL, &old) < 0 || (old.sa_flags & SA_SIGINFO) || old.sa_handler != SIG_DFL)
		return;
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_fault;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, NULL);
}

static size_t alternate_size(void)
{
	long least = sysconf(_SC_SIGSTKSZ);

	return least > 16384 ? (size_t)least : 16384;
}

void overflow_watch_begin(struct overflow_watch *watch, overflow_describe *describe)
{
	atomic_store(&describe_owner, describe);
	install_handler();

	memset(watch, 0, sizeof(*watch));
	/* A program that has an alternate stack of its own keeps it. */
	if (sigaltstack(NULL, &watch->previous) < 0 || !(watch->previous.ss_flags & SS_DISABLE))
		return;
	size_t size = alternate_size();
	stack_t alternate = {.ss_sp = mem_map(size, PROT_READ | PROT_WRITE, 0), .ss_size = size};
	if (!alternate.ss_sp)
		return;
	if (sigaltstack(&alternate, NULL) < 0)
		munmap(alternate.ss_sp, alternate.ss_size);
	else
		watch->stack = alternate.ss_sp;
}

void overflow_watch_end(struct overflow_watch *watch)
{
	stack_t current;

	if (!watch->stack)
		return;
	if (sigaltstack(NULL, &current) == 0 && current.ss_sp == watch->stack)
		sigaltstack(&watch->previous, NULL);
	munmap(watch->stack, alternate_size());
	watch->stack = NULL;
}
