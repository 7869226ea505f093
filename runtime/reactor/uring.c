/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Operations are queued in the submission ring and go to the kernel with the next wait, in one call.
 * Reaping completions never submits, so it may be done wherever room is needed.
 *
 * A seccomp filter may come late and refuse io_uring_enter. Then nothing can be submitted, awaited or withdrawn any
 * more: every operation ends with that error, and the ring is closed. What is left is a reactor that wakes, that has
 * workers for files, and that refuses all else.
 */
#ifdef HAVE_LIBURING
#include "reactor/uring_impl.h"

#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/memory.h"
#include "base/own_fd.h"
#include "reactor/buffer.h"
#include "reactor/offload.h"

/* How long what the kernel is at may take when the ring is closed, s. */
#define LAST_CALL 1

/* These pass: no memory, no room for completions, a signal, the end of the time. */
static bool is_passing(int err)
{
	return err >= 0 || err == -EAGAIN || err == -EBUSY || err == -EINTR || err == -ETIME || err == -ENOMEM;
}

/*
 * What waits in the kernel for a descriptor touches no buffer once it is cancelled or the ring is closed. What a thread
 * of the kernel is at may: a cancellation by io_uring_register waits for that, if it is allowed.
 */
static void give_up(struct uring *u, int err)
{
	struct io_uring_sync_cancel_reg all = {
		.flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY, .timeout = {.tv_sec = LAST_CALL}};

	(void)URING("io_uring_register", io_uring_register_sync_cancel(&u->ring, &all));
	uring_reap(u);
	uring_ring_close(&u->ring);
	u->refused = err;
	u->wake_armed = u->cancels_lost = u->cancels_owed = false;
	uring_fail_all(u, err);
	u->withdrawn = 0;
	if (u->base.embedded)
		reactor_wake(&u->base);
}

/* The result of a call that entered the kernel. */
static int entered(struct uring *u, int err)
{
	if (!is_passing(err))
		give_up(u, err);
	return err;
}

unsigned uring_reap(struct uring *u)
{
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	if (u->refused)
		return 0;
	io_uring_for_each_cqe(&u->ring, head, cqe) {
		n++;
		if (cqe->user_data == TAG_WAKE) {
			u->wake_armed = false;
			order_acquire(&u->base);
		} else if (cqe->user_data == TAG_CANCEL) {
			u->cancels_lost |= cqe->res == -ENOENT;
		} else {
			uring_completed(u, (struct op *)(uintptr_t)cqe->user_data, cqe->res);
		}
	}
	io_uring_cq_advance(&u->ring, n);
	/* Most of them had just completed. */
	u->cancels_lost &= u->withdrawn > 0;
	u->cancels_owed |= u->cancels_lost;
	return n;
}

/*
 * Completions that the kernel has but that are not in the ring. A hint: a kernel thread may set the flag just after
 * its work has been done, and then it stays until there is more.
 */
static bool has_more(struct uring *u)
{
	return IO_URING_READ_ONCE(*u->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

int uring_reap_all(struct uring *u)
{
	unsigned n;
	int err = 0;

	uring_reap(u);
	do {
		if (u->refused || !has_more(u))
			return 0;
		err = entered(u, URING("io_uring_enter", io_uring_get_events(&u->ring)));
		n = uring_reap(u);
	} while (err >= 0 && n > 0);
	return err < 0 && err != -EINTR ? err : 0;
}

struct io_uring_sqe *uring_get_sqe(struct uring *u, int *ret_error)
{
	struct io_uring_sqe *sqe = u->refused ? NULL : io_uring_get_sqe(&u->ring);

	for (int tries = 0; !sqe && !u->refused && tries < 3; tries++) {
		*ret_error = entered(u, URING("io_uring_enter", io_uring_submit(&u->ring)));
		/* What it may want is room for completions. */
		if (*ret_error < 0)
			uring_reap_all(u);
		if (u->base.arrivals && u->base.embedded)
			reactor_wake(&u->base);
		sqe = u->refused ? NULL : io_uring_get_sqe(&u->ring);
	}
	if (u->refused)
		*ret_error = u->refused;
	if (!sqe && *ret_error >= 0)
		*ret_error = -EAGAIN;
	return sqe;
}

static void uring_forget(struct reactor *r, struct fd_entry *e)
{
	struct uring *u = uring_of(r);

	list_remove(&e->link);
	/* At once, since the caller waits to close. What cannot be sent now goes with the next wait. */
	if (!u->refused && io_uring_sq_ready(&u->ring))
		(void)entered(u, URING("io_uring_enter", io_uring_submit(&u->ring)));
}

static void arm_wake(struct uring *u)
{
	int err = 0;
	struct io_uring_sqe *sqe = u->wake_armed ? NULL : uring_get_sqe(u, &err);

	if (!sqe)
		return;
	io_uring_prep_read(sqe, u->base.wake_fd, &u->wake_value, sizeof(u->wake_value), 0);
	io_uring_sqe_set_data64(sqe, TAG_WAKE);
	u->wake_armed = true;
}

/*
 * valgrind does not know that io_uring_enter blocks, and would let no other thread run; ThreadSanitizer holds signals
 * back until a call that it knows. For them we wait outside of it.
 */
static inline bool waits_outside(void)
{
	return instrument_tsan() || RUNNING_ON_VALGRIND;
}

static int wait_outside(struct uring *u, int64_t timeout)
{
	struct pollfd pfd = {.fd = u->watch_fd, .events = POLLIN};
	struct timespec ts = clock_timespec(timeout);
	int err = entered(u, URING("io_uring_enter", io_uring_submit_and_get_events(&u->ring)));

	uring_reap(u);
	if (err < 0 || u->base.arrivals || !u->wake_armed)
		return err;
	return (int)SYS("ppoll", ppoll(&pfd, 1, timeout < 0 ? NULL : &ts, NULL));
}

/* All that can come is a wake. */
static int wait_without_ring(struct uring *u, int64_t timeout)
{
	struct pollfd pfd = {.fd = u->base.wake_fd, .events = POLLIN};
	struct timespec ts = clock_timespec(timeout);
	int n = (int)SYS("ppoll", ppoll(&pfd, 1, timeout < 0 ? NULL : &ts, NULL));

	if (n > 0 && read(u->base.wake_fd, &u->wake_value, sizeof(u->wake_value)) > 0)
		order_acquire(&u->base);
	return n < 0 && n != -EINTR ? n : 0;
}

static int enter(struct uring *u, int64_t timeout)
{
	int err = 0;

	if (u->refused)
		return wait_without_ring(u, timeout);
	if (timeout != 0 && waits_outside()) {
		err = wait_outside(u, timeout);
	} else if (timeout == 0) {
		if (io_uring_sq_ready(&u->ring))
			err = entered(u, URING("io_uring_enter", io_uring_submit_and_get_events(&u->ring)));
	} else {
		struct __kernel_timespec ts = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
		struct io_uring_cqe *cqe;

		err = entered(u, URING("io_uring_enter",
				       io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, timeout < 0 ? NULL : &ts,
									NULL)));
	}
	if (u->refused)
		return 0;
	/* No memory for a submission, or too many completions that nobody took: nothing is lost, it goes again. */
	if (err == -EAGAIN || err == -EBUSY)
		sched_yield();
	return err < 0 && err != -ETIME && err != -EINTR && err != -EAGAIN && err != -EBUSY ? err : 0;
}

static int uring_wait(struct reactor *r, int64_t timeout)
{
	struct uring *u = uring_of(r);
	uint64_t count;

	/* Before looking: what completes later shows again. */
	if (u->notify_fd >= 0 && read(u->notify_fd, &count, sizeof(count)) < 0)
		count = 0;
	arm_wake(u);
	if (u->cancels_owed)
		uring_send_owed_cancels(u);
	uring_restart(u);
	/* Without a read on the eventfd, a wake would be missed. */
	bool ready = !u->refused && (!u->wake_armed || io_uring_cq_ready(&u->ring));
	if (ready || r->arrivals || offload_ready(r))
		timeout = 0;
	int err = enter(u, timeout);
	int more = uring_reap_all(u);

	offload_finish(r);
	uring_restart(u);
	return err < 0 ? err : more;
}

static int watch(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return (int)SYS("epoll_ctl", epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event));
}

static void close_watch(struct uring *u)
{
	if (u->watch_fd >= 0)
		close(u->watch_fd);
	if (u->notify_fd >= 0)
		close(u->notify_fd);
	u->watch_fd = u->notify_fd = -1;
}

/*
 * Polling the ring itself does not show work that is deferred until we enter the kernel; an eventfd that the
 * kernel writes does. Being itself about an eventfd, a wake would show there only after an RCU grace period: so
 * both are watched. It begins readable, for what has completed already.
 */
static int uring_fd(struct reactor *r)
{
	struct uring *u = uring_of(r);
	int err = 0;

	if (u->watch_fd >= 0)
		return u->watch_fd;
	u->notify_fd = own_eventfd(1, EFD_NONBLOCK);
	if (u->notify_fd < 0)
		return u->notify_fd;
	u->watch_fd = own_epoll();
	err = u->watch_fd < 0 ? u->watch_fd : watch(u->watch_fd, u->notify_fd);
	if (err == 0)
		err = watch(u->watch_fd, r->wake_fd);
	if (err == 0 && !u->refused)
		err = URING("io_uring_register", io_uring_register_eventfd(&u->ring, u->notify_fd));
	if (err < 0)
		close_watch(u);
	return err < 0 ? err : u->watch_fd;
}

static void uring_free(struct uring *u)
{
	close_watch(u);
	reactor_fini(&u->base);
	mem_free(u);
}

static bool settle_workers(struct uring *u, int64_t until)
{
	struct reactor *r = &u->base;

	while (r->in_workers) {
		int64_t left = reactor_time_left(until);

		if (!offload_ready(r) && left == 0)
			return false;
		arm_wake(u);
		enter(u, offload_ready(r) || !(u->wake_armed || u->refused) ? 0 : left);
		uring_reap_all(u);
		offload_finish(r);
	}
	return true;
}

static bool settle_kernel(struct uring *u, int64_t until)
{
	/* Ends the read of the eventfd, which writes into our memory. */
	reactor_wake(&u->base);
	while (u->in_kernel || u->wake_armed) {
		int64_t left = reactor_time_left(until);

		if (left == 0)
			return false;
		if (u->cancels_owed)
			uring_send_owed_cancels(u);
		enter(u, left);
		uring_reap_all(u);
	}
	return true;
}

static bool uring_settle(struct reactor *r, int64_t until)
{
	struct uring *u = uring_of(r);
	int64_t least = clock_add(clock_now(), SETTLE_KERNEL);

	return settle_workers(u, until) && settle_kernel(u, until > least ? until : least);
}

static void uring_close(struct reactor *r)
{
	struct uring *u = uring_of(r);

	if (r->foreign) {
		/* The index of a registered ring is the thread's own: here it may stand for another ring. */
		u->ring.int_flags = 0;
		u->ring.enter_ring_fd = u->ring.ring_fd;
	}
	if (!u->refused)
		uring_ring_close(&u->ring);
	uring_free(u);
}

/* The ring's mapping does not exist in a child process (MADV_DONTFORK), so there is nothing to unmap. */
static void uring_abandon(struct reactor *r)
{
	struct uring *u = uring_of(r);

	if (!u->refused)
		close(u->ring.ring_fd);
	uring_free(u);
}

static const struct reactor_ops uring_ops = {
	.name = "io_uring",
	.submit = uring_submit,
	.cancel = uring_cancel,
	.forget = uring_forget,
	.wait = uring_wait,
	.fd = uring_fd,
	.settle = uring_settle,
	.close = uring_close,
	.abandon = uring_abandon,
};

int uring_open(const struct reactor_options *options, struct reactor **ret_reactor)
{
	const char *reason, *features;
	struct uring *u = mem_zalloc(sizeof(*u));

	if (!u)
		return -ENOMEM;
	list_init(&u->restart);
	u->notify_fd = u->watch_fd = -1;
	int err = reactor_init(&u->base, &uring_ops, options);

	u->base.owner = gettid();
	if (err == 0)
		err = uring_ring_open(&u->ring, &reason, &features);
	if (err == 0 && waits_outside()) {
		err = uring_fd(&u->base);
		if (err < 0)
			uring_ring_close(&u->ring);
	}
	if (err < 0) {
		uring_free(u);
		return err == -EMFILE || err == -ENFILE || err == -ENOMEM ? err : -ENOSYS;
	}
	*ret_reactor = &u->base;
	return 0;
}
#endif
