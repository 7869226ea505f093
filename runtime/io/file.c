/* SPDX-License-Identifier: MIT */
#include <async/file.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sysmacros.h>

#include "io/fd.h"
#include "io/fifo.h"
#include "reactor/call.h"

static int64_t perform_on(int fd, struct call *call)
{
	call->fd = fd;
	return fd < 0 ? -EBADF : fd_perform_call(fd, call);
}

static int64_t perform_at(const char *path, struct call *call)
{
	call->fd = AT_FDCWD;
	call->path = path;
	return path ? fd_perform_call(-1, call) : -EINVAL;
}

int async_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	struct call call = {
		.code = CALL_OPENAT, .fd = dirfd, .path = path, .flags = flags | O_CLOEXEC, .mode = mode};

	if (!path)
		return -EINVAL;
	call.no_fifo = fifo_open_waits(flags);
	/* The directory of an absolute path means nothing. */
	int fd = (int)fd_perform_call(path[0] == '/' ? -1 : dirfd, &call);
	return call.no_fifo ? fifo_open(&call, fd) : fd;
}

int async_open(const char *path, int flags, mode_t mode)
{
	return async_openat(AT_FDCWD, path, flags, mode);
}

static ssize_t transfer(enum call_code code, int fd, const struct iovec *parts, int count, off_t offset)
{
	if (count < 0 || count > IOV_MAX || (count > 0 && !parts) || offset < 0)
		return -EINVAL;
	/* The call only reads the array. */
	return perform_on(fd, &(struct call){
		.code = (uint8_t)code, .parts = (struct iovec *)(uintptr_t)parts, .count = count, .offset = offset});
}

ssize_t async_preadv(int fd, const struct iovec *parts, int count, off_t offset)
{
	return transfer(CALL_PREADV, fd, parts, count, offset);
}

ssize_t async_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	return transfer(CALL_PWRITEV, fd, parts, count, offset);
}

ssize_t async_pread(int fd, void *buffer, size_t size, off_t offset)
{
	return async_preadv(fd, &(struct iovec){.iov_base = buffer, .iov_len = size}, 1, offset);
}

ssize_t async_pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
	const struct iovec part = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};

	return async_pwritev(fd, &part, 1, offset);
}

int async_fsync(int fd)
{
	return (int)perform_on(fd, &(struct call){.code = CALL_FSYNC});
}

int async_fdatasync(int fd)
{
	return (int)perform_on(fd, &(struct call){.code = CALL_FDATASYNC});
}

static struct timespec timespec_of(struct statx_timestamp time)
{
	return (struct timespec){.tv_sec = time.tv_sec, .tv_nsec = time.tv_nsec};
}

static struct stat stat_of(const struct statx *from)
{
	return (struct stat){
		.st_dev = makedev(from->stx_dev_major, from->stx_dev_minor),
		.st_ino = from->stx_ino,
		.st_nlink = from->stx_nlink,
		.st_mode = from->stx_mode,
		.st_uid = from->stx_uid,
		.st_gid = from->stx_gid,
		.st_rdev = makedev(from->stx_rdev_major, from->stx_rdev_minor),
		.st_size = (off_t)from->stx_size,
		.st_blksize = (blksize_t)from->stx_blksize,
		.st_blocks = (blkcnt_t)from->stx_blocks,
		.st_atim = timespec_of(from->stx_atime),
		.st_mtim = timespec_of(from->stx_mtime),
		.st_ctim = timespec_of(from->stx_ctime),
	};
}

/* Of `path`, or with AT_EMPTY_PATH of `fd` itself. */
static int stat_file(int fd, const char *path, struct stat *ret_stat, int flags)
{
	struct statx extended;
	struct call call = {.code = CALL_STATX, .path = path, .buffer = &extended, .flags = flags | AT_NO_AUTOMOUNT};

	if (!ret_stat)
		return -EINVAL;
	int error = (int)(flags & AT_EMPTY_PATH ? perform_on(fd, &call) : perform_at(path, &call));
	if (error == 0)
		*ret_stat = stat_of(&extended);
	return error;
}

int async_stat(const char *path, struct stat *ret_stat)
{
	return stat_file(AT_FDCWD, path, ret_stat, 0);
}

int async_lstat(const char *path, struct stat *ret_stat)
{
	return stat_file(AT_FDCWD, path, ret_stat, AT_SYMLINK_NOFOLLOW);
}

int async_fstat(int fd, struct stat *ret_stat)
{
	return stat_file(fd, "", ret_stat, AT_EMPTY_PATH);
}

int async_rename(const char *from, const char *to)
{
	if (!to)
		return -EINVAL;
	return (int)perform_at(from, &(struct call){.code = CALL_RENAMEAT, .to_fd = AT_FDCWD, .to_path = to});
}

int async_unlink(const char *path)
{
	return (int)perform_at(path, &(struct call){.code = CALL_UNLINKAT});
}

int async_rmdir(const char *path)
{
	return (int)perform_at(path, &(struct call){.code = CALL_UNLINKAT, .flags = AT_REMOVEDIR});
}

int async_mkdir(const char *path, mode_t mode)
{
	return (int)perform_at(path, &(struct call){.code = CALL_MKDIRAT, .mode = mode});
}

int async_truncate(const char *path, off_t length)
{
	return (int)perform_at(path, &(struct call){.code = CALL_TRUNCATE, .offset = length});
}

int async_ftruncate(int fd, off_t length)
{
	return (int)perform_on(fd, &(struct call){.code = CALL_FTRUNCATE, .offset = length});
}

ssize_t async_getdents(int fd, void *buffer, size_t size)
{
	if (!buffer)
		return -EINVAL;
	return perform_on(fd, &(struct call){.code = CALL_GETDENTS, .buffer = buffer, .size = size});
}
