/* SPDX-License-Identifier: MIT */
/* Tells the test runner why io_uring cannot be tested here, or nothing. Asks the kernel and not the library,
 * whose own answer is among the things tested. */
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	struct io_uring_params params = {0};
	long fd = syscall(__NR_io_uring_setup, 2, &params);

	if (fd < 0)
		printf("the kernel refuses it: %s\n", strerror(errno));
	return 0;
}
