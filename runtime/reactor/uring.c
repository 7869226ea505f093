/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Operations are queued in the submission ring and go to the kernel with the next wait, in one call.
 *
 * Of the reads of a descriptor only the oldest is in the kernel, and so with its writes: the kernel would serve
 * the others in whatever order. Followers wait in the entry's queue; an entry whose oldest operation is to be
 * started is in `restart`. Reaping completions never submits, so it may be done wherever room is needed.
 *
 * A write to a pipe raises SIGPIPE in our thread when the kernel gets to it, wherever we are then. So pipes are
 * written to from here, and the kernel only tells when there is room.
 */
#ifdef HAVE_LIBURING
#include "reactor/uring_probe.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/memory.h"
#include "reactor/buffer.h"
#include "reactor/reactor_impl.h"
#include "reactor/transfer.h"

/* user_data is an operation's address, or one of these. */
#define TAG_CANCEL 1
#define TAG_WAKE 2

/* op->phase */
#define IN_KERNEL 1  /* submitted, or in the submission ring */
#define READINESS 2  /* what is asked for is readiness, to try again then */
#define WITHDRAWN 4  /* the kernel has been asked to cancel */

struct uring {
	struct reactor base;
	struct io_uring ring;
	struct list restart;
	size_t in_kernel;
	bool wake_armed;
	bool cancels_owed; /* there was no room to ask for some cancellations */
	int notify_fd;     /* eventfd that the kernel writes at completions, for who polls; < 0: none */
	int watch_fd;      /* epoll of notify_fd and wake_fd; < 0: none */
	uint64_t wake_value;
};

static struct uring *uring_of(struct reactor *r)
{
	return container_of(r, struct uring, base);
}

static void schedule(struct uring *u, struct fd_entry *e)
{
	if (list_empty(&e->link))
		list_append(&u->restart, &e->link);
}

/* True if the operation has to be started again. */
static bool goes_on(struct fd_entry *e, struct op *op, int result)
{
	if (op->code == OP_POLL)
		return result == -EINTR;
	if (op->phase & READINESS) {
		op->phase = 0;
		return result >= 0;
	}
	op->phase = 0;
	if (result == -EAGAIN) /* O_NONBLOCK is set, and the kernel is one that heeds it */
		op->phase = READINESS;
	/* The number stands for something else than it did. */
	bool changed = result == -ENOTSOCK && op->code == OP_WRITE && e->kind == FD_SOCKET &&
		       fd_entry_identify(e) == 0 && e->kind != FD_SOCKET;

	return changed || result == -EAGAIN || result == -EINTR;
}

static void completed(struct uring *u, struct op *op, int result)
{
	struct fd_entry *e = fd_table_find(&u->base.table, op->fd);

	u->in_kernel--;
	op->phase &= (uint8_t)~IN_KERNEL;
	if (!goes_on(e, op, result)) {
		reactor_arrive(&u->base, op, result);
	} else if (op->cancelling) {
		reactor_arrive(&u->base, op, -ECANCELED);
	} else {
		list_remove(&op->link);
		list_prepend(&e->queue[op->code], &op->link);
	}
	schedule(u, e);
}

/* How many there were. */
static unsigned reap(struct uring *u)
{
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	io_uring_for_each_cqe(&u->ring, head, cqe) {
		n++;
		if (cqe->user_data == TAG_WAKE) {
			u->wake_armed = false;
			ORDER_ACQUIRE(&u->base);
		} else if (cqe->user_data != TAG_CANCEL) {
			completed(u, (struct op *)(uintptr_t)cqe->user_data, cqe->res);
		}
	}
	io_uring_cq_advance(&u->ring, n);
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

static int reap_all(struct uring *u)
{
	unsigned n;
	int err = 0;

	reap(u);
	do {
		if (!has_more(u))
			return 0;
		err = URING("io_uring_enter", io_uring_get_events(&u->ring));
		n = reap(u);
	} while (err >= 0 && n > 0);
	return err < 0 && err != -EINTR ? err : 0;
}

/* Room for a submission, or NULL and the reason. */
static struct io_uring_sqe *get_sqe(struct uring *u, int *ret_error)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	for (int tries = 0; !sqe && tries < 3; tries++) {
		*ret_error = URING("io_uring_enter", io_uring_submit(&u->ring));
		/* What it may want is room for completions. */
		if (*ret_error < 0)
			reap_all(u);
		if (u->base.arrivals && u->base.embedded)
			reactor_wake(&u->base);
		sqe = io_uring_get_sqe(&u->ring);
	}
	if (!sqe && *ret_error >= 0)
		*ret_error = -EAGAIN;
	return sqe;
}

/* Whether a write must be done from here. Sets the result if it could be. */
static bool write_pipe(struct fd_entry *e, struct op *op)
{
	/* Sockets say so when they are none, and pipes are asked below. */
	if (e->kind != FD_SOCKET && e->kind != FD_PIPE) {
		op->result = fd_entry_identify(e);
		if (op->result < 0)
			return true;
	}
	if (e->kind != FD_PIPE)
		return false;
	op->result = transfer_try(e, op);
	if (op->result != -EAGAIN)
		return true;
	op->result = fd_entry_identify(e);
	if (e->kind == FD_PIPE)
		op->phase = READINESS;
	return op->result < 0;
}

static void prepare(struct io_uring_sqe *sqe, const struct fd_entry *e, const struct op *op)
{
	unsigned size = (unsigned)op->size;

	if (op->code == OP_POLL)
		io_uring_prep_poll_add(sqe, op->fd, (unsigned short)op->events);
	else if (op->phase & READINESS)
		io_uring_prep_poll_add(sqe, op->fd, op->code == OP_READ ? POLLIN : POLLOUT);
	else if (op->code == OP_READ)
		io_uring_prep_read(sqe, op->fd, op->buffer, size, (uint64_t)-1);
	else if (e->kind == FD_SOCKET)
		io_uring_prep_send(sqe, op->fd, op->buffer, size, MSG_NOSIGNAL);
	else
		io_uring_prep_write(sqe, op->fd, op->buffer, size, (uint64_t)-1);
}

/* True if it completed at once. */
static bool start(struct uring *u, struct fd_entry *e, struct op *op)
{
	int err = 0;

	if (op->code == OP_WRITE && !(op->phase & READINESS) && write_pipe(e, op))
		return true;
	struct io_uring_sqe *sqe = get_sqe(u, &err);

	if (!sqe) {
		op->result = err;
		return true;
	}
	prepare(sqe, e, op);
	io_uring_sqe_set_data64(sqe, (uintptr_t)op);
	op->phase |= IN_KERNEL;
	u->in_kernel++;
	return false;
}

static void restart(struct uring *u)
{
	struct list *node;

	while ((node = list_pop(&u->restart))) {
		struct fd_entry *e = list_entry(node, struct fd_entry, link);

		for (int q = OP_POLL; q <= OP_WRITE; q++) {
			while (!list_empty(&e->queue[q])) {
				struct op *op = list_entry(e->queue[q].next, struct op, link);

				if (op->phase & IN_KERNEL || !start(u, e, op))
					break;
				reactor_arrive(&u->base, op, op->result);
			}
		}
	}
}

static bool uring_submit(struct reactor *r, struct fd_entry *e, struct op *op)
{
	struct uring *u = uring_of(r);
	bool first = op->code == OP_POLL || list_empty(&e->queue[op->code]);

	op->phase = 0;
	if (first && start(u, e, op))
		return true;
	list_append(&e->queue[op->code], &op->link);
	return false;
}

static void withdraw(struct uring *u, struct op *op)
{
	int err = 0;
	struct io_uring_sqe *sqe = get_sqe(u, &err);

	if (!sqe) {
		u->cancels_owed = true;
		return;
	}
	/* Finding room may have brought its completion. */
	if (op->state != OP_PENDING || !(op->phase & IN_KERNEL)) {
		io_uring_prep_nop(sqe);
	} else {
		io_uring_prep_cancel64(sqe, (uintptr_t)op, 0);
		op->phase |= WITHDRAWN;
	}
	io_uring_sqe_set_data64(sqe, TAG_CANCEL);
}

static void send_owed_cancels(struct uring *u)
{
	struct fd_entry *e;

	u->cancels_owed = false;
	for (int fd = 0; (e = fd_table_next(&u->base.table, &fd));) {
		for (int q = OP_POLL; q <= OP_WRITE && !u->cancels_owed; q++) {
			list_for_each_safe(node, &e->queue[q]) {
				struct op *op = list_entry(node, struct op, link);

				if (!op->cancelling || op->phase & WITHDRAWN || !(op->phase & IN_KERNEL))
					continue;
				withdraw(u, op);
			}
		}
	}
}

static bool uring_cancel(struct reactor *r, struct op *op)
{
	struct uring *u = uring_of(r);

	if (!(op->phase & IN_KERNEL)) {
		reactor_take_back(r, op);
		return true;
	}
	withdraw(u, op);
	return false;
}

static void uring_forget(struct reactor *r, struct fd_entry *e)
{
	struct uring *u = uring_of(r);

	list_remove(&e->link);
	/* At once, since the caller waits to close. What cannot be sent now goes with the next wait. */
	if (io_uring_sq_ready(&u->ring))
		(void)URING("io_uring_enter", io_uring_submit(&u->ring));
}

static void arm_wake(struct uring *u)
{
	int err = 0;
	struct io_uring_sqe *sqe = u->wake_armed ? NULL : get_sqe(u, &err);

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
#ifdef BUFFER_TSAN
#define WAITS_OUTSIDE true
#else
#define WAITS_OUTSIDE RUNNING_ON_VALGRIND
#endif

static int wait_outside(struct uring *u, int64_t timeout)
{
	struct pollfd pfd = {.fd = u->watch_fd, .events = POLLIN};
	struct timespec ts = clock_timespec(timeout);
	int err = URING("io_uring_enter", io_uring_submit_and_get_events(&u->ring));

	reap(u);
	if (err < 0 || u->base.arrivals || !u->wake_armed)
		return err;
	return (int)SYS("ppoll", ppoll(&pfd, 1, timeout < 0 ? NULL : &ts, NULL));
}

static int enter(struct uring *u, int64_t timeout)
{
	int err = 0;

	if (timeout != 0 && WAITS_OUTSIDE) {
		err = wait_outside(u, timeout);
	} else if (timeout == 0) {
		if (io_uring_sq_ready(&u->ring))
			err = URING("io_uring_enter", io_uring_submit_and_get_events(&u->ring));
	} else {
		struct __kernel_timespec ts = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
		struct io_uring_cqe *cqe;

		err = URING("io_uring_enter", io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1,
									       timeout < 0 ? NULL : &ts, NULL));
	}
	return err < 0 && err != -ETIME && err != -EINTR ? err : 0;
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
		send_owed_cancels(u);
	restart(u);
	/* Without a read on the eventfd, a wake would be missed. */
	if (r->arrivals || !u->wake_armed || io_uring_cq_ready(&u->ring))
		timeout = 0;
	int err = enter(u, timeout);
	int more = reap_all(u);

	restart(u);
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
	u->notify_fd = (int)SYS("eventfd", eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
	if (u->notify_fd < 0)
		return u->notify_fd;
	u->watch_fd = (int)SYS("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
	err = u->watch_fd < 0 ? u->watch_fd : watch(u->watch_fd, u->notify_fd);
	if (err == 0)
		err = watch(u->watch_fd, r->wake_fd);
	if (err == 0)
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

static void uring_close(struct reactor *r)
{
	struct uring *u = uring_of(r);

	/* Ends the read of the eventfd, which writes into our memory. */
	reactor_wake(r);
	while (u->in_kernel || u->wake_armed) {
		if (u->cancels_owed)
			send_owed_cancels(u);
		enter(u, -1);
		reap_all(u);
	}
	io_uring_queue_exit(&u->ring);
	uring_free(u);
}

/* The ring's mapping does not exist in a child process (MADV_DONTFORK), so there is nothing to unmap. */
static void uring_abandon(struct reactor *r)
{
	struct uring *u = uring_of(r);

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

	if (err == 0)
		err = uring_ring_open(&u->ring, &reason, &features);
	if (err == 0 && WAITS_OUTSIDE) {
		err = uring_fd(&u->base);
		if (err < 0)
			io_uring_queue_exit(&u->ring);
	}
	if (err < 0) {
		uring_free(u);
		return err == -EMFILE || err == -ENFILE || err == -ENOMEM ? err : -ENOSYS;
	}
	*ret_reactor = &u->base;
	return 0;
}
#endif
