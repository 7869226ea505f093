/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. What completes goes to `arrived` and is delivered from one place, at the end of reactor_wait, however
 * it ended; so `complete` runs on one known stack, and may submit, cancel and forget. Backends only move
 * operations between the queues of an entry and that list.
 *
 * Where io_uring can withdraw an operation only by asking the kernel, epoll takes it back at once: a difference that a
 * program would see. In virtual time, which promises one history, that waits for the next reactor_wait with both.
 */
#include "reactor/reactor.h"

#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own_fd.h"
#include "reactor/buffer.h"
#include "reactor/call.h"
#include "reactor/offload.h"
#include "reactor/reactor_impl.h"
#include "reactor/transfer.h"

int reactor_init(struct reactor *r, const struct reactor_ops *ops, const struct reactor_options *options)
{
	r->ops = ops;
	r->virtual_time = options->virtual_time;
	list_init(&r->arrived);
	fd_entry_init(&r->nowhere, -1);
	r->nowhere.kind = FD_FILE;
	offload_init(r);
	r->wake_fd = own_eventfd(0, 0);
	return r->wake_fd < 0 ? r->wake_fd : 0;
}

/* Descriptors that were made for tasks that do not go on. */
static void drop_arrived(struct reactor *r)
{
	list_for_each(node, &r->arrived) {
		struct op *op = list_entry(node, struct op, link);
		const struct call *call = op->code == OP_CALL ? op->buffer : NULL;

		if (op->result >= 0 && (op->code == OP_ACCEPT || (call && call->code == CALL_OPENAT)))
			close((int)op->result);
	}
}

void reactor_fini(struct reactor *r)
{
	fd_table_free(&r->table);
	if (r->wake_fd >= 0)
		close(r->wake_fd);
}

int reactor_open(const struct reactor_options *options, struct reactor **ret_reactor)
{
	int err = -ENOSYS;

	if (options->kind != REACTOR_EPOLL)
		err = uring_open(options, ret_reactor);
	if (err < 0 && options->kind != REACTOR_URING)
		err = epoll_open(options, ret_reactor);
	return err;
}

static void account(struct reactor *r, struct op *op, int by)
{
	r->pending += (size_t)by;
	if (op->holds_time)
		r->holding_time += (size_t)by;
}

/* Where in `arrived` an operation belongs: behind what this gives. */
static struct list *arrives_behind(const struct reactor *r, const struct op *op)
{
	struct list *last = r->arrived.prev;

	while (r->virtual_time && last != &r->arrived && list_entry(last, struct op, link)->sequence > op->sequence)
		last = last->prev;
	return last;
}

void reactor_arrive(struct reactor *r, struct op *op, int64_t result)
{
	buffer_take_back(op, result);
	list_remove(&op->link);
	op->state = OP_ARRIVED;
	op->result = result == -ECANCELED && op->closing ? -EBADF : result;
	list_prepend(arrives_behind(r, op), &op->link);
	r->arrivals++;
}

void reactor_take_back(struct reactor *r, struct op *op)
{
	list_remove(&op->link);
	op->state = OP_IDLE;
	op->result = -ECANCELED;
	account(r, op, -1);
}

/* What arrives while we deliver waits for the next round, so that a chatty descriptor cannot keep us here. */
static int deliver(struct reactor *r)
{
	size_t n = r->arrivals;

	for (size_t i = 0; i < n; i++) {
		struct op *op = list_entry(r->arrived.next, struct op, link);

		list_remove(&op->link);
		r->arrivals--;
		op->state = OP_IDLE;
		account(r, op, -1);
		op->complete(op);
	}
	return (int)n;
}

/* Does not overtake what waits. */
static bool try_once(struct op *op)
{
	bool first = queue_of(op) == QUEUE_POLL || list_empty(&op->entry->queue[queue_of(op)]);

	op->result = first ? transfer_try(op->entry, op) : -EAGAIN;
	if (op->result == OP_NO_EVENT)
		op->result = -EAGAIN;
	return true;
}

bool reactor_submit(struct reactor *r, struct op *op)
{
	struct fd_entry *e = &r->nowhere;
	int err = op->code == OP_CALL && op->fd < 0 ? 0 : fd_table_get(&r->table, op->fd, &e);

	op->cancelling = op->closing = op->connecting = op->holds_time = false;
	op->pauses = 0;
	list_init(&op->link);
	if (err == 0 && r->virtual_time && e != &r->nowhere)
		err = fd_entry_identify(e);
	if (err < 0) {
		op->result = err;
		return true;
	}
	if (op->size > TRANSFER_MAX)
		op->size = TRANSFER_MAX;
	op->entry = e;
	op->sequence = ++r->submissions;
	buffer_hand_over(op);
	op->state = OP_PENDING;
	if (op->flags & MSG_DONTWAIT ? try_once(op) : r->ops->submit(r, e, op)) {
		buffer_take_back(op, op->result);
		op->state = OP_IDLE;
		return true;
	}
	op->holds_time = r->virtual_time && op_suits_worker(op) && (e->kind == FD_FILE || op->code == OP_CALL);
	account(r, op, 1);
	return false;
}

/* One that was taken back all the same completes in the next reactor_wait. */
static void put_off(struct reactor *r, struct op *op)
{
	account(r, op, 1);
	reactor_arrive(r, op, -ECANCELED);
}

bool reactor_cancel(struct reactor *r, struct op *op)
{
	if (op->state != OP_PENDING || op->cancelling)
		return false;
	op->cancelling = true;
	if (!r->ops->cancel(r, op))
		return false;
	if (!r->virtual_time)
		return true;
	put_off(r, op);
	/* Nothing else would show at reactor_fd. */
	if (r->embedded)
		reactor_wake(r);
	return false;
}

/* Cancelling one operation may make others arrive, so that no place in a queue is safe to go on from. */
static struct op *not_withdrawn(struct fd_entry *e)
{
	for (int q = 0; q < QUEUES; q++) {
		list_for_each(node, &e->queue[q]) {
			struct op *op = list_entry(node, struct op, link);

			if (!op->closing)
				return op;
		}
	}
	return NULL;
}

static void withdraw_all(struct reactor *r, struct fd_entry *e)
{
	struct op *op;

	while ((op = not_withdrawn(e))) {
		op->closing = true;
		if (op->cancelling)
			continue;
		op->cancelling = true;
		if (r->ops->cancel(r, op))
			put_off(r, op);
	}
}

unsigned reactor_forget(struct reactor *r, int fd)
{
	struct fd_entry *e = fd_table_find(&r->table, fd);
	unsigned left = 0;

	if (!e)
		return 0;
	withdraw_all(r, e);
	r->ops->forget(r, e);
	fd_entry_reset(e);
	for (int q = 0; q < QUEUES; q++)
		list_for_each(node, &e->queue[q])
			left++;
	list_for_each(node, &r->arrived)
		left += list_entry(node, struct op, link)->fd == fd;
	/* Nothing else would show at reactor_fd. */
	if (left && r->embedded)
		reactor_wake(r);
	return left;
}

int reactor_wait(struct reactor *r, int64_t timeout)
{
	int err = r->ops->wait(r, r->arrivals ? 0 : timeout);
	int n = deliver(r);

	return n == 0 && err < 0 ? err : n;
}

void reactor_wake(struct reactor *r)
{
	static const uint64_t one = 1;
	int saved = errno;

	order_release(r);
	/* Fails only when the counter is full: then there is a wake to see. */
	ssize_t n = write(r->wake_fd, &one, sizeof(one));

	(void)n;
	errno = saved;
}

bool reactor_is_ours(const struct reactor *r)
{
	return r->owner == 0 || r->owner == gettid();
}

int reactor_take_over(struct reactor *r)
{
	if (reactor_is_ours(r))
		return 0;
	if (r->pending > 0 && tgkill(getpid(), r->owner, 0) == 0)
		return -EPERM;
	r->foreign = true;
	return 0;
}

/* Of a thread that has ended the kernel holds nothing any more; workers may. */
static bool settle_foreign(struct reactor *r, int64_t until)
{
	while (r->in_workers) {
		offload_finish(r);
		if (r->in_workers && reactor_time_left(until) == 0)
			return false;
		sched_yield();
	}
	return true;
}

bool reactor_settle(struct reactor *r, int64_t until)
{
	struct fd_entry *e;

	if (r->foreign)
		return settle_foreign(r, until);
	for (int fd = 0; (e = fd_table_next(&r->table, &fd));)
		withdraw_all(r, e);
	withdraw_all(r, &r->nowhere);
	return r->ops->settle(r, until);
}

void reactor_close(struct reactor *r)
{
	reactor_settle(r, INT64_MAX);
	offload_close(r);
	drop_arrived(r);
	r->ops->close(r);
}

void reactor_leave(struct reactor *r)
{
	offload_leave(r);
	drop_arrived(r);
}

void reactor_abandon(struct reactor *r)
{
	r->ops->abandon(r);
}

int reactor_fd(struct reactor *r)
{
	int fd = r->ops->fd(r);

	r->embedded = r->embedded || fd >= 0;
	return fd;
}

const char *reactor_name(const struct reactor *r)
{
	return r->ops->name;
}

size_t reactor_pending(const struct reactor *r)
{
	return r->pending;
}

size_t reactor_holding_time(const struct reactor *r)
{
	return r->holding_time;
}
