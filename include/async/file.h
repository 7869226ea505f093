/* SPDX-License-Identifier: MIT */
/*
 * Files, without holding up the loop while a disk works: the calls are those of POSIX, and async_read and async_write
 * read and write at the current position.
 *
 *     int fd = async_open("notes", O_RDWR | O_CREAT, 0600);
 *     ssize_t count = async_pwrite(fd, "hello", 5, 0);
 *     int error = count < 0 ? (int)count : async_fsync(fd);
 *
 * What is in memory is had at once where the kernel can say so; for the rest the task waits. A call that has begun
 * cannot be stopped: a task that is cancelled goes on when its call has ended, and if it succeeded it returns its
 * value; the cancellation comes from the next call that suspends.
 *
 * Each call returns -ECANCELED, -EPERM (outside a task), -EBADF (not open, or closed by async_close meanwhile),
 * -ENOMEM, -EAGAIN (no thread could be started), or what the kernel says.
 */
#ifndef ASYNC_FILE_H
#define ASYNC_FILE_H

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <async/base.h>

ASYNC_BEGIN_DECLS

/*
 * open(2) with O_CLOEXEC; `mode` counts with O_CREAT. Opening a FIFO waits for its other end, unless with O_NONBLOCK or
 * O_RDWR, in the task alone: it can be cancelled. That the other end has come is noticed after at most 32 ms.
 * Returns: the descriptor.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_open(const char *path, int flags, mode_t mode);
/* The same from a directory on. */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_openat(int dirfd, const char *path, int flags, mode_t mode);

/* Read and write at `offset`, which is >= 0. Returns: the count, which may be smaller; 0 at the end. */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_pread(int fd, void *buffer, size_t size, off_t offset);
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_pwrite(int fd, const void *buffer, size_t size, off_t offset);
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_preadv(int fd, const struct iovec *parts, int count, off_t offset);
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_pwritev(int fd, const struct iovec *parts, int count, off_t offset);

/* Wait until what was written is on the disk; async_fdatasync without what only describes the file. Return 0. */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_fsync(int fd);
ASYNC_EXPORT ASYNC_MUST_CHECK int async_fdatasync(int fd);

/* What is known of a file; async_lstat does not follow a link. Return 0. */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_stat(const char *path, struct stat *ret_stat);
ASYNC_EXPORT ASYNC_MUST_CHECK int async_lstat(const char *path, struct stat *ret_stat);
ASYNC_EXPORT ASYNC_MUST_CHECK int async_fstat(int fd, struct stat *ret_stat);

/* Names. Return 0. */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_rename(const char *from, const char *to);
ASYNC_EXPORT ASYNC_MUST_CHECK int async_unlink(const char *path);
ASYNC_EXPORT ASYNC_MUST_CHECK int async_mkdir(const char *path, mode_t mode);
ASYNC_EXPORT ASYNC_MUST_CHECK int async_rmdir(const char *path);

/* Make a file longer or shorter. Return 0. */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_truncate(const char *path, off_t length);
ASYNC_EXPORT ASYNC_MUST_CHECK int async_ftruncate(int fd, off_t length);

/* Reads entries of a directory: `buffer` gets struct dirent64s (getdents64(2)), one d_reclen after the other. The
 * directory is opened with O_DIRECTORY. Returns: the bytes, 0 at the end; -EINVAL (no room for one entry). */
ASYNC_EXPORT ASYNC_MUST_CHECK ssize_t async_getdents(int fd, void *buffer, size_t size);

ASYNC_END_DECLS

#endif
