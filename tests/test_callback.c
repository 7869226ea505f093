/* SPDX-License-Identifier: MIT */
/* Calls that a loop makes: their order, their cancellation, handles. */
#include "harness.h"

#define WORD(text) ((void *)(uintptr_t)(text))

static void stop_running(void *arg)
{
	(void)arg;
	note("stop");
	async_loop_stop(async_get_running_loop());
}

/* Runs exactly one iteration. */
static void run_one(async_loop *loop)
{
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
}

static void call_b(void *arg)
{
	note("a");
	assert_int_equal(async_loop_call_soon(async_get_running_loop(), note_callback, arg, NULL), 0);
}

static void calls_run_in_order(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	async_loop_call_soon(loop, call_b, WORD("d"), NULL);
	async_loop_call_soon(loop, note_callback, WORD("b"), NULL);
	async_loop_call_soon(loop, note_callback, WORD("c"), NULL);
	run_one(loop);
	/* What an iteration schedules is for the next. */
	assert_noted("a b c");
	run_one(loop);
	assert_noted("d");
	loop_end(loop);
}

static void timed_calls_run_in_order(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	async_loop_call_later(loop, 30, note_callback, WORD("30"), NULL);
	async_loop_call_later(loop, 10, note_callback, WORD("10"), NULL);
	async_loop_call_at(loop, 10, note_callback, WORD("10b"), NULL);
	async_loop_call_later(loop, 20, note_callback, WORD("20"), NULL);
	async_loop_call_later(loop, 10, note_callback, WORD("10c"), NULL);
	async_loop_call_later(loop, 0, note_callback, WORD("0"), NULL);
	async_loop_call_later(loop, -7, note_callback, WORD("-7"), NULL);
	async_loop_call_later(loop, ASYNC_FOREVER, note_callback, WORD("never"), NULL);
	async_loop_call_at(loop, 40, stop_running, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	/* A deadline that has passed comes before one that passes now, whichever was set first. */
	assert_noted("-7 0 10 10b 10c 20 30 stop");
	assert_int_equal(async_loop_time(loop), 40);
	loop_end(loop);
}

static void calls_need_an_open_loop_and_a_function(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *handle = NULL;

	(void)state;
	assert_int_equal(async_loop_call_soon(loop, NULL, NULL, &handle), -EINVAL);
	assert_int_equal(async_loop_call_later(loop, 1, NULL, NULL, &handle), -EINVAL);
	assert_int_equal(async_loop_call_at(loop, 1, NULL, NULL, &handle), -EINVAL);
	assert_int_equal(async_loop_call_soon_threadsafe(loop, NULL, NULL), -EINVAL);
	assert_int_equal(async_loop_call_soon(NULL, note_callback, NULL, &handle), -EINVAL);
	assert_int_equal(async_handle_new(loop, NULL, NULL, &handle), -EINVAL);
	assert_int_equal(async_handle_new(loop, note_callback, NULL, NULL), -EINVAL);
	assert_null(handle);
	assert_int_equal(async_loop_close(loop), 0);
	assert_int_equal(async_loop_call_soon(loop, note_callback, NULL, &handle), -ESHUTDOWN);
	assert_int_equal(async_loop_call_later(loop, 1, note_callback, NULL, &handle), -ESHUTDOWN);
	assert_int_equal(async_loop_call_at(loop, 1, note_callback, NULL, &handle), -ESHUTDOWN);
	assert_int_equal(async_loop_call_soon_threadsafe(loop, note_callback, NULL), -ESHUTDOWN);
	assert_int_equal(async_handle_new(loop, note_callback, NULL, &handle), -ESHUTDOWN);
	assert_null(handle);
	async_loop_free(loop);
}

static void cancel_handle(void *arg)
{
	note("cancel");
	async_handle_cancel(arg);
}

static void a_call_can_be_cancelled_inside_its_batch(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *soon, *later, *due;

	(void)state;
	async_loop_call_later(loop, 5, note_callback, WORD("due"), &due);
	async_loop_call_later(loop, 100, note_callback, WORD("later"), &later);
	async_loop_call_soon(loop, note_callback, WORD("before"), NULL);
	async_loop_call_soon(loop, note_callback, WORD("soon"), &soon);
	async_handle_cancel(soon);
	assert_true(async_handle_cancelled(soon));
	assert_false(async_handle_cancelled(later));
	/* Due in the same iteration as the one that cancels it, behind it. */
	async_handle *also_due;
	async_loop_call_at(loop, 50, cancel_handle, later, NULL);
	async_loop_call_later(loop, 60, note_callback, WORD("x"), &also_due);
	async_handle_cancel(also_due);
	async_handle_cancel(also_due);
	async_loop_call_later(loop, 200, stop_running, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("before due cancel stop");
	/* Safe after it ran. */
	async_handle_cancel(due);
	assert_true(async_handle_cancelled(due));
	async_handle_release(soon);
	async_handle_release(later);
	async_handle_release(due);
	async_handle_release(also_due);
	async_handle_cancel(NULL);
	async_handle_release(NULL);
	assert_false(async_handle_cancelled(NULL));
	loop_end(loop);
}

static void a_timed_call_is_cancelled_by_an_earlier_one(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *timed;

	(void)state;
	async_loop_call_at(loop, 10, note_callback, WORD("first"), NULL);
	async_loop_call_at(loop, 20, note_callback, WORD("timed"), &timed);
	async_loop_call_at(loop, 15, cancel_handle, timed, NULL);
	async_loop_call_at(loop, 30, stop_running, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("first cancel stop");
	async_handle_release(timed);
	loop_end(loop);
}

struct pair {
	async_handle *handle;
};

static void cancel_pair(void *arg)
{
	note("first");
	async_handle_cancel(((struct pair *)arg)->handle);
}

static void a_call_of_the_same_batch_is_cancelled(void **state)
{
	async_loop *loop = loop_virtual();
	struct pair soon, due;

	(void)state;
	async_loop_call_soon(loop, cancel_pair, &soon, NULL);
	async_loop_call_soon(loop, note_callback, WORD("second"), &soon.handle);
	async_loop_call_soon(loop, note_callback, WORD("third"), NULL);
	run_one(loop);
	assert_noted("first third");
	async_loop_call_at(loop, 10, cancel_pair, &due, NULL);
	async_loop_call_at(loop, 10, note_callback, WORD("second"), &due.handle);
	async_loop_call_at(loop, 10, stop_running, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("first stop");
	async_handle_release(soon.handle);
	async_handle_release(due.handle);
	loop_end(loop);
}

static void post_again(void *arg)
{
	struct pair *pair = arg;

	note("posted");
	assert_int_equal(async_handle_post(pair->handle), 0);
	async_handle_cancel(pair->handle);
}

static void a_prepared_handle_is_posted(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *handle, *local;
	struct pair again;

	(void)state;
	assert_int_equal(async_handle_new(loop, note_callback, WORD("post"), &handle), 0);
	run_one(loop);
	assert_noted("");
	/* Several posts before the callback ran are one call, those after it another one. */
	assert_int_equal(async_handle_post(handle), 0);
	assert_int_equal(async_handle_post(handle), 0);
	run_one(loop);
	assert_noted("post");
	assert_int_equal(async_handle_post(handle), 0);
	run_one(loop);
	run_one(loop);
	assert_noted("post");
	/* A cancelled one is never called again. */
	assert_int_equal(async_handle_post(handle), 0);
	async_handle_cancel(handle);
	run_one(loop);
	assert_noted("");

	assert_int_equal(async_handle_new(loop, post_again, &again, &again.handle), 0);
	assert_int_equal(async_handle_post(again.handle), 0);
	run_one(loop);
	run_one(loop);
	assert_noted("posted");
	async_handle_release(again.handle);

	assert_int_equal(async_loop_call_soon(loop, note_callback, WORD("local"), &local), 0);
	assert_int_equal(async_handle_post(local), -EINVAL);
	assert_int_equal(async_handle_post(NULL), -EINVAL);
	async_handle_release(local);
	assert_int_equal(async_loop_close(loop), 0);
	assert_int_equal(async_handle_post(handle), -ESHUTDOWN);
	async_handle_release(handle);
	async_loop_free(loop);
	assert_noted("");
}

static void a_posted_handle_may_be_released(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *handle;

	(void)state;
	assert_int_equal(async_handle_new(loop, note_callback, (void *)(uintptr_t)"posted", &handle), 0);
	assert_int_equal(async_handle_post(handle), 0);
	async_handle_release(handle);
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("posted");
	loop_end(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(calls_run_in_order),
		TEST(timed_calls_run_in_order),
		TEST(calls_need_an_open_loop_and_a_function),
		TEST(a_call_can_be_cancelled_inside_its_batch),
		TEST(a_timed_call_is_cancelled_by_an_earlier_one),
		TEST(a_call_of_the_same_batch_is_cancelled),
		TEST(a_prepared_handle_is_posted),
		TEST(a_posted_handle_may_be_released),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
