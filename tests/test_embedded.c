/* SPDX-License-Identifier: MIT */
/* A loop inside another one: one iteration at a time, and a descriptor that says when. */
#include "harness.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#define WORD(text) ((void *)(uintptr_t)(text))

static void call_b(void *arg)
{
	note("a");
	assert_int_equal(async_loop_call_soon(async_get_running_loop(), note_callback, arg, NULL), 0);
}

struct foreign {
	async_loop *loop;
	async_future *future;
};

static bool readable(int fd, int timeout)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	return poll(&pollfd, 1, timeout) == 1;
}

/* As a foreign loop does: until `done`, run when the descriptor is readable. */
static void drive(async_loop *loop, const bool *done)
{
	int fd = async_loop_fd(loop);

	assert_true(fd >= 0);
	while (!*done) {
		assert_true(readable(fd, -1));
		assert_true(async_loop_run_once(loop) >= 0);
	}
}

static void set_flag(void *arg)
{
	*(bool *)arg = true;
}

static intptr_t sleep_then_flag(void *arg)
{
	give_way(2);
	int result = async_sleep(ASYNC_MS);

	*(bool *)arg = true;
	return result;
}

static void *call_from_thread(void *arg)
{
	async_loop_call_soon_threadsafe(((struct foreign *)arg)->loop, set_flag, ((struct foreign *)arg)->future);
	return NULL;
}

static void an_embedded_loop_tells_when_to_run(void **state)
{
	async_loop *loop = loop_real();
	int fd = async_loop_fd(loop);
	bool done = false;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(async_loop_fd(loop), fd);
	while (readable(fd, 0))
		assert_int_equal(async_loop_run_once(loop), 0);

	async_loop_call_soon(loop, set_flag, &done, NULL);
	drive(loop, &done);
	done = false;
	async_loop_call_later(loop, ASYNC_MS, set_flag, &done, NULL);
	drive(loop, &done);
	done = false;
	async_task *task = async_loop_create_task(loop, sleep_then_flag, &done, NULL);
	drive(loop, &done);
	assert_true(async_done(task));
	assert_int_equal(async_result(task), 0);
	async_release(task);

	done = false;
	struct foreign foreign = {loop, (void *)&done};
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, call_from_thread, &foreign), 0);
	drive(loop, &done);
	pthread_join(thread, NULL);

	async_handle *handle;
	done = false;
	assert_int_equal(async_handle_new(loop, set_flag, &done, &handle), 0);
	assert_int_equal(async_handle_post(handle), 0);
	drive(loop, &done);
	async_handle_release(handle);

	/* Nothing to do: not readable. */
	while (readable(fd, 0))
		assert_int_equal(async_loop_run_once(loop), 0);
	assert_false(readable(fd, 0));
	loop_end(loop);
}

static intptr_t read_pipe(void *arg)
{
	char c;

	return async_read(*(int *)arg, &c, 1) == 1 ? c : -EIO;
}

static void an_embedded_loop_hears_of_descriptors(void **state)
{
	async_loop *loop = loop_real();
	int fd = async_loop_fd(loop), pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	async_task *task = async_loop_create_task(loop, read_pipe, &pipes[0], NULL);
	/* The task starts and waits; nothing is left to do. */
	while (readable(fd, 0))
		assert_true(async_loop_run_once(loop) >= 0);
	assert_false(async_done(task));
	assert_int_equal(write(pipes[1], "k", 1), 1);
	while (!async_done(task)) {
		assert_true(readable(fd, -1));
		assert_true(async_loop_run_once(loop) >= 0);
	}
	assert_int_equal(async_result(task), 'k');
	async_release(task);
	close(pipes[0]);
	close(pipes[1]);
	loop_end(loop);
}

static void run_once_is_one_iteration(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	assert_int_equal(async_loop_run_once(loop), 0);
	async_loop_call_soon(loop, call_b, WORD("b"), NULL);
	assert_int_equal(async_loop_run_once(loop), 1);
	assert_noted("a");
	assert_int_equal(async_loop_run_once(loop), 0);
	assert_noted("b");
	assert_int_equal(async_loop_run_once(NULL), -EINVAL);
	assert_int_equal(async_loop_fd(NULL), -EINVAL);
	loop_end(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(run_once_is_one_iteration),
		TEST(an_embedded_loop_tells_when_to_run),
		TEST(an_embedded_loop_hears_of_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
