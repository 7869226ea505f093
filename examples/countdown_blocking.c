/* SPDX-License-Identifier: MIT */
/* Three countdowns whose sleep blocks the thread: each waits for the one before, though all only wait. */
#include <async.h>
#include <stdio.h>
#include <time.h>

struct counter {
	const char *name;
	async_time delay;
};

static intptr_t countdown(void *arg)
{
	const struct counter *counter = arg;
	struct timespec delay = {.tv_nsec = counter->delay};

	for (int i = 3; i > 0; i--) {
		nanosleep(&delay, NULL);
		printf("%s = %d\n", counter->name, i);
	}
	return 0;
}

static intptr_t main_task(void *arg)
{
	struct counter c[] = {{"A", 100 * ASYNC_MS}, {"B", 80 * ASYNC_MS}, {"C", 50 * ASYNC_MS}};
	async_task *tasks[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		tasks[i] = async_create_task(countdown, &c[i]);
	return async_await(async_gather(tasks, 3, 0, NULL));
}

int main(void) { return async_run(main_task, NULL) < 0; }
