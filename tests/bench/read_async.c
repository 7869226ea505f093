/* SPDX-License-Identifier: MIT */
/* Reads of 4 KiB that are in memory, by 64 tasks: `read_async epoll|io_uring FILE` prints how many a second, and
 * the processor time of one. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <async.h>

#include "peers/processor_time.h"

enum { TASKS = 64, READS = 8000, BLOCK = 4096 };

static int fd;
static off_t blocks;

static intptr_t reader(void *arg)
{
	uint64_t random = (uint64_t)(uintptr_t)arg;
	char buffer[BLOCK];

	for (int i = 0; i < READS; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		if (async_pread(fd, buffer, BLOCK, (off_t)(random >> 33) % blocks * BLOCK) != BLOCK)
			exit(1);
	}
	return 0;
}

static intptr_t read_all(void *arg)
{
	async_task *tasks[TASKS];

	fd = async_open(arg, O_RDONLY, 0);
	blocks = lseek(fd, 0, SEEK_END) / BLOCK;
	async_time start = async_loop_time(NULL);
	double cpu = processor_time();
	for (uintptr_t i = 0; i < TASKS; i++)
		tasks[i] = async_create_task(reader, (void *)i);
	intptr_t error = async_await(async_gather(tasks, TASKS, 0, NULL));
	printf("%.0f %.0f\n", (double)TASKS * READS * ASYNC_S / (double)(async_loop_time(NULL) - start),
	       (processor_time() - cpu) / (TASKS * READS));
	return error;
}

int main(int argc, char **argv)
{
	struct async_options options = ASYNC_OPTIONS_INIT;

	if (argc != 3)
		return 2;
	options.backend = strcmp(argv[1], "epoll") == 0 ? ASYNC_BACKEND_EPOLL : ASYNC_BACKEND_IO_URING;
	return async_run_with(read_all, argv[2], &options) < 0;
}
