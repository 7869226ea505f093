/* SPDX-License-Identifier: MIT */
/* Reads of 4 KiB that are in memory, 64 at a time, by libuv: `read_uv FILE` prints how many a second, and
 * the processor time of one. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "processor_time.h"

enum { REQUESTS = 64, READS = 2000, BLOCK = 4096 };

struct request {
	uv_fs_t fs; /* first */
	uint64_t random;
	int left;
	char buffer[BLOCK];
};

static struct request requests[REQUESTS];
static int fd;
static off_t blocks;

static void next(uv_fs_t *fs)
{
	struct request *r = (struct request *)fs;
	uv_buf_t buffer = uv_buf_init(r->buffer, BLOCK);

	if (fs->result != BLOCK)
		exit(1);
	uv_fs_req_cleanup(fs);
	if (r->left-- == 0)
		return;
	r->random = r->random * 6364136223846793005u + 1442695040888963407u;
	uv_fs_read(uv_default_loop(), fs, fd, &buffer, 1, (int64_t)(r->random >> 33) % blocks * BLOCK, next);
}

int main(int argc, char **argv)
{
	fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return 2;
	blocks = lseek(fd, 0, SEEK_END) / BLOCK;
	uint64_t start = uv_hrtime();
	double cpu = processor_time();
	for (uint64_t i = 0; i < REQUESTS; i++) {
		requests[i].random = i;
		requests[i].left = READS;
		requests[i].fs.result = BLOCK;
		next(&requests[i].fs);
	}
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	printf("%.0f %.0f\n", 1e9 * REQUESTS * READS / (double)(uv_hrtime() - start),
	       (processor_time() - cpu) / (REQUESTS * READS));
	return 0;
}
