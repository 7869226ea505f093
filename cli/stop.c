/* SPDX-License-Identifier: MIT */
#include "stop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

atomic_int stop_flag;

static int descriptor = -1;
static _Atomic(async_handle *) canceller;

int stop_fd(void)
{
	return descriptor;
}

void stop_request(enum stop_reason reason)
{
	int none = STOP_NONE, saved = errno;
	uint64_t one = 1;
	async_handle *handle = atomic_load(&canceller);

	if (atomic_compare_exchange_strong(&stop_flag, &none, (int)reason)) {
		/* The counter cannot overflow, so a failure can only mean that there is no descriptor. */
		if (write(descriptor, &one, sizeof(one)) < 0)
			errno = saved;
		if (handle)
			async_handle_post(handle);
	}
	errno = saved;
}

static void on_sigint(int number)
{
	(void)number;
	stop_request(STOP_SIGNAL);
}

int stop_open(void)
{
	struct sigaction action = {.sa_handler = on_sigint, .sa_flags = (int)SA_RESETHAND | SA_RESTART}, old;

	descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (descriptor < 0)
		return -errno;
	if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler == SIG_DFL && sigaction(SIGINT, &action, NULL) < 0)
		return -errno;
	return 0;
}

static void cancel_task(void *arg)
{
	async_cancel(arg, "interrupted");
}

int stop_cancels_this_task(void)
{
	async_handle *handle;
	int error = async_handle_new(async_get_running_loop(), cancel_task, async_current_task(), &handle);

	if (error < 0)
		return error;
	atomic_store(&canceller, handle);
	/* A request that came before had nobody to tell. */
	if (stop_requested())
		async_handle_post(handle);
	return 0;
}

void stop_forget_task(void)
{
	async_handle *handle = atomic_exchange(&canceller, NULL);

	async_handle_cancel(handle);
	async_handle_release(handle);
}

static async_time now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (async_time)time.tv_sec * ASYNC_S + time.tv_nsec;
}

int stop_sleep(async_time delay)
{
	async_time end = now() + delay;

	for (async_time left = delay; !stop_requested(); left = end - now()) {
		struct pollfd fd = {.fd = descriptor, .events = POLLIN};
		struct timespec timeout = {left / ASYNC_S, left % ASYNC_S};

		if (left <= 0)
			return 0;
		if (ppoll(&fd, 1, &timeout, NULL) < 0 && errno != EINTR)
			return -errno;
	}
	return -ECANCELED;
}

ssize_t stop_read(int fd, void *buffer, size_t size)
{
	while (!stop_requested()) {
		struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = descriptor, .events = POLLIN}};
		ssize_t count;

		if (poll(fds, 2, -1) < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		if (!fds[0].revents)
			continue;
		count = read(fd, buffer, size);
		if (count >= 0)
			return count;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
	return -ECANCELED;
}
