/* SPDX-License-Identifier: MIT */
#include "reactor/call.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "reactor/transfer.h"

/* Without a FIFO, the other end of which may never come. */
static int64_t open_file(const struct call *c)
{
	struct stat status;
	int flags = c->flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0;

	if (c->no_fifo && SYS("fstatat", fstatat(c->fd, c->path, &status, flags)) == 0 && S_ISFIFO(status.st_mode))
		return CALL_WOULD_WAIT;
	return SYS("openat", openat(c->fd, c->path, c->flags, c->mode));
}

const char *call_name(const struct call *call)
{
	static const char *const names[] = {
		[CALL_OPENAT] = "open",           [CALL_PREADV] = "pread",       [CALL_PWRITEV] = "pwrite",
		[CALL_FSYNC] = "fsync",           [CALL_FDATASYNC] = "fdatasync", [CALL_STATX] = "stat",
		[CALL_RENAMEAT] = "rename",       [CALL_UNLINKAT] = "unlink",    [CALL_MKDIRAT] = "mkdir",
		[CALL_TRUNCATE] = "truncate",     [CALL_FTRUNCATE] = "ftruncate", [CALL_GETDENTS] = "getdents",
		[CALL_SPLICE] = "splice",         [CALL_SENDFILE] = "sendfile",
	};

	return names[call->code];
}

static int64_t run_once(const struct call *c)
{
	switch ((enum call_code)c->code) {
	case CALL_OPENAT:
		return open_file(c);
	case CALL_PREADV:
		return SYS("preadv", preadv(c->fd, c->parts, c->count, c->offset));
	case CALL_PWRITEV:
		return SYS("pwritev", pwritev(c->fd, c->parts, c->count, c->offset));
	case CALL_FSYNC:
		return SYS("fsync", fsync(c->fd));
	case CALL_FDATASYNC:
		return SYS("fdatasync", fdatasync(c->fd));
	case CALL_STATX:
		return SYS("statx", statx(c->fd, c->path, c->flags, STATX_BASIC_STATS, c->buffer));
	case CALL_RENAMEAT:
		return SYS("renameat", renameat(c->fd, c->path, c->to_fd, c->to_path));
	case CALL_UNLINKAT:
		return SYS("unlinkat", unlinkat(c->fd, c->path, c->flags));
	case CALL_MKDIRAT:
		return SYS("mkdirat", mkdirat(c->fd, c->path, c->mode));
	case CALL_TRUNCATE:
		return SYS("truncate", truncate(c->path, c->offset));
	case CALL_FTRUNCATE:
		return SYS("ftruncate", ftruncate(c->fd, c->offset));
	case CALL_GETDENTS:
		return SYS("getdents64", getdents64(c->fd, c->buffer, c->size));
	case CALL_SPLICE:
	case CALL_SENDFILE:
		return transfer_splice(c);
	}
	return -ENOSYS;
}

int64_t call_run(const struct call *call)
{
	return RETRY_EINTR(run_once(call));
}

int64_t call_try(const struct call *c, bool direct)
{
	int64_t n = -EAGAIN;

	if (c->code == CALL_SPLICE || c->code == CALL_SENDFILE)
		n = c->to_kind == FD_FILE ? -EAGAIN : transfer_splice(c);
	else if (c->code == CALL_PREADV && !direct)
		n = RETRY_EINTR(SYS("preadv2", preadv2(c->fd, c->parts, c->count, c->offset, RWF_NOWAIT)));
	else if (c->code == CALL_PWRITEV && !direct)
		n = RETRY_EINTR(SYS("pwritev2", pwritev2(c->fd, c->parts, c->count, c->offset, RWF_NOWAIT)));
	return n == -EOPNOTSUPP ? -EAGAIN : n;
}
