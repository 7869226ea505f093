/* SPDX-License-Identifier: MIT */
/* Calls on files as io_uring knows them. It has no use for the others: it would give them to a thread, as we do. */
#ifdef HAVE_LIBURING
#include "reactor/uring_impl.h"

#include <fcntl.h>

/* Of kernels from 6.9 on; headers may be older. */
#define OP_FTRUNCATE 55

static const uint8_t opcodes[] = {
	[CALL_OPENAT] = IORING_OP_OPENAT,     [CALL_PREADV] = IORING_OP_READV,      [CALL_PWRITEV] = IORING_OP_WRITEV,
	[CALL_FSYNC] = IORING_OP_FSYNC,       [CALL_FDATASYNC] = IORING_OP_FSYNC,   [CALL_STATX] = IORING_OP_STATX,
	[CALL_RENAMEAT] = IORING_OP_RENAMEAT, [CALL_UNLINKAT] = IORING_OP_UNLINKAT, [CALL_MKDIRAT] = IORING_OP_MKDIRAT,
	[CALL_TRUNCATE] = IORING_OP_NOP,      [CALL_FTRUNCATE] = OP_FTRUNCATE,      [CALL_GETDENTS] = IORING_OP_NOP,
	[CALL_SPLICE] = IORING_OP_NOP,        [CALL_SENDFILE] = IORING_OP_NOP,
};

/* The kernel gives these to a thread of its own at once, which then waits for a FIFO's other end. */
#define WAITING_FLAGS (O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

bool uring_knows_call(const struct call *call)
{
	int opcode = opcodes[call->code];

	if (call->no_fifo && call->flags & WAITING_FLAGS)
		return false;

	return opcode != IORING_OP_NOP && uring_has_opcode(opcode);
}

void uring_prepare_call(struct io_uring_sqe *sqe, const struct call *c)
{
	switch ((enum call_code)c->code) {
	case CALL_OPENAT:
		io_uring_prep_openat(sqe, c->fd, c->path, c->flags, c->mode);
		break;
	case CALL_PREADV:
		io_uring_prep_readv(sqe, c->fd, c->parts, (unsigned)c->count, (uint64_t)c->offset);
		break;
	case CALL_PWRITEV:
		io_uring_prep_writev(sqe, c->fd, c->parts, (unsigned)c->count, (uint64_t)c->offset);
		break;
	case CALL_FSYNC:
		io_uring_prep_fsync(sqe, c->fd, 0);
		break;
	case CALL_FDATASYNC:
		io_uring_prep_fsync(sqe, c->fd, IORING_FSYNC_DATASYNC);
		break;
	case CALL_RENAMEAT:
		io_uring_prep_renameat(sqe, c->fd, c->path, c->to_fd, c->to_path, 0);
		break;
	case CALL_UNLINKAT:
		io_uring_prep_unlinkat(sqe, c->fd, c->path, c->flags);
		break;
	case CALL_MKDIRAT:
		io_uring_prep_mkdirat(sqe, c->fd, c->path, c->mode);
		break;
	case CALL_STATX:
		io_uring_prep_statx(sqe, c->fd, c->path, c->flags, STATX_BASIC_STATS, c->buffer);
		break;
	case CALL_FTRUNCATE:
		io_uring_prep_rw(OP_FTRUNCATE, sqe, c->fd, NULL, 0, (uint64_t)c->offset);
		break;
	default:
		io_uring_prep_nop(sqe);
	}
}
#endif
