/* SPDX-License-Identifier: MIT */
/* The options of a loop, those of the environment included. */
#include "harness.h"

#include <stdlib.h>

static int try_options(const struct async_options *options)
{
	async_loop *loop = NULL;
	int error = async_loop_new(options, &loop);

	assert_true((error == 0) == (loop != NULL));
	async_loop_free(loop);
	return error;
}

#define TRY(field, value) \
	({ \
		struct async_options options_ = test_options(); \
		options_.field = (value); \
		try_options(&options_); \
	})

static void options_have_limits(void **state)
{
	struct {
		struct async_options options;
		char more[8];
	} newer = {.options = test_options()};

	(void)state;
	assert_int_equal(async_loop_new(NULL, NULL), -EINVAL);
	assert_int_equal(try_options(NULL), 0);
	assert_int_equal(TRY(backend, (enum async_backend)99), -EINVAL);
	assert_int_equal(TRY(switch_kind, (enum async_switch)99), -EINVAL);
	assert_int_equal(TRY(clock, (enum async_clock)2), -EINVAL);
	assert_int_equal(TRY(stack_size, ASYNC_STACK_SIZE_MIN - 1), -EINVAL);
	assert_int_equal(TRY(stack_size, ASYNC_STACK_SIZE_MIN), 0);
	assert_int_equal(TRY(stack_size, ASYNC_STACK_SIZE_MAX), 0);
	assert_int_equal(TRY(stack_size, ASYNC_STACK_SIZE_MAX + 1), -EINVAL);
	assert_int_equal(TRY(max_workers, ASYNC_WORKERS_MAX), 0);
	assert_int_equal(TRY(max_workers, ASYNC_WORKERS_MAX + 1), -EINVAL);
	assert_int_equal(TRY(slow_task, -1), -EINVAL);
	assert_int_equal(TRY(shutdown_timeout, -1), -EINVAL);
	assert_int_equal(TRY(size, 0), -EINVAL);
	assert_int_equal(TRY(size, 100000), -EINVAL);
	/* An older program gives fewer fields, a newer one more, as long as it asks for nothing with them. */
	assert_int_equal(TRY(size, offsetof(struct async_options, slow_task)), 0);
	newer.options.size = sizeof(newer);
	assert_int_equal(try_options(&newer.options), 0);
	newer.more[7] = 1;
	assert_int_equal(try_options(&newer.options), -EINVAL);
}

static const char *backend_in(const char *environment, enum async_backend option)
{
	struct async_loop_stats stats = {.size = sizeof(stats)};
	struct async_options options = test_options();
	async_loop *loop;

	options.backend = option;
	setenv("ASYNC_BACKEND", environment, 1);
	int error = async_loop_new(&options, &loop);
	unsetenv("ASYNC_BACKEND");
	if (error)
		return error == -EINVAL ? "EINVAL" : "other error";
	/* Has the reactor opened. */
	assert_true(async_loop_fd(loop) >= 0);
	assert_int_equal(async_loop_get_stats(loop, &stats), 0);
	async_loop_free(loop);
	return stats.backend;
}

static void the_environment_chooses_the_backend(void **state)
{
	struct async_system_info info = {.size = sizeof(info)};

	(void)state;
	assert_int_equal(async_get_system_info(&info), 0);
	const char *automatic = info.io_uring ? "io_uring" : "epoll";
	assert_string_equal(backend_in("epoll", ASYNC_BACKEND_AUTO), "epoll");
	assert_string_equal(backend_in("io_uring", ASYNC_BACKEND_EPOLL), "epoll");
	assert_string_equal(backend_in("auto", ASYNC_BACKEND_AUTO), automatic);
	assert_string_equal(backend_in("", ASYNC_BACKEND_AUTO), automatic);
	char said[200];

	stderr_capture();
	assert_string_equal(backend_in("kqueue", ASYNC_BACKEND_AUTO), "EINVAL");
	assert_string_equal(backend_in("kqueue", ASYNC_BACKEND_AUTO), "EINVAL");
	stderr_release(said, sizeof(said));
	assert_string_equal(said, "async: ASYNC_BACKEND: 'kqueue' is unknown; expected auto, io_uring or epoll\n");
	if (info.io_uring)
		assert_string_equal(backend_in("io_uring", ASYNC_BACKEND_AUTO), "io_uring");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(options_have_limits),
		TEST(the_environment_chooses_the_backend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
