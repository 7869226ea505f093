/* SPDX-License-Identifier: MIT */
/*
 * A call on files, prepared: it may wait for a disk, and for nothing else. Where io_uring does not know it, and with
 * epoll, a worker carries it out.
 */
#ifndef REACTOR_CALL_H
#define REACTOR_CALL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum call_code {
	CALL_OPENAT,
	CALL_PREADV,
	CALL_PWRITEV,
	CALL_FSYNC,
	CALL_FDATASYNC,
	CALL_STATX,    /* `buffer` is a struct statx, filled as stat(2) would */
	CALL_RENAMEAT,
	CALL_UNLINKAT,
	CALL_MKDIRAT,
	CALL_TRUNCATE,
	CALL_FTRUNCATE,
	CALL_GETDENTS,
	CALL_SPLICE,   /* from `fd` to `to_fd`, at most `size` bytes */
	CALL_SENDFILE,
};

/* The result of these two where they have to wait for a pipe or a socket, not for a disk; and of CALL_OPENAT where it
 * shall not wait for the other end of a FIFO. */
#define CALL_WOULD_WAIT (-ERESTART)

/* What each code uses of it is what its system call has. */
struct call {
	uint8_t code; /* enum call_code */
	int fd, to_fd;
	const char *path, *to_path;
	struct iovec *parts;
	int count;
	void *buffer;
	size_t size;
	int64_t offset; /* >= 0 with CALL_PREADV and CALL_PWRITEV */
	int flags;
	mode_t mode;
	bool no_fifo; /* CALL_OPENAT: a FIFO is not opened. A ring opens it without waiting instead */
	off_t *from, *to; /* of the two descriptors; NULL: the current position */
	uint8_t kind, to_kind; /* enum fd_kind */
};

/* What it is called in a report: "open" … */
const char *call_name(const struct call *call);

/* Carries it out, waiting as long as it takes. */
int64_t call_run(const struct call *call);

/* Its result if it needs no waiting, else -EAGAIN. `direct`: as fd_entry has it. */
int64_t call_try(const struct call *call, bool direct);

#endif
