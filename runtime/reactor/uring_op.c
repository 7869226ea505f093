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
#include <sys/socket.h>

#include "base/fault.h"
#include "reactor/call.h"
#include "reactor/offload.h"
#include "reactor/transfer.h"
#include "reactor/uring_impl.h"

/* op->phase */
#define IN_KERNEL 1  /* submitted, or in the submission ring */
#define READINESS 2  /* what is asked for is readiness, to try again then */
#define WITHDRAWN 4  /* the kernel has been asked to cancel */

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
	bool again = result == (op->code == OP_CONNECT ? -EINPROGRESS : -EAGAIN);
	if (again) /* O_NONBLOCK is set, and the kernel is one that heeds it */
		op->phase = READINESS;
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
		op->phase = READINESS;
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

static void prepare(struct io_uring_sqe *sqe, const struct fd_entry *e, const struct op *op)
{
	unsigned flags = (unsigned)op->flags;

	if (op->phase & READINESS) {
		io_uring_prep_poll_add(sqe, op->fd, queue_of(op) == QUEUE_READ ? POLLIN : POLLOUT);
		return;
	}
	switch (op->code) {
	case OP_POLL:
		io_uring_prep_poll_add(sqe, op->fd, (unsigned short)op->events);
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

/* A Unix socket connects at once or has to be asked again: the kernel would do that without a pause. */
static bool connects_at_once(const struct op *op)
{
	const struct sockaddr *address = op->buffer;

	return op->code == OP_CONNECT && address && op->size >= sizeof(address->sa_family) &&
	       address->sa_family == AF_UNIX;
}

/* True if it completed at once. */
static bool start(struct uring *u, struct fd_entry *e, struct op *op)
{
	int err = 0;

	if (op_is_write(op) && !(op->phase & READINESS) && write_from_here(e, op))
		return true;
	if (connects_at_once(op)) {
		op->result = transfer_try(e, op);
		return true;
	}
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

void uring_restart(struct uring *u)
{
	struct list *node;

	while ((node = list_pop(&u->restart))) {
		struct fd_entry *e = list_entry(node, struct fd_entry, link);

		for (int q = QUEUE_POLL; q <= QUEUE_WRITE; q++) {
			while (!list_empty(&e->queue[q])) {
				struct op *op = list_entry(e->queue[q].next, struct op, link);

				if (op->phase & IN_KERNEL || !start(u, e, op))
					break;
				reactor_arrive(&u->base, op, op->result);
			}
		}
	}
}

static bool submit_call(struct uring *u, struct fd_entry *e, struct op *op)
{
	const struct call *call = op->buffer;
	bool has_offset = call->code == CALL_PREADV || call->code == CALL_PWRITEV;
	/* Where a file has no positions, io_uring would read on. */
	bool by_ring = uring_knows_call(call) && (!has_offset || e->kind == FD_FILE);

	/* What is in memory is had faster without the ring. */
	op->result = by_ring && call->code != CALL_PREADV ? -EAGAIN : call_try(call, e->direct);
	if (op->result != -EAGAIN)
		return true;
	/* From its start on the result is the worker's. */
	list_append(&e->queue[QUEUE_CALL], &op->link);
	int err = 0;

	if (!by_ring)
		err = offload_start(&u->base, op);
	else if (start(u, e, op))
		err = (int)op->result;
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
	if (op->code == OP_CALL)
		return submit_call(u, e, op);
	bool first = op->code == OP_POLL || list_empty(&e->queue[queue_of(op)]);

	if (first && start(u, e, op))
		return true;
	list_append(&e->queue[queue_of(op)], &op->link);
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

static void send_owed_cancels(struct uring *u, struct fd_entry *e, bool again)
{
	for (int q = 0; q < QUEUES && !u->cancels_owed; q++) {
		list_for_each_safe(node, &e->queue[q]) {
			struct op *op = list_entry(node, struct op, link);

			if (!op->cancelling || !(op->phase & IN_KERNEL) || (op->phase & WITHDRAWN && !again))
				continue;
			withdraw(u, op);
		}
	}
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
