/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. An operation lives on the stack of the task that waits for it: the reactor promises not to give it back
 * before the kernel has let go of it, and the task does not resume before the reactor has given it back.
 */
#include <async/io.h>

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "core/schedule.h"
#include "io/fd.h"

/* After so many operations in a row that needed no waiting, a task gives way. */
#define AT_ONCE_MAX 64

/* A task that waits for the end of what was pending on a descriptor that it closes. */
struct closer {
	struct list link;
	struct task *task;
	int fd;
	unsigned left;
};

/* One operation less: for every task that closes the descriptor. */
void fd_completed(struct async_loop *loop, const struct op *op)
{
	if (!op->closing)
		return;
	list_for_each_safe(node, &loop->closers) {
		struct closer *closer = list_entry(node, struct closer, link);

		if (closer->fd != op->fd || --closer->left > 0)
			continue;
		list_remove(node);
		task_wake(closer->task, 0);
	}
}

static void on_complete(struct op *op)
{
	struct fd_wait *waiting = container_of(op, struct fd_wait, op);

	fd_completed(waiting->task->future.loop, op);
	task_wake(waiting->task, op->result);
}

static bool withdraw_op(struct task *task)
{
	struct fd_wait *waiting = task->wait_object;

	if (!reactor_cancel(task->future.loop->reactor, &waiting->op))
		return false;
	task_wake(task, waiting->op.result);
	return waiting->op.result == -ECANCELED;
}

#define WAIT(what) \
	{.name = what, \
	 .keeps_result = true, \
	 .withdraw = withdraw_op, \
	 .on = ASYNC_LAYOUT_ON_OPERATION, \
	 .detail = offsetof(struct fd_wait, op)}

static const struct wait_class wait_op[] = {
	[OP_POLL] = WAIT("a descriptor"),    [OP_READ] = WAIT("a read"),          [OP_WRITE] = WAIT("a write"),
	[OP_READV] = WAIT("a read"),         [OP_WRITEV] = WAIT("a write"),
	[OP_RECV] = WAIT("a receive"),       [OP_SEND] = WAIT("a send"),          [OP_RECVMSG] = WAIT("a message"),
	[OP_SENDMSG] = WAIT("a send"),       [OP_ACCEPT] = WAIT("a connection"),  [OP_CONNECT] = WAIT("a connect"),
	[OP_CALL] = WAIT("a file"),
};

/* Lets others run; a cancellation that comes meanwhile is kept for the next wait, because this operation has
 * succeeded. */
static void give_way(struct task *task)
{
	struct async_loop *loop = task->future.loop;

	/* The slice ends when anybody was switched to. */
	if (loop->at_once_slice != loop->switches) {
		loop->at_once_slice = loop->switches;
		loop->at_once = 0;
	}
	if (++loop->at_once < AT_ONCE_MAX)
		return;
	ready_append(&loop->ready, &task->entry);
	task_suspend(task);
	task->kept_result = task->undelivered > 0;
}

int64_t fd_perform_in(struct fd_wait *waiting)
{
	struct task *task = waiting->task;
	struct reactor *reactor;

	if (unlikely(task->undelivered) && task_take_cancel(task))
		return -ECANCELED;
	int error = loop_reactor(task->future.loop, &reactor);
	if (unlikely(error))
		return error;
	waiting->op.complete = on_complete;
	if (reactor_submit(reactor, &waiting->op)) {
		give_way(task);
		return waiting->op.result;
	}
	return task_park(task, &wait_op[waiting->op.code], waiting);
}

int64_t fd_perform(struct fd_wait *waiting)
{
	waiting->task = task_current();
	return waiting->task ? fd_perform_in(waiting) : -EPERM;
}

void fd_withdraw(struct fd_wait *waiting)
{
	waiting->op.closing = true;
	if (reactor_cancel(waiting->task->future.loop->reactor, &waiting->op))
		task_wake(waiting->task, -EBADF);
}

static int64_t perform(enum op_code code, int fd, void *buffer, size_t size)
{
	struct fd_wait waiting;

	op_init(&waiting.op, code, fd, buffer, size);
	return fd_perform(&waiting);
}

int64_t fd_perform_call(int fd, struct call *call)
{
	return perform(OP_CALL, fd, call, 0);
}

ssize_t async_read(int fd, void *buffer, size_t size)
{
	return perform(OP_READ, fd, buffer, size);
}

ssize_t async_write(int fd, const void *buffer, size_t size)
{
	/* OP_WRITE only reads it. */
	return perform(OP_WRITE, fd, (void *)(uintptr_t)buffer, size);
}

static ssize_t transfer_parts(enum op_code code, int fd, const struct iovec *parts, int count)
{
	/* The operation only reads the array. */
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};

	if (count < 0 || count > IOV_MAX || (count > 0 && !parts))
		return -EINVAL;
	return perform(code, fd, &message, 0);
}

ssize_t async_readv(int fd, const struct iovec *parts, int count)
{
	return transfer_parts(OP_READV, fd, parts, count);
}

ssize_t async_writev(int fd, const struct iovec *parts, int count)
{
	return transfer_parts(OP_WRITEV, fd, parts, count);
}

static int poll_for(int fd, short events, int flags)
{
	struct fd_wait waiting;

	op_init(&waiting.op, OP_POLL, fd, NULL, 0);
	waiting.op.events = events;
	waiting.op.flags = flags;
	return (int)fd_perform(&waiting);
}

int async_poll(int fd, short events)
{
	return events ? poll_for(fd, events, 0) : -EINVAL;
}

int fd_poll_exclusively(int fd, short events)
{
	return poll_for(fd, events, OP_EXCLUSIVE);
}

/* Waits for what was pending, come what may: the descriptor must not be closed before. */
static const struct wait_class wait_close = {
	.name = "the end of operations",
	.keeps_result = true,
	.on = ASYNC_LAYOUT_ON_DESCRIPTOR,
	.detail = offsetof(struct closer, fd),
};

int async_close(int fd)
{
	struct closer closer = {.task = task_current(), .fd = fd};

	if (!closer.task)
		return -EPERM;
	struct async_loop *loop = closer.task->future.loop;
	if (loop->reactor && (closer.left = reactor_forget(loop->reactor, fd)) > 0) {
		list_append(&loop->closers, &closer.link);
		task_park(closer.task, &wait_close, &closer);
	}
	/* Linux closes the descriptor even if it was interrupted. */
	int error = (int)SYS("close", close(fd));
	return error == -EINTR ? 0 : error;
}
