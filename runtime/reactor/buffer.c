/* SPDX-License-Identifier: MIT */
#include "reactor/buffer.h"

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void hand_over_message(const struct msghdr *message, bool receives)
{
	for (size_t i = 0; i < message->msg_iovlen; i++) {
		const struct iovec *part = &message->msg_iov[i];

		if (receives)
			buffer_check_writable(part->iov_base, part->iov_len);
		else
			buffer_check_readable(part->iov_base, part->iov_len);
	}
}

void buffer_hand_over_socket(const struct op *op)
{
	switch (op->code) {
	case OP_RECV:
		buffer_check_writable(op->buffer, op->size);
		break;
	case OP_SEND:
	case OP_CONNECT:
		buffer_check_readable(op->buffer, op->size);
		break;
	case OP_RECVMSG:
	case OP_SENDMSG:
		hand_over_message(op->buffer, op->code == OP_RECVMSG);
		break;
	case OP_ACCEPT:
		if (op->buffer)
			buffer_check_writable(op->buffer, op->size);
	}
}

static void take_back_message(struct msghdr *message, size_t name_room, size_t left)
{
	(void)VALGRIND_MAKE_MEM_DEFINED(message, sizeof(*message));
	for (size_t i = 0; i < message->msg_iovlen && left > 0; i++) {
		size_t size = least(left, message->msg_iov[i].iov_len);

		(void)VALGRIND_MAKE_MEM_DEFINED(message->msg_iov[i].iov_base, size);
		left -= size;
	}
	if (message->msg_name)
		(void)VALGRIND_MAKE_MEM_DEFINED(message->msg_name, least(message->msg_namelen, name_room));
	(void)VALGRIND_MAKE_MEM_DEFINED(message->msg_control, message->msg_controllen);
}

/* `size` is the room that was there for an address. */
void buffer_take_back_socket(const struct op *op, int64_t result)
{
	if (op->code == OP_RECV) {
		(void)VALGRIND_MAKE_MEM_DEFINED(op->buffer, least((size_t)result, op->size));
	} else if (op->code == OP_RECVMSG) {
		take_back_message(op->buffer, op->size, (size_t)result);
	} else if (op->code == OP_ACCEPT && op->buffer) {
		(void)VALGRIND_MAKE_MEM_DEFINED(op->length, sizeof(*op->length));
		(void)VALGRIND_MAKE_MEM_DEFINED(op->buffer, least(*op->length, op->size));
	}
}
