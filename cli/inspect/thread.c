/* SPDX-License-Identifier: MIT */
#include "inspect/thread.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* The calls that programs block in; the descriptor, where the first argument is one, is worth showing. */
static const struct {
	long number;
	const char *name;
	bool on_descriptor;
} calls[] = {
	{SYS_read, "read", true},
	{SYS_pread64, "pread", true},
	{SYS_readv, "readv", true},
	{SYS_write, "write", true},
	{SYS_pwrite64, "pwrite", true},
	{SYS_writev, "writev", true},
#ifdef SYS_accept
	{SYS_accept, "accept", true},
#endif
	{SYS_accept4, "accept4", true},
	{SYS_connect, "connect", true},
	{SYS_recvfrom, "recv", true},
	{SYS_recvmsg, "recvmsg", true},
	{SYS_sendto, "send", true},
	{SYS_sendmsg, "sendmsg", true},
	{SYS_fsync, "fsync", true},
	{SYS_fdatasync, "fdatasync", true},
	{SYS_flock, "flock", true},
	{SYS_fcntl, "fcntl", true},
	{SYS_ioctl, "ioctl", true},
	{SYS_openat, "openat", false},
	{SYS_ppoll, "ppoll", false},
	{SYS_pselect6, "pselect", false},
	{SYS_epoll_pwait, "epoll_wait", false},
	{SYS_io_uring_enter, "io_uring_enter", false},
	{SYS_futex, "futex", false},
	{SYS_nanosleep, "nanosleep", false},
	{SYS_clock_nanosleep, "clock_nanosleep", false},
	{SYS_wait4, "wait4", false},
	{SYS_waitid, "waitid", false},
	{SYS_rt_sigsuspend, "sigsuspend", false},
	{SYS_rt_sigtimedwait, "sigtimedwait", false},
#ifdef SYS_poll
	{SYS_poll, "poll", false},
	{SYS_select, "select", false},
	{SYS_epoll_wait, "epoll_wait", false},
	{SYS_pause, "pause", false},
#endif
};

static bool read_file(pid_t pid, pid_t thread, const char *name, char *buffer, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, thread, name);
	FILE *file = fopen(path, "re");
	bool read = file && fgets(buffer, (int)size, file);
	if (file)
		fclose(file);
	return read;
}

struct thread_view thread_view_get(pid_t pid, pid_t thread)
{
	struct thread_view view = {.state = '?', .number = -1};
	char line[600];

	if (!thread || !read_file(pid, thread, "stat", line, sizeof(line)))
		return view;
	const char *end = strrchr(line, ')');
	if (end && end[1])
		view.state = end[2];
	/* "running", or the number, six arguments, stack pointer and program counter; without arguments if it was
	 * stopped elsewhere. */
	if (!read_file(pid, thread, "syscall", line, sizeof(line)))
		return view;
	if (sscanf(line, "-1 %lx %lx", &view.sp, &view.pc) == 2)
		return view;
	view.in_call = sscanf(line, "%ld %lx %*x %*x %*x %*x %*x %lx %lx", &view.number, &view.first, &view.sp,
			      &view.pc) == 4;
	return view;
}

const char *thread_view_describe(const struct thread_view *thread, char *buffer, size_t size)
{
	const char *stopped = thread->state == 'T' || thread->state == 't' ? "stopped, " : "";

	if (!thread->in_call) {
		snprintf(buffer, size, "%s", *stopped		     ? "stopped"
					     : thread->state == 'R' ? "on the processor"
					     : thread->state == '?' ? "running"
								    : "blocked");
		return buffer;
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i].number != thread->number)
			continue;
		if (calls[i].on_descriptor)
			snprintf(buffer, size, "%sin %s(%d)", stopped, calls[i].name, (int)thread->first);
		else
			snprintf(buffer, size, "%sin %s", stopped, calls[i].name);
		return buffer;
	}
	snprintf(buffer, size, "%sin system call %ld", stopped, thread->number);
	return buffer;
}
