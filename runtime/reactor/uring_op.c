/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Of the reads of a descriptor only the oldest is in the kernel, and so with its writes: the kernel would
 * serve the others in whatever order. Followers wait in the entry's queue; an entry whose oldest operation is to be
 * started is in `restart`.
 *
 * A write to a pipe raises SIGPIPE in our thread when the kernel gets to it, wherever we are then; one to a full
 * terminal holds up io_uring_enter. So both are written to from here, and the kernel only tells when there is room.
 */
#ifdef HAVE_LIBURING
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fault.h"
#include "reactor/call.h"
#include "reactor/offload.h"
#include "reactor/transfer.h"
#include "reactor/uring_impl.h"

/* op->phase */
#define IN_KERNEL 1  /* submitted, or in the submission ring */
#define READINESS 2  /* what is asked for is readiness, to try again then */
#define WITHDRAWN 4  /* the kernel has been asked to cancel */
#define PAUSE 8      /* what is asked for is the end of a pause, to look for readiness then */

static void schedule(struct uring *u, struct fd_entry *e)
{
	if (list_empty(&e->link))
		list_append(&u->restart, &e->link);
}

/* What was ready and yet could not be done shall not keep us busy. */
static void begin_pause(struct op *op)
{
	op->phase = PAUSE;
	op->pause = clock_timespec(op_next_pause(op));
	op->seemed_ready = false;
}

static void wait_for_readiness(struct op *op)
{
	if (op->seemed_ready)
		begin_pause(op);
	else
		op->phase = READINESS;
}

/* True if it has to be polled again: io_uring tells of the peer's end, too, who has not asked for it. */
static bool poll_goes_on(struct op *op, int result)
{
	bool paused = op->phase & PAUSE;

	op->phase = 0;
	if (result == 0)
		begin_pause(op);
	return result == 0 || result == -EINTR || (paused && result == -ETIME);
}

/* True if the operation has to be started again. */
static bool goes_on(struct fd_entry *e, struct op *op, int result)
{
	if (op->code == OP_POLL)
		return poll_goes_on(op, result);
	if (op->phase & PAUSE) {
		op->phase = READINESS;
		return result == -ETIME || result == -EINTR;
	}
	if (op->phase & READINESS) {
		op->phase = 0;
		op->seemed_ready = result >= 0;
		return result >= 0 || result == -EINTR;
	}
	op->phase = 0;
	bool again = result == (op->code == OP_CONNECT ? -EINPROGRESS : -EAGAIN);
	if (again) /* O_NONBLOCK is set, and the kernel is one that heeds it */
		wait_for_readiness(op);
	/* The number stands for something else than it did. */
	bool changed = result == -ENOTSOCK && op_is_write(op) && e->kind == FD_SOCKET &&
		       fd_entry_identify(e) == 0 && e->kind != FD_SOCKET;

	return changed || again || result == -EINTR;
}

/* What io_uring would do only without waiting, because O_NONBLOCK is set, a worker does. */
static void call_completed(struct uring *u, struct op *op, int result)
{
	if (result == -EAGAIN || result == -EINTR)
		result = op->cancelling ? -ECANCELED : offload_start(&u->base, op);
	if (!(op->phase & IN_WORKER))
		reactor_arrive(&u->base, op, result);
}

/*
 * What holds of what was asked for; 0: nothing, and that will be told again at once. For urgent data io_uring takes the
 * wake-up's word, which is the same for ordinary data: so the descriptor is asked.
 */
static int what_holds(const struct op *op, int told)
{
	if (!(op->events & POLLPRI))
		return told & (op->events | POLLERR | POLLHUP | POLLNVAL);
	int64_t holds = transfer_poll(op->fd, op->events);

	if (holds == -EAGAIN)
		return told & POLLRDHUP & ~op->events ? 0 : -EINTR;
	return (int)holds;
}

/* What the result of a poll means to the operation. */
static int as_polled(const struct op *op, int result)
{
	if (op->code == OP_POLL && result > 0)
		return what_holds(op, result);
	/* A Unix socket that was shut down goes on saying EAGAIN. */
	if (op->code == OP_ACCEPT && op->phase & READINESS && result > 0 && result & (POLLRDHUP | POLLHUP))
		return -EINVAL;
	return result;
}

void uring_completed(struct uring *u, struct op *op, int result)
{
	struct fd_entry *e = op->entry;

	u->in_kernel--;
	u->withdrawn -= (op->phase & WITHDRAWN) != 0;
	op->phase &= (uint8_t)~(IN_KERNEL | WITHDRAWN);
	if (op->code == OP_CALL) {
		call_completed(u, op, result);
		return;
	}
	result = as_polled(op, result);
	if (!goes_on(e, op, result)) {
		reactor_arrive(&u->base, op, result);
	} else if (op->cancelling) {
		reactor_arrive(&u->base, op, -ECANCELED);
	} else {
		list_remove(&op->link);
		list_prepend(&e->queue[queue_of(op)], &op->link);
	}
	schedule(u, e);
}

static void fail_all_of(struct uring *u, struct fd_entry *e, int error)
{
	list_remove(&e->link);
	for (int q = 0; q < QUEUES; q++) {
		list_for_each_safe(node, &e->queue[q]) {
			struct op *op = list_entry(node, struct op, link);

			if (op->phase & IN_WORKER)
				continue;
			op->phase = 0;
			reactor_arrive(&u->base, op, op->cancelling ? -ECANCELED : error);
		}
	}
}

void uring_fail_all(struct uring *u, int error)
{
	struct fd_entry *e;

	for (int fd = 0; (e = fd_table_next(&u->base.table, &fd));)
		fail_all_of(u, e, error);
	fail_all_of(u, &u->base.nowhere, error);
	u->in_kernel = 0;
}

static bool is_written_from_here(const struct fd_entry *e)
{
	return e->kind == FD_PIPE || e->kind == FD_TERMINAL;
}

/* Whether a write must be done from here. Sets the result if it could be. */
static bool write_from_here(struct fd_entry *e, struct op *op)
{
	/* Sockets say so when they are none, and pipes are asked below. */
	if (e->kind != FD_SOCKET && !is_written_from_here(e)) {
		op->result = fd_entry_identify(e);
		if (op->result < 0)
			return true;
	}
	if (!is_written_from_here(e))
		return false;
	op->result = transfer_try(e, op);
	if (op->result != -EAGAIN)
		return true;
	op->result = fd_entry_identify(e);
	if (is_written_from_here(e))
		wait_for_readiness(op);
	return op->result < 0;
}

static void prepare_transfer(struct io_uring_sqe *sqe, const struct fd_entry *e, const struct op *op)
{
	unsigned size = (unsigned)op->size;
	const struct msghdr *parts = op->buffer;

	if (op->code == OP_READ)
		io_uring_prep_read(sqe, op->fd, op->buffer, size, (uint64_t)-1);
	else if (op->code == OP_READV)
		io_uring_prep_readv(sqe, op->fd, parts->msg_iov, (unsigned)parts->msg_iovlen, (uint64_t)-1);
	else if (op->code == OP_WRITEV && e->kind == FD_SOCKET)
		io_uring_prep_sendmsg(sqe, op->fd, parts, MSG_NOSIGNAL);
	else if (op->code == OP_WRITEV)
		io_uring_prep_writev(sqe, op->fd, parts->msg_iov, (unsigned)parts->msg_iovlen, (uint64_t)-1);
	else if (e->kind == FD_SOCKET)
		io_uring_prep_send(sqe, op->fd, op->buffer, size, MSG_NOSIGNAL);
	else
		io_uring_prep_write(sqe, op->fd, op->buffer, size, (uint64_t)-1);
}

/* What is polled for: of the error queue nothing, as an error is told unasked. */
static short readiness_of(const struct op *op)
{
	if (op->code == OP_POLL)
		return op->events;
	if (op_is_out_of_band(op))
		return op->flags & MSG_ERRQUEUE ? 0 : POLLPRI;
	return queue_of(op) == QUEUE_READ ? POLLIN : POLLOUT;
}

/* io_uring takes no wake-up for one that is about urgent data. Those of a socket are about its other bands, too. */
static void prepare_poll(struct io_uring_sqe *sqe, const struct op *op)
{
	unsigned events = (unsigned short)readiness_of(op);

	if (events & POLLPRI)
		events |= POLLRDBAND;
	if (op->code == OP_POLL && op->flags & OP_EXCLUSIVE)
		events |= EPOLLEXCLUSIVE;
	io_uring_prep_poll_add(sqe, op->fd, events);
}

static void prepare(struct io_uring_sqe *sqe, const struct fd_entry *e, const struct op *op)
{
	unsigned flags = (unsigned)op->flags;

	if (op->phase & READINESS) {
		prepare_poll(sqe, op);
		return;
	}
	if (op->phase & PAUSE) {
		/* What it points to is laid out as the kernel has it. */
		io_uring_prep_timeout(sqe, (void *)&op->pause, 0, 0);
		return;
	}
	switch (op->code) {
	case OP_POLL:
		prepare_poll(sqe, op);
		break;
	case OP_RECV:
		io_uring_prep_recv(sqe, op->fd, op->buffer, op->size, op->flags);
		break;
	case OP_SEND:
		io_uring_prep_send(sqe, op->fd, op->buffer, op->size, op->flags | MSG_NOSIGNAL);
		break;
	case OP_RECVMSG:
		io_uring_prep_recvmsg(sqe, op->fd, op->buffer, flags);
		break;
	case OP_SENDMSG:
		io_uring_prep_sendmsg(sqe, op->fd, op->buffer, flags | MSG_NOSIGNAL);
		break;
	case OP_ACCEPT:
		io_uring_prep_accept(sqe, op->fd, op->buffer, op->length, op->flags);
		break;
	case OP_CALL:
		uring_prepare_call(sqe, op->buffer);
		break;
	case OP_CONNECT:
		io_uring_prep_connect(sqe, op->fd, op->buffer, (socklen_t)op->size);
		break;
	default:
		prepare_transfer(sqe, e, op);
	}
}

static bool is_unix(const struct sockaddr *address, size_t size)
{
	return address && size >= sizeof(address->sa_family) && address->sa_family == AF_UNIX;
}

/*
 * What the kernel does at once or not at all, and would try again without a pause: a Unix socket connects or has to be
 * asked again, and so it is with a message to a Unix socket by its address, and with what comes out of band.
 */
static bool is_tried_from_here(const struct op *op)
{
	const struct msghdr *message = op->buffer;

	if (op->code == OP_CONNECT)
		return is_unix(op->buffer, op->size);
	if (op->code == OP_SENDMSG)
		return is_unix(message->msg_name, message->msg_namelen);
	return op_is_out_of_band(op);
}

/* True if it could be done. Else the phase says what to wait for. */
static bool try_from_here(struct fd_entry *e, struct op *op)
{
	op->result = transfer_try(e, op);
	if (op->result != -EAGAIN && op->result != OP_NO_EVENT)
		return true;
	/* Then readiness would tell nothing. */
	op->seemed_ready |= op->result == OP_NO_EVENT;
	wait_for_readiness(op);
	return false;
}

/* True if it completed at once. */
static bool start(struct uring *u, struct fd_entry *e, struct op *op)
{
	bool waits = op->phase & (READINESS | PAUSE);
	int err = 0;

	if (!waits && op_is_write(op) && write_from_here(e, op))
		return true;
	if (!waits && is_tried_from_here(op) && try_from_here(e, op))
		return true;
	struct io_uring_sqe *sqe = uring_get_sqe(u, &err);

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

/* The next one to start, or NULL: starting one may have completed others. */
static struct op *next_to_start(struct fd_entry *e, enum queue queue)
{
	list_for_each(node, &e->queue[queue]) {
		struct op *op = list_entry(node, struct op, link);

		if (!(op->phase & IN_KERNEL))
			return op;
		if (queue != QUEUE_POLL)
			return NULL;
	}
	return NULL;
}

/* What waits in the kernel for its own time keeps nobody from going on. */
static void step_aside(struct fd_entry *e, struct op *op)
{
	list_remove(&op->link);
	list_append(&e->queue[QUEUE_CALL], &op->link);
}

static void restart_queue(struct uring *u, struct fd_entry *e, enum queue queue)
{
	struct op *op;

	while ((op = next_to_start(e, queue))) {
		bool ended = start(u, e, op);

		/* It may be that the ring was given up meanwhile. */
		if (op->state != OP_PENDING)
			continue;
		if (ended)
			reactor_arrive(&u->base, op, op->result);
		else if (op->phase & PAUSE)
			step_aside(e, op);
	}
}

void uring_restart(struct uring *u)
{
	struct list *node;

	while ((node = list_pop(&u->restart))) {
		struct fd_entry *e = list_entry(node, struct fd_entry, link);

		for (int q = QUEUE_POLL; q <= QUEUE_WRITE; q++)
			restart_queue(u, e, (enum queue)q);
	}
}

static bool submit_call(struct uring *u, struct fd_entry *e, struct op *op)
{
	const struct call *call = op->buffer;
	bool has_offset = call->code == CALL_PREADV || call->code == CALL_PWRITEV;
	/* Where a file has no positions, io_uring would read on. */
	bool by_ring = !u->refused && uring_knows_call(call) && (!has_offset || e->kind == FD_FILE);

	/* What is in memory is had faster without the ring. */
	op->result = by_ring && call->code != CALL_PREADV ? -EAGAIN : call_try(call, e->direct);
	if (op->result != -EAGAIN || (by_ring && start(u, e, op)))
		return true;
	/* From its start on the result is the worker's. */
	list_append(&e->queue[QUEUE_CALL], &op->link);
	int err = by_ring ? 0 : offload_start(&u->base, op);

	if (err == 0)
		return false;
	list_remove(&op->link);
	op->result = err;
	return true;
}

bool uring_submit(struct reactor *r, struct fd_entry *e, struct op *op)
{
	struct uring *u = uring_of(r);

	op->phase = 0;
	op->seemed_ready = false;
	if (op->code == OP_CALL)
		return submit_call(u, e, op);
	bool first = queue_of(op) == QUEUE_POLL || list_empty(&e->queue[queue_of(op)]);

	if (first && start(u, e, op))
		return true;
	list_append(&e->queue[op->phase & PAUSE ? QUEUE_CALL : queue_of(op)], &op->link);
	return false;
}

static void withdraw(struct uring *u, struct op *op)
{
	int err = 0;
	struct io_uring_sqe *sqe = uring_get_sqe(u, &err);

	if (!sqe) {
		u->cancels_owed = true;
		return;
	}
	/* Finding room may have brought its completion. */
	if (op->state != OP_PENDING || !(op->phase & IN_KERNEL)) {
		io_uring_prep_nop(sqe);
	} else {
		io_uring_prep_cancel64(sqe, (uintptr_t)op, 0);
		u->withdrawn += !(op->phase & WITHDRAWN);
		op->phase |= WITHDRAWN;
	}
	io_uring_sqe_set_data64(sqe, TAG_CANCEL);
}

/* Asking for one may complete others, so that no place in a queue is safe to go on from. */
static struct op *next_owed(struct fd_entry *e)
{
	for (int q = 0; q < QUEUES; q++) {
		list_for_each(node, &e->queue[q]) {
			struct op *op = list_entry(node, struct op, link);

			if (op->cancelling && (op->phase & (IN_KERNEL | WITHDRAWN)) == IN_KERNEL)
				return op;
		}
	}
	return NULL;
}

static void forget_withdrawals(struct uring *u, struct fd_entry *e)
{
	for (int q = 0; q < QUEUES; q++) {
		list_for_each(node, &e->queue[q]) {
			struct op *op = list_entry(node, struct op, link);

			u->withdrawn -= (op->phase & WITHDRAWN) != 0;
			op->phase &= (uint8_t)~WITHDRAWN;
		}
	}
}

static void send_owed_cancels(struct uring *u, struct fd_entry *e, bool again)
{
	struct op *op;

	if (again)
		forget_withdrawals(u, e);
	while (!u->cancels_owed && (op = next_owed(e)))
		withdraw(u, op);
}

void uring_send_owed_cancels(struct uring *u)
{
	struct fd_entry *e;
	bool again = u->cancels_lost;

	u->cancels_owed = u->cancels_lost = false;
	for (int fd = 0; (e = fd_table_next(&u->base.table, &fd));)
		send_owed_cancels(u, e, again);
	send_owed_cancels(u, &u->base.nowhere, again);
}

bool uring_cancel(struct reactor *r, struct op *op)
{
	struct uring *u = uring_of(r);

	if (op->phase & IN_WORKER && !offload_withdraw(r, op))
		return false;
	if (!(op->phase & IN_KERNEL)) {
		reactor_take_back(r, op);
		return true;
	}
	withdraw(u, op);
	return false;
}
#endif
