/* SPDX-License-Identifier: MIT */
#include "reactor/buffer.h"

#include <sys/stat.h>

#include "reactor/call.h"
#include "reactor/fd_table.h"

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void hand_over_parts(const struct iovec *parts, size_t count, bool receives)
{
	for (size_t i = 0; i < count; i++) {
		if (receives)
			buffer_check_writable(parts[i].iov_base, parts[i].iov_len);
		else
			buffer_check_readable(parts[i].iov_base, parts[i].iov_len);
	}
}

static void hand_over_call(const struct call *call)
{
	if (call->code == CALL_PREADV || call->code == CALL_PWRITEV)
		hand_over_parts(call->parts, (size_t)call->count, call->code == CALL_PREADV);
}

void buffer_hand_over_other(const struct op *op)
{
	const struct msghdr *message = op->buffer;

	switch (op->code) {
	case OP_CONNECT:
		buffer_check_readable(op->buffer, op->size);
		break;
	case OP_READV:
	case OP_WRITEV:
	case OP_RECVMSG:
	case OP_SENDMSG:
		hand_over_parts(message->msg_iov, message->msg_iovlen, queue_of(op) != QUEUE_WRITE);
		break;
	case OP_CALL:
		hand_over_call(op->buffer);
		break;
	case OP_ACCEPT:
		if (op->buffer)
			buffer_check_writable(op->buffer, op->size);
	}
}

static void take_back_parts(const struct iovec *parts, size_t count, size_t left)
{
	for (size_t i = 0; i < count && left > 0; i++) {
		size_t size = least(left, parts[i].iov_len);

		(void)VALGRIND_MAKE_MEM_DEFINED(parts[i].iov_base, size);
		left -= size;
	}
}

static void take_back_message(struct msghdr *message, size_t name_room, size_t left)
{
	(void)VALGRIND_MAKE_MEM_DEFINED(message, sizeof(*message));
	take_back_parts(message->msg_iov, message->msg_iovlen, left);
	if (message->msg_name)
		(void)VALGRIND_MAKE_MEM_DEFINED(message->msg_name, least(message->msg_namelen, name_room));
	(void)VALGRIND_MAKE_MEM_DEFINED(message->msg_control, message->msg_controllen);
}

/* `size` is the room that was there for an address. */
void buffer_take_back_other(const struct op *op, int64_t result)
{
	const struct call *call = op->code == OP_CALL ? op->buffer : NULL;
	const struct msghdr *message = op->buffer;

	if (op->code == OP_READV) {
		take_back_parts(message->msg_iov, message->msg_iovlen, (size_t)result);
	} else if (op->code == OP_RECVMSG) {
		take_back_message(op->buffer, op->size, (size_t)result);
	} else if (call && call->code == CALL_PREADV) {
		take_back_parts(call->parts, (size_t)call->count, (size_t)result);
	} else if (call && call->code == CALL_STATX) {
		(void)VALGRIND_MAKE_MEM_DEFINED(call->buffer, sizeof(struct statx));
	} else if (op->code == OP_ACCEPT && op->buffer) {
		(void)VALGRIND_MAKE_MEM_DEFINED(op->length, sizeof(*op->length));
		(void)VALGRIND_MAKE_MEM_DEFINED(op->buffer, least(*op->length, op->size));
	}
}
