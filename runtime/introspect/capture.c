/* SPDX-License-Identifier: MIT */
#include "introspect/capture.h"

#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "base/own_fd.h"
#include "introspect/peek.h"

/* What a function may use below its stack pointer. */
#if defined(__x86_64__)
#define RED_ZONE 128
#else
#define RED_ZONE 0
#endif

static void copy_stack(struct capture *capture)
{
	capture->start = capture->sp - RED_ZONE;
	capture->size = peek(capture->stack, (const void *)capture->start, sizeof(capture->stack));
}

/* What it sleeps in, as the kernel tells it: "running", or "-1 SP PC", or the number, six arguments, SP and PC. */
static int read_call(pid_t thread, char *line, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)thread);
	int fd = own_open(path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	ssize_t length = SYS("read", read(fd, line, size - 1));
	close(fd);
	if (length < 0)
		return (int)length;
	line[length] = '\0';
	return 0;
}

/* After a stop these end with -EINTR although no signal came: signal(7). */
static bool ends_when_stopped(long call)
{
	switch (call) {
#ifdef SYS_epoll_wait
	case SYS_epoll_wait:
#endif
	case SYS_epoll_pwait:
#ifdef SYS_epoll_pwait2
	case SYS_epoll_pwait2:
#endif
#ifdef SYS_semop
	case SYS_semop:
#endif
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_io_uring_enter:
	/* With a limit on the time that a socket may take; whether there is one is not worth asking. */
#ifdef SYS_accept
	case SYS_accept:
#endif
	case SYS_accept4:
	case SYS_connect:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
		return true;
	default:
		return false;
	}
}

int capture_sleeping(struct capture *capture, pid_t thread, const char **ret_why)
{
	unsigned long sp, pc;
	char before[256], after[256];
	long call;

	*ret_why = "/proc/self/task/TID/syscall cannot be read";
	capture->has_registers = capture->disturbs = false;
	int error = read_call(thread, before, sizeof(before));
	if (error)
		return error;
	if (sscanf(before, "-1 %lx %lx", &sp, &pc) != 2 &&
	    sscanf(before, "%ld %*s %*s %*s %*s %*s %*s %lx %lx", &call, &sp, &pc) != 3) {
		*ret_why = "the thread runs";
		return -EAGAIN;
	}
	capture->disturbs = before[0] != '-' && ends_when_stopped(call);
	capture->sp = sp;
	capture->pc = pc;
	copy_stack(capture);
	error = read_call(thread, after, sizeof(after));
	if (error)
		return error;
	*ret_why = "the thread woke up";
	return strcmp(before, after) == 0 ? 0 : -EAGAIN;
}

#if CAPTURE_HAS_REGISTERS

/* What the watchdog and its tracer share. */
struct tracer {
	struct capture *capture;
	pid_t thread;
	int error;
	const char *failed;
};

/* How long the tracer waits for the thread to stop: one that is in the hands of a broken disk does not. */
#define STOP_STEPS 2000
#define STOP_STEP (100 * 1000)

/* The tracer borrows its maker's identity, the thread-local memory too, in which sanitizers and the C library keep
 * theirs: so it is compiled without the ones, and calls the kernel without the other. */
#define UNOBSERVED __attribute__((no_sanitize("address", "thread", "undefined")))

#if defined(__x86_64__)
static always_inline long kernel(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#else
static always_inline long kernel(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#endif
#define KERNEL(...) KERNEL_WITH(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define KERNEL_WITH(number, a, b, c, d, e, f, ...) \
	kernel(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

UNOBSERVED static int wait_for_stop(pid_t thread)
{
	struct timespec step = {.tv_nsec = STOP_STEP};
	int status;

	for (int i = 0; i < STOP_STEPS; i++) {
		long got = KERNEL(SYS_wait4, thread, &status, __WALL | WNOHANG);

		if (got == thread)
			return WIFSTOPPED(status) ? 0 : -ESRCH;
		if (got < 0)
			return (int)got;
		KERNEL(SYS_nanosleep, &step);
	}
	return -ETIMEDOUT;
}

UNOBSERVED static int read_stopped(struct capture *capture, pid_t thread)
{
	struct iovec registers = {&capture->registers, sizeof(capture->registers)};
	int error = (int)KERNEL(SYS_ptrace, PTRACE_GETREGSET, thread, NT_PRSTATUS, &registers);

	if (error < 0)
		return error;
#if defined(__x86_64__)
	capture->pc = capture->registers.rip;
	capture->sp = capture->registers.rsp;
#else
	capture->pc = capture->registers.pc;
	capture->sp = capture->registers.sp;
#endif
	capture->start = capture->sp - RED_ZONE;
	struct iovec local = {capture->stack, sizeof(capture->stack)};
	struct iovec remote = {(void *)capture->start, sizeof(capture->stack)};
	long got = KERNEL(SYS_process_vm_readv, thread, &local, 1, &remote, 1);
	if (got < 0)
		return (int)got;
	capture->size = (size_t)got;
	return 0;
}

UNOBSERVED static noinline _Noreturn void trace(struct tracer *tracer)
{
	pid_t thread = tracer->thread;

	/* It does not outlive a process that ends meanwhile. */
	KERNEL(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
	tracer->failed = "ptrace is refused";
	tracer->error = (int)KERNEL(SYS_ptrace, PTRACE_SEIZE, thread);
	if (tracer->error == 0) {
		tracer->failed = "the thread does not stop";
		tracer->error = (int)KERNEL(SYS_ptrace, PTRACE_INTERRUPT, thread);
		if (tracer->error == 0)
			tracer->error = wait_for_stop(thread);
		if (tracer->error == 0) {
			tracer->failed = "its registers cannot be read";
			tracer->error = read_stopped(tracer->capture, thread);
			/* Its end detaches, too; this does at once. */
			KERNEL(SYS_ptrace, PTRACE_DETACH, thread);
		}
	}
	for (;;)
		KERNEL(SYS_exit, 0);
}

/* As vfork: the tracer works on this stack, below, until its end lets this thread go on. No signal tells of that end,
 * so the program does not hear of it in waitpid. The library's clone() is not used because sanitizers take every one
 * for a fork. */
UNOBSERVED static noinline pid_t run_tracer(struct tracer *tracer)
{
	long pid = KERNEL(SYS_clone, CLONE_VM | CLONE_VFORK | CLONE_FS | CLONE_FILES | CLONE_UNTRACED);

	if (pid == 0)
		trace(tracer);
	return (pid_t)pid;
}

/* The security module Yama wants to know by whom a process lets itself be traced: by its descendants. */
static bool yama_restricts(void)
{
	char scope = '0';
	int fd = own_open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY, 0);

	if (fd < 0)
		return false;
	if (read(fd, &scope, 1) != 1)
		scope = '0';
	close(fd);
	return scope == '1';
}

int capture_stopped(struct capture *capture, pid_t thread, const char **ret_why)
{
	struct tracer tracer = {
		.capture = capture, .thread = thread, .error = -ECHILD, .failed = "the tracer has died"};
	bool yama = yama_restricts();
	int error = fault("ptrace"), status;

	*ret_why = "ptrace is refused";
	if (error)
		return error;
	error = fault("clone");
	*ret_why = "there is no tracer";
	if (error)
		return error;
	if (yama)
		prctl(PR_SET_PTRACER, (unsigned long)getpid(), 0, 0, 0);
	pid_t pid = run_tracer(&tracer);
	if (pid > 0)
		waitpid(pid, &status, __WALL);
	if (yama)
		prctl(PR_SET_PTRACER, 0, 0, 0, 0);
	if (pid < 0)
		return pid;
	*ret_why = tracer.failed;
	capture->has_registers = tracer.error == 0;
	return tracer.error;
}

#else

int capture_stopped(struct capture *capture, pid_t thread, const char **ret_why)
{
	(void)capture, (void)thread;
	*ret_why = "this processor is not known";
	return -ENOSYS;
}

#endif
