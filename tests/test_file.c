/* SPDX-License-Identifier: MIT */
/* The calls on files, from tasks. */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"

static char directory[64], path[96], other[96];

static int make_directory(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/test_file.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/file", directory);
	snprintf(other, sizeof(other), "%s/other", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static void run(async_fn *fn)
{
	size_t before = open_descriptors();

	assert_int_equal(run_virtual(fn, NULL), 0);
	assert_int_equal(open_descriptors(), before);
}

static void close_now(int fd)
{
	assert_int_equal(async_close(fd), 0);
}

static intptr_t read_and_write(void *arg)
{
	char buffer[32] = "", tail[4] = "";
	struct iovec out[] = {{(char[]){"abc"}, 3}, {(char[]){"defg"}, 4}};
	struct iovec in[] = {{buffer, 5}, {tail, 2}};
	struct stat st;

	(void)arg;
	int fd = async_open(path, O_RDWR | O_CREAT | O_EXCL, 0640);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(async_open(path, O_RDWR | O_CREAT | O_EXCL, 0640), -EEXIST);
	assert_int_equal(async_pwrite(fd, "hello", 5, 10), 5);
	assert_int_equal(async_pread(fd, buffer, 32, 10), 5);
	assert_string_equal(buffer, "hello");
	assert_int_equal(async_pread(fd, buffer, 32, 15), 0);
	assert_int_equal(async_pread(fd, buffer, 3, 8), 3);
	assert_memory_equal(buffer, "\0\0h", 3);
	assert_int_equal(async_pwritev(fd, out, 2, 0), 7);
	assert_int_equal(async_preadv(fd, in, 2, 0), 7);
	assert_memory_equal(buffer, "abcde", 5);
	assert_memory_equal(tail, "fg", 2);
	/* None of them moves the position. */
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	assert_int_equal(async_fsync(fd), 0);
	assert_int_equal(async_fdatasync(fd), 0);
	assert_int_equal(async_fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 15);
	assert_int_equal(async_ftruncate(fd, 4), 0);
	assert_int_equal(async_stat(path, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(async_truncate(path, 2), 0);
	assert_int_equal(async_pread(fd, buffer, 32, 0), 2);
	close_now(fd);
	assert_int_equal(async_unlink(path), 0);
	assert_int_equal(async_stat(path, &st), -ENOENT);
	return 0;
}

static void files_are_read_and_written(void **state)
{
	(void)state;
	run(read_and_write);
}

static intptr_t use_names(void *arg)
{
	struct stat st;
	char buffer[1024];
	size_t seen = 0;

	(void)arg;
	assert_int_equal(async_mkdir(path, 0700), 0);
	assert_int_equal(async_mkdir(path, 0700), -EEXIST);
	assert_int_equal(async_rename(path, other), 0);
	assert_int_equal(async_rename(path, other), -ENOENT);
	assert_int_equal(async_unlink(other), -EISDIR);
	int fd = async_open(other, O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	for (int i = 0; i < 50; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		int file = async_openat(fd, name, O_WRONLY | O_CREAT, 0600);
		assert_true(file >= 0);
		close_now(file);
	}
	for (;;) {
		ssize_t count = async_getdents(fd, buffer, sizeof(buffer));

		assert_true(count >= 0);
		if (count == 0)
			break;
		for (ssize_t at = 0; at < count;) {
			const struct dirent64 *entry = (const void *)(buffer + at);

			at += entry->d_reclen;
			if (entry->d_name[0] == '.')
				continue;
			assert_int_equal(entry->d_type, DT_REG);
			assert_int_equal(unlinkat(fd, entry->d_name, 0), 0);
			seen++;
		}
	}
	assert_int_equal(seen, 50);
	assert_int_equal(async_getdents(fd, buffer, 1), 0);
	close_now(fd);
	assert_int_equal(symlink("nothing", path), 0);
	assert_int_equal(async_stat(path, &st), -ENOENT);
	assert_int_equal(async_lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(async_unlink(path), 0);
	assert_int_equal(async_rmdir(other), 0);
	assert_int_equal(async_rmdir(other), -ENOENT);
	return 0;
}

static void names_are_used(void **state)
{
	(void)state;
	run(use_names);
}

static intptr_t use_wrongly(void *arg)
{
	struct stat st;
	char buffer[8];
	int pipes[2];

	(void)arg;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(async_pread(pipes[0], buffer, 8, 0), -ESPIPE);
	assert_int_equal(async_pwrite(pipes[1], buffer, 0, 0), -ESPIPE);
	close_now(pipes[0]);
	close_now(pipes[1]);
	assert_int_equal(async_pread(-1, buffer, 8, 0), -EBADF);
	assert_int_equal(async_pread(1 << 20, buffer, 8, 0), -EBADF);
	assert_int_equal(async_pread(0, buffer, 8, -1), -EINVAL);
	assert_int_equal(async_preadv(0, NULL, 1, 0), -EINVAL);
	assert_int_equal(async_preadv(0, NULL, -1, 0), -EINVAL);
	assert_int_equal(async_fsync(-1), -EBADF);
	assert_int_equal(async_fstat(-1, &st), -EBADF);
	assert_int_equal(async_fstat(0, NULL), -EINVAL);
	assert_int_equal(async_stat(NULL, &st), -EINVAL);
	assert_int_equal(async_open(NULL, O_RDONLY, 0), -EINVAL);
	assert_int_equal(async_open("/nowhere/at/all", O_RDONLY, 0), -ENOENT);
	assert_int_equal(async_openat(1 << 20, "x", O_RDONLY, 0), -EBADF);
	assert_int_equal(async_rename("/tmp", NULL), -EINVAL);
	assert_int_equal(async_truncate("/tmp", 0), -EISDIR);
	/* The directory does not matter here. */
	int fd = async_openat(1 << 20, "/", O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	assert_int_equal(async_pread(fd, buffer, 8, 0), -EISDIR);
	close_now(fd);
	return 0;
}

static void wrong_use_is_an_error(void **state)
{
	char byte;

	(void)state;
	run(use_wrongly);
	assert_int_equal(async_pread(0, &byte, 1, 0), -EPERM);
	assert_int_equal(async_open("/", O_RDONLY, 0), -EPERM);
}

struct opening {
	intptr_t result;
};

static intptr_t open_once(void *arg)
{
	struct opening *opening = arg;

	opening->result = async_open(path, O_RDWR | O_CREAT, 0600);
	return opening->result;
}

/* It has succeeded, or it has not begun. */
static intptr_t cancel_opens(void *arg)
{
	(void)arg;
	for (int round = 0; round < 40; round++) {
		struct opening opening = {-ECANCELED};
		async_task *task = async_create_task(open_once, &opening);

		give_way(round % 5);
		async_cancel(task, NULL);
		intptr_t ended = async_await(task);
		assert_true(ended == opening.result || ended == -ECANCELED);
		if (opening.result >= 0)
			close_now((int)opening.result);
		else
			assert_int_equal(opening.result, -ECANCELED);
	}
	int error = async_unlink(path);
	return error == -ENOENT ? 0 : error;
}

static void cancelled_opens_lose_no_descriptor(void **state)
{
	(void)state;
	run(cancel_opens);
}

static intptr_t start_open(void *arg)
{
	async_release(async_create_task(open_once, arg));
	return async_sleep(0);
}

static void closing_loops_lose_no_descriptor(void **state)
{
	size_t before = open_descriptors();

	(void)state;
	for (int i = 0; i < 10; i++) {
		struct opening opening;
		async_loop *loop = loop_virtual();
		async_task *task = async_loop_create_task(loop, start_open, &opening, NULL);

		opening.result = -ECANCELED;
		assert_int_equal(async_loop_run_until_complete(loop, task), 0);
		loop_end(loop);
		if (opening.result >= 0)
			close((int)opening.result);
		assert_int_equal(open_descriptors(), before);
	}
	unlink(path);
}

struct block {
	int fd;
	off_t offset;
};

static intptr_t write_block(void *arg)
{
	const struct block *block = arg;
	char bytes[4096];

	memset(bytes, (int)(block->offset / 4096), sizeof(bytes));
	return async_pwrite(block->fd, bytes, sizeof(bytes), block->offset);
}

static intptr_t read_block(void *arg)
{
	const struct block *block = arg;
	char bytes[4096];
	ssize_t count = async_pread(block->fd, bytes, sizeof(bytes), block->offset);

	for (ssize_t i = 0; i < count; i++)
		if (bytes[i] != (char)(block->offset / 4096))
			return -EBADMSG;
	return count;
}

static intptr_t use_many_blocks(void *arg)
{
	struct block blocks[64];
	async_fn *const steps[] = {write_block, read_block};
	int fd = async_open(path, O_RDWR | O_CREAT, 0600);

	(void)arg;
	assert_true(fd >= 0);
	for (int step = 0; step < 2; step++) {
		async_task *tasks[64];

		for (int i = 0; i < 64; i++) {
			blocks[i] = (struct block){fd, i * 4096};
			tasks[i] = async_create_task(steps[step], &blocks[i]);
		}
		for (int i = 0; i < 64; i++)
			assert_int_equal(async_await(tasks[i]), 4096);
	}
	close_now(fd);
	return async_unlink(path);
}

static void many_work_at_once(void **state)
{
	(void)state;
	run(use_many_blocks);
}

static intptr_t use_direct_file(void *arg)
{
	static char blocks[2][4096] __attribute__((aligned(4096)));
	int fd = async_open(path, O_RDWR | O_CREAT | O_DIRECT, 0600);
	bool *unsupported = arg;

	/* The file is there all the same. */
	*unsupported = fd == -EINVAL;
	if (*unsupported)
		return async_unlink(path);
	assert_true(fd >= 0);
	memset(blocks[0], 'x', sizeof(blocks[0]));
	/* Nothing is tried: the disk would be waited for. */
	fault_count("preadv2");
	assert_int_equal(async_pwrite(fd, blocks[0], 4096, 4096), 4096);
	assert_int_equal(async_pread(fd, blocks[1], 4096, 4096), 4096);
	assert_int_equal(async_read(fd, blocks[1], 4096), 4096);
	assert_int_equal(fault_disarm(), 0);
	assert_int_equal(async_pread(fd, blocks[1], 4096, 4096), 4096);
	assert_memory_equal(blocks[0], blocks[1], 4096);
	close_now(fd);
	return async_unlink(path);
}

static void direct_files_are_not_tried(void **state)
{
	bool unsupported = false;

	(void)state;
	assert_int_equal(run_virtual(use_direct_file, &unsupported), 0);
	if (unsupported)
		skip();
}

/* Every call fails once. */

static intptr_t first_error(intptr_t a, intptr_t b)
{
	return a < 0 ? a : b < 0 ? b : 0;
}

static intptr_t work(void *arg)
{
	struct opening opening = {-ECANCELED};
	struct stat st;
	char buffer[8];
	int fd = async_open(path, O_RDWR | O_CREAT, 0600);
	intptr_t error = fd;

	(void)arg;
	if (fd >= 0) {
		error = first_error(error, async_pwrite(fd, "abc", 3, 0));
		error = first_error(error, async_pread(fd, buffer, 8, 0));
		error = first_error(error, async_fsync(fd));
		error = first_error(error, async_ftruncate(fd, 1));
		error = first_error(error, async_fstat(fd, &st));
		int closed = async_close(fd);
		if (closed == -EPERM || closed == -EBADF || closed == -ENOMEM)
			close(fd);
		error = first_error(error, closed);
	}
	error = first_error(error, async_await(async_create_task(open_once, &opening)));
	if (opening.result >= 0)
		close((int)opening.result);
	error = first_error(error, async_rename(path, other));
	error = first_error(error, async_unlink(other));
	return error;
}

static intptr_t work_once(void)
{
	intptr_t error = run_to_the_end(work);

	unlink(path);
	unlink(other);
	return error;
}

static void every_failure_is_survived(void **state)
{
	static const int errors[] = {-ENOMEM, -EMFILE, -EINTR, -EAGAIN, -EIO};

	(void)state;
	fail_every_call(work_once, errors, countof(errors));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(files_are_read_and_written),
		TEST(names_are_used),
		TEST(wrong_use_is_an_error),
		TEST(cancelled_opens_lose_no_descriptor),
		TEST(closing_loops_lose_no_descriptor),
		TEST(many_work_at_once),
		TEST(direct_files_are_not_tried),
		TEST(every_failure_is_survived),
	};
	struct async_system_info info = {.size = sizeof(info)};

	/* What the kernel offers is found out once for the process: not while something fails. */
	if (async_get_system_info(&info) < 0)
		return 1;
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
