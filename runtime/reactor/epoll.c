/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. An operation is tried first. If it would have to wait, its descriptor is registered, once and for all
 * directions, edge-triggered: waiting costs no epoll_ctl then, and each event tries what waits. Level semantics
 * are had by trying (poll(2) for OP_POLL) before waiting. Descriptors that epoll refuses are always ready, and
 * files wait for disks, so what they cannot give at once a worker fetches (offload.c).
 *
 * A TCP connection that has been read dry is not tried again before there is an event: a server that answers and waits
 * for the next request does not ask in vain. It is dry after a read that brought less than there was room for; that
 * holds no more once the event was more than readiness (urgent data, or the end, which a read gives separately).
 *
 * A program may close a descriptor behind our back and get its number again: then the registration is gone
 * though we think that it is there, and no event would come. EPOLL_CTL_MOD tells (-ENOENT), and reports
 * readiness anew. So that it costs nothing where traffic flows, only what has been waiting for CHECK_INTERVAL
 * without an event is checked, and once: entries begin in `fresh`, are in `aging` after an interval, and are
 * checked at the next. A descriptor of its own tells the time for that: a limit on each wait would set a timer each
 * time, which takes a microsecond. On a virtual clock, which may jump while we wait, and where somebody else polls our
 * descriptor, it is done at once.
 *
 * What waits for something that the kernel does not tell (OP_NO_EVENT) steps out of its queue and is tried again when
 * that descriptor says so.
 */
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/memory.h"
#include "base/own_fd.h"
#include "reactor/buffer.h"
#include "reactor/call.h"
#include "reactor/offload.h"
#include "reactor/transfer.h"

#define CHECK_INTERVAL 100000000 /* ns */
#define PAUSING (IN_WORKER + 1)  /* op->phase */
#define WAKE UINT64_MAX
#define CHECK (UINT64_MAX - 1)

struct epoll {
	struct reactor base;
	int epoll_fd;
	bool no_pwait2;
	bool woken;
	struct list fresh, aging; /* entries with waiting operations whose registration is to be checked */
	struct list pausing;      /* entries with operations that pause */
	int check_fd;             /* timerfd */
	int64_t check_at;         /* when that tells the time; INT64_MAX: not at all */
	struct epoll_event events[128];
};

static struct epoll *epoll_of(struct reactor *r)
{
	return container_of(r, struct epoll, base);
}

static int control_for(struct epoll *p, int how, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLET, .data.u64 = (uint64_t)fd};

	return (int)SYS("epoll_ctl", epoll_ctl(p->epoll_fd, how, fd, &event));
}

static int control(struct epoll *p, int how, int fd)
{
	return control_for(p, how, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI);
}

static bool is_tcp(const struct fd_entry *e)
{
	int protocol = 0;
	socklen_t size = sizeof(protocol);

	return e->kind == FD_SOCKET &&
	       SYS("getsockopt", getsockopt(e->fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size)) == 0 &&
	       protocol == IPPROTO_TCP;
}

static int watch(struct epoll *p, struct fd_entry *e)
{
	int err = control(p, EPOLL_CTL_ADD, e->fd);

	/* Forgotten while another number stood for the same file, and now back. */
	if (err == -EEXIST)
		err = control(p, EPOLL_CTL_MOD, e->fd);
	e->watched = err == 0;
	e->tells_end = e->watched && is_tcp(e);
	e->drained = false;
	return err;
}

static bool has_waiting(const struct fd_entry *e)
{
	return !list_empty(&e->queue[QUEUE_POLL]) || !list_empty(&e->queue[QUEUE_READ]) ||
	       !list_empty(&e->queue[QUEUE_WRITE]);
}

static void unwatch(struct epoll *p, struct fd_entry *e)
{
	(void)control(p, EPOLL_CTL_DEL, e->fd);
	e->watched = e->exclusive = false;
}

/* Until the wait is over: one that is registered but does not wait would be woken instead of one that does. Each wait
 * begins at the end of the row, so the wake-ups go round. */
static int watch_exclusively(struct epoll *p, struct fd_entry *e)
{
	int err = control_for(p, EPOLL_CTL_ADD, e->fd, EPOLLIN | EPOLLOUT | EPOLLEXCLUSIVE);

	e->watched = e->exclusive = err == 0;
	e->tells_end = e->drained = false;
	return err;
}

/* Has the events told that the operation waits for. */
static int watch_for(struct epoll *p, struct fd_entry *e, const struct op *op)
{
	bool exclusive = op->code == OP_POLL && op->flags & OP_EXCLUSIVE;

	if (e->watched && !e->exclusive)
		return 0;
	if (e->exclusive)
		unwatch(p, e);
	return exclusive && !has_waiting(e) ? watch_exclusively(p, e) : watch(p, e);
}

/* An operation of the entry waits no more. */
static void settle_entry(struct epoll *p, struct fd_entry *e)
{
	if (has_waiting(e))
		return;
	list_remove(&e->link);
	if (e->exclusive)
		unwatch(p, e);
}

static bool is_plain_read(const struct op *op)
{
	return (op->code == OP_RECV && op->flags == 0) || op->code == OP_READ;
}

/* The number may have been another connection's, of which nobody told us that it was closed. */
static void connection_made(struct epoll *p, const struct op *op, int64_t result)
{
	struct fd_entry *e = fd_table_find(&p->base.table, op->code == OP_ACCEPT ? (int)result : op->fd);

	if (e)
		e->drained = false;
}

static int64_t try_op(struct epoll *p, struct fd_entry *e, struct op *op)
{
	bool plain_read = is_plain_read(op);

	if (e->drained && plain_read)
		return -EAGAIN;
	int64_t result = transfer_try(e, op);

	if (plain_read && e->tells_end)
		e->drained = result == -EAGAIN || (result > 0 && (size_t)result < op->size);
	else if (result >= 0 && (op->code == OP_ACCEPT || op->code == OP_CONNECT))
		connection_made(p, op, result);
	return result;
}

/* Has the time told at `when`, if not earlier. */
static void arm_check(struct epoll *p, int64_t when)
{
	struct itimerspec at = {.it_value = clock_timespec(when)};

	if (when < p->check_at &&
	    SYS("timerfd_settime", timerfd_settime(p->check_fd, TFD_TIMER_ABSTIME, &at, NULL)) == 0)
		p->check_at = when;
}

static int64_t resumes_at(const struct op *op)
{
	return (int64_t)op->pause.tv_sec * 1000000000 + op->pause.tv_nsec;
}

static void note_pause(struct epoll *p, struct fd_entry *e, const struct op *op)
{
	if (list_empty(&e->pausing))
		list_append(&p->pausing, &e->pausing);
	arm_check(p, resumes_at(op));
}

/* Has an operation that is in no queue tried again later. */
static void begin_pause(struct epoll *p, struct fd_entry *e, struct op *op)
{
	op->phase = PAUSING;
	op->pause = clock_timespec(clock_add(clock_now(), op_next_pause(op)));
	list_append(&e->queue[QUEUE_CALL], &op->link);
	note_pause(p, e, op);
}

/* Tries, in order, what waits in one direction. What can neither be done nor wait is with a worker after. */
static void try_queue(struct epoll *p, struct fd_entry *e, enum queue queue)
{
	list_for_each_safe(node, &e->queue[queue]) {
		struct op *op = list_entry(node, struct op, link);
		int64_t result = try_op(p, e, op);

		if (result == -EAGAIN && e->kind == FD_FILE && op_suits_worker(op)) {
			/* This -EAGAIN would be that no worker could be started. */
			result = offload_start(&p->base, op);
			if (result < 0) {
				reactor_arrive(&p->base, op, result);
				continue;
			}
			list_remove(&op->link);
			list_append(&e->queue[QUEUE_CALL], &op->link);
			continue;
		}
		if (result == OP_NO_EVENT) {
			list_remove(&op->link);
			begin_pause(p, e, op);
		} else if (result != -EAGAIN) {
			reactor_arrive(&p->base, op, result);
		} else if (queue != QUEUE_POLL) {
			break;
		}
	}
}

/* A Unix socket that was shut down goes on saying EAGAIN, and there will be no other event. */
static void end_accepts(struct epoll *p, struct fd_entry *e)
{
	list_for_each_safe(node, &e->queue[QUEUE_READ]) {
		struct op *op = list_entry(node, struct op, link);

		if (op->code == OP_ACCEPT)
			reactor_arrive(&p->base, op, -EINVAL);
	}
}

static void try_entry(struct epoll *p, struct fd_entry *e, uint32_t events)
{
	try_queue(p, e, QUEUE_POLL);
	if (events & ~(uint32_t)EPOLLOUT)
		try_queue(p, e, QUEUE_READ);
	if (events & (EPOLLRDHUP | EPOLLHUP))
		end_accepts(p, e);
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		try_queue(p, e, QUEUE_WRITE);
	settle_entry(p, e);
}

static void fail_waiting(struct epoll *p, struct fd_entry *e, int err)
{
	for (int q = QUEUE_POLL; q <= QUEUE_WRITE; q++)
		while (!list_empty(&e->queue[q]))
			reactor_arrive(&p->base, list_entry(e->queue[q].next, struct op, link), err);
}

static void check(struct epoll *p, struct fd_entry *e)
{
	int err = e->watched && !e->exclusive ? control(p, EPOLL_CTL_MOD, e->fd) : 0;

	if (err == 0 && !e->exclusive)
		return;
	if (e->exclusive)
		unwatch(p, e);
	e->watched = false;
	int lost = fd_entry_identify(e);

	if (lost < 0) {
		fail_waiting(p, e, lost);
		return;
	}
	err = watch(p, e);
	if (err < 0 && err != -EPERM)
		fail_waiting(p, e, err);
	else if (err == -EPERM)
		try_entry(p, e, ~0u);
}

static bool epoll_submit(struct reactor *r, struct fd_entry *e, struct op *op);

/* Tries again what has paused for long enough. */
static void resume_entry(struct epoll *p, struct fd_entry *e, int64_t now)
{
	list_for_each_safe(node, &e->queue[QUEUE_CALL]) {
		struct op *op = list_entry(node, struct op, link);

		if (op->phase != PAUSING || resumes_at(op) > now)
			continue;
		list_remove(&op->link);
		if (!epoll_submit(&p->base, e, op))
			continue;
		int64_t result = op->result;
		reactor_arrive(&p->base, op, result);
	}
	list_for_each(node, &e->queue[QUEUE_CALL]) {
		const struct op *op = list_entry(node, struct op, link);

		if (op->phase == PAUSING)
			note_pause(p, e, op);
	}
}

static void resume_paused(struct epoll *p)
{
	struct list entries = LIST_INIT(entries), *node;
	int64_t now = clock_now();

	list_splice(&entries, &p->pausing);
	while ((node = list_pop(&entries)))
		resume_entry(p, list_entry(node, struct fd_entry, pausing), now);
}

static void check_aged(struct epoll *p)
{
	struct list *node;

	while ((node = list_pop(&p->aging)))
		check(p, list_entry(node, struct fd_entry, link));
	list_splice(&p->aging, &p->fresh);
}

/* Has the time told at which to check, if there is anything to check. */
static void arm_next_check(struct epoll *p)
{
	bool any = !list_empty(&p->fresh) || !list_empty(&p->aging) || !list_empty(&p->pausing);

	if (p->check_at == INT64_MAX && any)
		arm_check(p, clock_add(clock_now(), CHECK_INTERVAL));
}

/* True if it could not be given to one, and has completed. */
static bool hand_to_worker(struct epoll *p, struct fd_entry *e, struct op *op)
{
	/* From its start on the result is the worker's. */
	list_append(&e->queue[QUEUE_CALL], &op->link);
	int err = offload_start(&p->base, op);

	if (err == 0)
		return false;
	list_remove(&op->link);
	op->result = err;
	return true;
}

static bool submit_call(struct epoll *p, struct fd_entry *e, struct op *op)
{
	op->result = call_try(op->buffer, e->direct);
	return op->result != -EAGAIN || hand_to_worker(p, e, op);
}

static bool epoll_submit(struct reactor *r, struct fd_entry *e, struct op *op)
{
	struct epoll *p = epoll_of(r);
	int err = 0;

	op->phase = 0;
	if (op->code == OP_CALL)
		return submit_call(p, e, op);
	if (queue_of(op) == QUEUE_POLL || list_empty(&e->queue[queue_of(op)])) {
		op->result = try_op(p, e, op);
		if (op->result == OP_NO_EVENT) {
			begin_pause(p, e, op);
			return false;
		}
		if (op->result != -EAGAIN)
			return true;
		/* A worker must not be given what may wait for ever. */
		if (e->kind == FD_FILE)
			err = fd_entry_identify(e);
		if (err == 0 && e->kind != FD_FILE)
			err = watch_for(p, e, op);
		bool file = e->kind == FD_FILE || (err == -EPERM && fd_entry_identify(e) == 0);

		if (file && op_suits_worker(op))
			return hand_to_worker(p, e, op);
		/* Without a poll function a file is never ready for what is asked: the wait can only be withdrawn. */
		if (err < 0 && err != -EPERM) {
			op->result = err;
			return true;
		}
	}
	list_append(&e->queue[queue_of(op)], &op->link);
	if (r->virtual_time || r->embedded)
		check(p, e);
	else if (list_empty(&e->link))
		list_append(&p->fresh, &e->link);
	return false;
}

static bool epoll_cancel(struct reactor *r, struct op *op)
{
	struct epoll *p = epoll_of(r);
	struct fd_entry *e = op->entry;

	if (op->phase == IN_WORKER && !offload_withdraw(r, op))
		return false;
	reactor_take_back(r, op);
	settle_entry(p, e);
	return true;
}

static void epoll_forget(struct reactor *r, struct fd_entry *e)
{
	list_remove(&e->link);
	list_remove(&e->pausing);
	/* It may have been closed already. */
	if (e->watched)
		(void)control(epoll_of(r), EPOLL_CTL_DEL, e->fd);
}

/* epoll_wait knows milliseconds only; its elder does where the newer call is missing. */
static int wait_events(struct epoll *p, int64_t timeout)
{
	if (timeout > 0 && !p->no_pwait2) {
		struct timespec ts = clock_timespec(timeout);
		int n = (int)SYS("epoll_pwait2",
				 epoll_pwait2(p->epoll_fd, p->events, (int)array_size(p->events), &ts, NULL));

		if (n != -ENOSYS && n != -EPERM)
			return n;
		p->no_pwait2 = true;
	}
	/* Rounded up, or the caller would spin through the last millisecond. */
	int64_t ms = timeout <= 0 ? timeout : (timeout - 1) / 1000000 + 1;

	if (ms > INT_MAX)
		ms = INT_MAX;
	return (int)SYS("epoll_wait", epoll_wait(p->epoll_fd, p->events, (int)array_size(p->events),
						 ms < 0 ? -1 : (int)ms));
}

static void dispatch(struct epoll *p, int n)
{
	for (int i = 0; i < n; i++) {
		const struct epoll_event *event = &p->events[i];

		/* Edge-triggered too, so the counter need not be read: each write is an edge. */
		if (event->data.u64 == WAKE) {
			p->woken = true;
			order_acquire(&p->base);
			continue;
		}
		if (event->data.u64 == CHECK) {
			p->check_at = INT64_MAX;
			check_aged(p);
			resume_paused(p);
			continue;
		}
		struct fd_entry *e = fd_table_find(&p->base.table, (int)event->data.u64);

		if (!e)
			continue;
		e->drained = false;
		e->tells_end = e->tells_end && !(event->events & ~(uint32_t)(EPOLLIN | EPOLLOUT));
		if (has_waiting(e))
			try_entry(p, e, event->events);
	}
}

static int epoll_wait_all(struct reactor *r, int64_t timeout)
{
	struct epoll *p = epoll_of(r);
	int64_t deadline = timeout > 0 ? clock_add(clock_now(), timeout) : 0;

	if (timeout == 0 && r->pending == 0 && !r->embedded)
		return 0;
	p->woken = false;
	for (;;) {
		arm_next_check(p);
		int n = wait_events(p, r->arrivals || offload_ready(&p->base) ? 0 : timeout);

		dispatch(p, n);
		offload_finish(&p->base);
		if (n < 0)
			return n == -EINTR ? 0 : n;
		if (p->woken || r->arrivals || timeout == 0)
			return 0;
		if (timeout > 0) {
			timeout = deadline - clock_now();
			if (timeout <= 0)
				return 0;
		}
	}
}

static int epoll_fd(struct reactor *r)
{
	return epoll_of(r)->epoll_fd;
}

static void epoll_free(struct epoll *p)
{
	if (p->epoll_fd >= 0)
		close(p->epoll_fd);
	if (p->check_fd >= 0)
		close(p->check_fd);
	reactor_fini(&p->base);
	mem_free(p);
}

static bool epoll_settle(struct reactor *r, int64_t until)
{
	struct epoll *p = epoll_of(r);

	while (r->in_workers) {
		int64_t left = reactor_time_left(until);

		if (!offload_ready(&p->base) && left == 0)
			return false;
		if (!offload_ready(&p->base))
			wait_events(p, left);
		offload_finish(&p->base);
	}
	return true;
}

static void epoll_close(struct reactor *r)
{
	epoll_free(epoll_of(r));
}

/* The pool's threads are the parent's, and so is the use of it. */
static void epoll_abandon(struct reactor *r)
{
	epoll_free(epoll_of(r));
}

static const struct reactor_ops epoll_ops = {
	.name = "epoll",
	.submit = epoll_submit,
	.cancel = epoll_cancel,
	.forget = epoll_forget,
	.wait = epoll_wait_all,
	.fd = epoll_fd,
	.settle = epoll_settle,
	.close = epoll_close,
	.abandon = epoll_abandon,
};

static int watch_own(struct epoll *p, int fd, uint64_t tag)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = tag};

	return (int)SYS("epoll_ctl", epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event));
}

static int open_descriptors(struct epoll *p)
{
	p->epoll_fd = own_epoll();
	if (p->epoll_fd < 0)
		return p->epoll_fd;
	p->check_fd = own_timerfd(0);
	if (p->check_fd < 0)
		return p->check_fd;
	int err = watch_own(p, p->base.wake_fd, WAKE);

	return err < 0 ? err : watch_own(p, p->check_fd, CHECK);
}

int epoll_open(const struct reactor_options *options, struct reactor **ret_reactor)
{
	struct epoll *p = mem_zalloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	list_init(&p->fresh);
	list_init(&p->aging);
	list_init(&p->pausing);
	p->epoll_fd = p->check_fd = -1;
	p->check_at = INT64_MAX;
	/* Which does not know the call, and would complain of it on stderr. */
	p->no_pwait2 = RUNNING_ON_VALGRIND;
	int err = reactor_init(&p->base, &epoll_ops, options);

	if (err == 0)
		err = open_descriptors(p);
	if (err < 0) {
		epoll_free(p);
		return err;
	}
	*ret_reactor = &p->base;
	return 0;
}
