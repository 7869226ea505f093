/* SPDX-License-Identifier: MIT */
/* The same checks on the worker pool, where computation belongs: the loop stays free. */
#include <async.h>
#include <inttypes.h>
#include <stdio.h>

static intptr_t is_prime(void *arg)
{
	uint64_t n = *(uint64_t *)arg;

	if (n < 4 || n % 2 == 0)
		return n == 2 || n == 3;
	for (uint64_t d = 3; d <= n / d; d += 2)
		if (n % d == 0)
			return 0;
	return 1;
}

static intptr_t check(void *arg)
{
	uint64_t n = *(uint64_t *)arg;

	printf("Processing %" PRIu64 "...\n", n);
	printf("%" PRIu64 " is %s prime number.\n", n, async_to_thread(is_prime, &n) > 0 ? "a" : "not a");
	return 0;
}

static intptr_t main_task(void *arg)
{
	uint64_t n[] = {9637529763296797, 427920331, 157};
	async_task *tasks[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		tasks[i] = async_create_task(check, &n[i]);
	return async_await(async_gather(tasks, 3, 0, NULL));
}

int main(void) { return async_run(main_task, NULL) < 0; }
