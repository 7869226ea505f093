/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define TASKS 64
#define READS 10000 /* of each */
#define BLOCK 4096
#define BLOCKS 1024

struct reader {
	int fd;
	uint64_t random;
};

static intptr_t read_blocks(void *arg)
{
	struct reader *reader = arg;
	char buffer[BLOCK];

	for (int i = 0; i < READS; i++) {
		reader->random = reader->random * 6364136223846793005u + 1442695040888963407u;
		ssize_t count = async_pread(reader->fd, buffer, BLOCK, (off_t)(reader->random >> 33) % BLOCKS * BLOCK);

		if (count != BLOCK)
			return count < 0 ? count : -EIO;
	}
	return 0;
}

static intptr_t read_all(void *arg)
{
	int fd = *(int *)arg;
	struct reader readers[TASKS];
	async_task *tasks[TASKS];

	for (int i = 0; i < TASKS; i++) {
		readers[i] = (struct reader){fd, (uint64_t)i};
		tasks[i] = async_create_task(read_blocks, &readers[i]);
	}
	return async_await(async_gather(tasks, TASKS, 0, NULL));
}

static int make_file(void)
{
	char path[] = "/tmp/asyncctl-bench.XXXXXX", block[BLOCK];
	int fd = mkstemp(path);

	if (fd < 0)
		return -errno;
	unlink(path);
	memset(block, 1, sizeof(block));
	for (int i = 0; i < BLOCKS; i++) {
		if (write(fd, block, BLOCK) != BLOCK) {
			close(fd);
			return -ENOSPC;
		}
	}
	return fd;
}

static int measure(const struct benchmark *benchmark, struct bench_result *result)
{
	struct async_options options = ASYNC_OPTIONS_INIT;
	int fd = make_file();
	double start = bench_now();

	if (fd < 0)
		return fd;
	options.backend = (enum async_backend)benchmark->parameter;
	int error = (int)async_run_with(read_all, &fd, &options);
	result->value = (double)TASKS * READS / ((bench_now() - start) / 1e9);
	close(fd);
	return error < 0 ? error : 0;
}

const struct benchmark bench_file[] = {
	{"file.cached.epoll", "reads/s", 5, "4 KiB each that are in memory, by 64 tasks", measure, ASYNC_BACKEND_EPOLL},
	{"file.cached.io_uring", "reads/s", 5, "the same", measure, ASYNC_BACKEND_IO_URING},
	{.name = NULL},
};
