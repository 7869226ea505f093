/* SPDX-License-Identifier: MIT */
/* A user's program, which tests/sanitizers.sh builds with a sanitizer: program SCENARIO. */
#include <async.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS 50
#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* Tasks whose frames come and go, are jumped over, and are left by a cancellation. */

static jmp_buf before;

__attribute__((noinline)) static void go_deep(int depth, volatile char *outer)
{
	volatile char block[300];

	memset((void *)block, depth, sizeof(block));
	if (depth > 0)
		go_deep(depth - 1, block);
	else if (outer)
		longjmp(before, 1);
}

__attribute__((noinline)) static int wait_below(int i)
{
	volatile char block[2000];

	memset((void *)block, i, sizeof(block));
	int error = async_sleep(ASYNC_MS);
	return error ? error : block[i];
}

static intptr_t come_and_go(void *arg)
{
	char local[64];

	for (int i = 0; i < 5; i++) {
		memset(local, (int)(intptr_t)arg, sizeof(local));
		int error = wait_below(i);
		if (error < 0)
			return error;
		if (!setjmp(before))
			go_deep(5, local);
		CHECK(local[5] == (char)(intptr_t)arg);
	}
	return 0;
}

static intptr_t tasks(void *arg)
{
	async_task *all[TASKS];

	(void)arg;
	for (int round = 0; round < 5; round++) {
		for (intptr_t i = 0; i < TASKS; i++)
			all[i] = async_create_task(come_and_go, (void *)i);
		CHECK(async_await(async_gather(all, TASKS, 0, NULL)) == TASKS);
		for (intptr_t i = 0; i < TASKS; i++)
			all[i] = async_create_task(come_and_go, (void *)i);
		CHECK(async_sleep(ASYNC_MS) == 0);
		for (int i = 0; i < TASKS; i++) {
			async_cancel(all[i], NULL);
			CHECK(async_await(all[i]) == -ECANCELED);
		}
	}
	return 0;
}

/* A loop that closes while tasks wait deep in their stacks; the stacks serve others. */

static intptr_t wait_for_ever(void *arg)
{
	volatile char block[1000];

	memset((void *)block, 1, sizeof(block));
	if (wait_below(0) < 0)
		return 1;
	return async_sleep(ASYNC_FOREVER) + block[0] + (intptr_t)arg;
}

static intptr_t leave_some(void *arg)
{
	(void)arg;
	for (int i = 0; i < TASKS; i++)
		async_release(async_create_task(wait_for_ever, NULL));
	return async_sleep(5 * ASYNC_MS);
}

static void ignore(const struct async_options *options)
{
	for (int round = 0; round < 3; round++) {
		async_loop *loop;

		CHECK(async_loop_new(options, &loop) == 0);
		CHECK(async_loop_run_until_complete(loop, async_loop_create_task(loop, leave_some, NULL, NULL)) == 0);
		CHECK(async_loop_close(loop) == 0);
		async_loop_free(loop);
	}
}

/* The program ends in the middle of everything: what stacks point to is in use. */

static intptr_t hold(void *arg)
{
	char *held = malloc(100);

	(void)arg;
	held[0] = 1;
	int error = async_sleep(ASYNC_S);
	held[1] = 2;
	free(held);
	return error;
}

static intptr_t end_of_all(void *arg)
{
	char *volatile held = malloc(200);

	(void)arg;
	held[0] = 1;
	for (int i = 0; i < TASKS; i++)
		async_release(async_create_task(hold, NULL));
	CHECK(async_sleep(ASYNC_MS) == 0);
	exit(0);
}

/* Memory that goes from thread to thread with what the library hands over. */

struct parcel {
	int value;
	async_loop *loop;
	async_future *done;
};

static intptr_t add_one(void *arg)
{
	struct parcel *parcel = arg;

	parcel->value++;
	return 0;
}

static void called_back(void *arg)
{
	struct parcel *parcel = arg;

	parcel->value++;
	async_future_set_result(parcel->done, 0);
}

static intptr_t add_in_loop(void *arg)
{
	struct parcel *parcel = arg;

	parcel->value++;
	return async_sleep(0);
}

static void *other_thread(void *arg)
{
	struct parcel *parcel = arg;
	async_concurrent *concurrent;

	parcel->value++;
	CHECK(async_run_coroutine_threadsafe(parcel->loop, add_in_loop, parcel, NULL, &concurrent) == 0);
	CHECK(async_concurrent_result(concurrent, ASYNC_FOREVER) == 0);
	async_concurrent_release(concurrent);
	parcel->value++;
	CHECK(async_loop_call_soon_threadsafe(parcel->loop, called_back, parcel) == 0);
	return NULL;
}

static intptr_t threads(void *arg)
{
	struct parcel parcel = {.loop = async_get_running_loop()};
	struct parcel many[TASKS] = {0};
	async_future *jobs[TASKS];

	(void)arg;
	for (int i = 0; i < 100; i++) {
		parcel.value++;
		CHECK(async_to_thread(add_one, &parcel) == 0);
	}
	CHECK(parcel.value == 200);
	for (int i = 0; i < TASKS; i++) {
		many[i].value = i;
		jobs[i] = async_run_in_executor(NULL, add_one, &many[i]);
	}
	CHECK(async_await(async_gather(jobs, TASKS, 0, NULL)) == TASKS);
	for (int i = 0; i < TASKS; i++)
		CHECK(many[i].value == i + 1);
	for (int i = 0; i < 20; i++) {
		pthread_t thread;

		parcel.value = 0;
		parcel.done = async_future_new(NULL, NULL);
		CHECK(pthread_create(&thread, NULL, other_thread, &parcel) == 0);
		CHECK(async_await(parcel.done) == 0);
		CHECK(parcel.value == 4);
		pthread_join(thread, NULL);
	}
	return 0;
}

/* What is wrong */

static intptr_t overflow(void *arg)
{
	volatile char block[16];
	volatile int beyond = 16 + (arg != NULL);

	CHECK(async_sleep(ASYNC_MS) == 0);
	block[beyond] = 1;
	return block[0];
}

static intptr_t leak(void *arg)
{
	char *volatile lost;

	(void)arg;
	lost = malloc(300);
	lost[0] = 1;
	CHECK(async_sleep(ASYNC_MS) == 0);
	lost = NULL;
	return lost != NULL;
}

static volatile int shared;
/* Orders nothing, but the job is not over, and back, before the task has had its turn. */
static atomic_bool begun;

static intptr_t touch(void *arg)
{
	(void)arg;
	while (!atomic_load_explicit(&begun, memory_order_relaxed))
		sched_yield();
	for (int i = 0; i < 1000; i++)
		shared = shared + 1;
	return 0;
}

static intptr_t race(void *arg)
{
	async_future *job = async_run_in_executor(NULL, touch, NULL);

	(void)arg;
	CHECK(async_sleep(0) == 0);
	for (int i = 0; i < 1000; i++)
		shared = shared + 1;
	atomic_store_explicit(&begun, true, memory_order_relaxed);
	return async_await(job);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		async_fn *fn;
	} scenarios[] = {{"tasks", tasks},       {"exit", end_of_all}, {"threads", threads},
			 {"overflow", overflow}, {"leak", leak},       {"race", race}};
	struct async_options options = ASYNC_OPTIONS_INIT;
	const char *name = argc > 1 ? argv[1] : "", *kind = getenv("ASYNC_TEST_SWITCH");

	options.switch_kind = kind && strcmp(kind, "ucontext") == 0 ? ASYNC_SWITCH_UCONTEXT : ASYNC_SWITCH_AUTO;
	options.max_workers = 4;
	/* Nothing depends on how fast an instrumented program is. */
	bool is_real = strcmp(name, "threads") == 0 || strcmp(name, "race") == 0;
	options.clock = is_real ? ASYNC_CLOCK_REAL : ASYNC_CLOCK_VIRTUAL;
	if (strcmp(name, "abandoned") == 0) {
		ignore(&options);
		return 0;
	}
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		if (strcmp(name, scenarios[i].name) == 0)
			return async_run_with(scenarios[i].fn, NULL, &options) != 0;
	return 2;
}
