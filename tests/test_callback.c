/* SPDX-License-Identifier: MIT */
/* Calls that a loop makes: their order, their cancellation, handles. */
#include "harness.h"

#include "base/fault.h"

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

/* Arguments that are destroyed if the call is never made. Each test counts both: one of them happens, once. */

static void destroy_word(void *arg)
{
	note("~%s", (const char *)arg);
}

static void note_future(async_future *future, void *arg)
{
	(void)future;
	note("%s", (const char *)arg);
}

static const struct async_call_options destroying = {.size = sizeof(destroying), .destroy = destroy_word};

static void call_and_cancel(void *arg)
{
	async_handle **handle = arg;

	note("ran");
	async_handle_cancel(*handle);
}

static void arguments_of_calls_that_are_made_are_theirs(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *kept, *itself;

	(void)state;
	assert_int_equal(async_loop_call_soon_with(loop, note_callback, WORD("a"), &destroying, NULL), 0);
	assert_int_equal(async_loop_call_soon_with(loop, note_callback, WORD("b"), &destroying, &kept), 0);
	assert_int_equal(async_loop_call_soon_with(loop, call_and_cancel, &itself, &destroying, &itself), 0);
	assert_int_equal(async_loop_call_soon_threadsafe_with(loop, note_callback, WORD("c"), &destroying), 0);
	assert_int_equal(async_loop_call_later_with(loop, 5, note_callback, WORD("d"), &destroying, NULL), 0);
	assert_int_equal(async_loop_call_at_with(loop, 6, stop_running, NULL, NULL, NULL), 0);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("a b ran c d stop");
	async_handle_cancel(kept);
	async_handle_release(kept);
	async_handle_release(itself);
	loop_end(loop);
	assert_noted("");
}

static void arguments_of_calls_that_are_cancelled_are_destroyed(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *handles[3];

	(void)state;
	assert_int_equal(async_loop_call_soon_with(loop, note_callback, WORD("soon"), &destroying, &handles[0]), 0);
	assert_int_equal(async_loop_call_later_with(loop, 5, note_callback, WORD("later"), &destroying, &handles[1]), 0);
	assert_int_equal(
		async_loop_call_at_with(loop, ASYNC_FOREVER, note_callback, WORD("never"), &destroying, &handles[2]), 0);
	for (size_t i = 0; i < countof(handles); i++) {
		async_handle_cancel(handles[i]);
		async_handle_cancel(handles[i]);
	}
	assert_noted("~soon ~later ~never");
	run_one(loop);
	for (size_t i = 0; i < countof(handles); i++)
		async_handle_release(handles[i]);
	/* Nobody can make this call, or cancel it. */
	assert_int_equal(
		async_loop_call_at_with(loop, ASYNC_FOREVER, note_callback, WORD("lost"), &destroying, NULL), 0);
	assert_noted("~lost");
	loop_end(loop);
	assert_noted("");
}

static void arguments_go_with_the_loop(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL), *done = async_future_new(loop, NULL);
	async_handle *kept;

	(void)state;
	async_loop_call_soon_with(loop, note_callback, WORD("soon"), &destroying, NULL);
	async_loop_call_later_with(loop, 5, note_callback, WORD("later"), &destroying, &kept);
	async_loop_call_soon_threadsafe_with(loop, note_callback, WORD("remote"), &destroying);
	async_future_set_result(done, 1);
	assert_int_equal(async_add_done_callback_with(done, note_future, WORD("done"), &destroying), 0);
	assert_int_equal(async_add_done_callback_with(future, note_future, WORD("pending"), &destroying), 0);
	assert_int_equal(async_loop_close(loop), 0);
	assert_noted("~soon ~done ~remote ~later ~pending");
	/* What comes later fails, and that is told in the same way. */
	assert_int_equal(async_loop_call_soon_with(loop, note_callback, WORD("late"), &destroying, NULL), -ESHUTDOWN);
	assert_int_equal(async_loop_call_later_with(loop, 1, note_callback, WORD("late"), &destroying, NULL), -ESHUTDOWN);
	assert_int_equal(async_loop_call_soon_threadsafe_with(loop, note_callback, WORD("late"), &destroying),
			 -ESHUTDOWN);
	assert_int_equal(async_handle_new_with(loop, note_callback, WORD("late"), &destroying, &kept), -ESHUTDOWN);
	assert_int_equal(async_add_done_callback_with(future, note_future, WORD("late"), &destroying), -ESHUTDOWN);
	assert_noted("~late ~late ~late ~late ~late");
	async_handle_release(kept);
	async_release(future);
	async_release(done);
	async_loop_free(loop);
	assert_noted("");
}

static void arguments_of_failed_calls_are_destroyed(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL), *failed = async_future_failed(-EIO);
	struct async_call_options unknown = {.size = 1, .destroy = destroy_word};
	async_handle *handle = NULL;

	(void)state;
	assert_int_equal(async_loop_call_soon_with(NULL, note_callback, WORD("a"), &destroying, &handle), -EINVAL);
	assert_int_equal(async_loop_call_soon_with(loop, NULL, WORD("b"), &destroying, &handle), -EINVAL);
	assert_int_equal(async_loop_call_later_with(NULL, 1, note_callback, WORD("c"), &destroying, &handle), -EINVAL);
	assert_int_equal(async_loop_call_at_with(loop, 1, NULL, WORD("d"), &destroying, &handle), -EINVAL);
	assert_int_equal(async_loop_call_soon_threadsafe_with(loop, NULL, WORD("e"), &destroying), -EINVAL);
	assert_int_equal(async_handle_new_with(loop, note_callback, WORD("f"), &destroying, NULL), -EINVAL);
	assert_int_equal(async_add_done_callback_with(NULL, note_future, WORD("g"), &destroying), -EINVAL);
	assert_int_equal(async_add_done_callback_with(failed, note_future, WORD("h"), &destroying), -EPERM);
	assert_null(handle);
	assert_noted("~a ~b ~c ~d ~e ~f ~g ~h");
	/* Options of which nothing is known. */
	assert_int_equal(async_loop_call_soon_with(loop, note_callback, WORD("i"), &unknown, NULL), -EINVAL);
	for (unsigned long nth = 1; nth <= 2; nth++) {
		fault_arm("malloc", nth, -ENOMEM);
		int error = async_loop_call_later_with(loop, 1, note_callback, WORD("m"), &destroying, &handle);
		fault_disarm();
		if (error) {
			assert_int_equal(error, -ENOMEM);
			assert_noted("~m");
		} else {
			async_handle_release(handle);
		}
	}
	forget_notes();
	async_release(future);
	loop_end(loop);
}

static void arguments_of_callbacks_that_are_removed_are_destroyed(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);
	void *twice = WORD("twice");

	(void)state;
	assert_int_equal(async_add_done_callback_with(future, note_future, twice, &destroying), 0);
	assert_int_equal(async_add_done_callback_with(future, note_future, twice, &destroying), 0);
	assert_int_equal(async_add_done_callback_with(future, note_future, WORD("made"), &destroying), 0);
	assert_int_equal(async_remove_done_callback(future, note_future, twice), 2);
	assert_noted("~twice ~twice");
	async_future_set_result(future, 1);
	run_one(loop);
	assert_noted("made");
	async_release(future);
	loop_end(loop);
	assert_noted("");
}

/* A prepared handle has its argument until it is gone. */
static void arguments_of_handles_go_with_them(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *handle;

	(void)state;
	assert_int_equal(async_handle_new_with(loop, note_callback, WORD("a"), &destroying, &handle), 0);
	for (int i = 0; i < 2; i++) {
		async_handle_post(handle);
		run_one(loop);
	}
	async_handle_post(handle);
	async_handle_release(handle);
	assert_noted("a a");
	run_one(loop);
	assert_noted("a ~a");
	assert_int_equal(async_handle_new_with(loop, note_callback, WORD("b"), &destroying, &handle), 0);
	async_handle_cancel(handle);
	assert_noted("");
	async_handle_release(handle);
	assert_noted("~b");
	loop_end(loop);
	assert_noted("");
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
		TEST(arguments_of_calls_that_are_made_are_theirs),
		TEST(arguments_of_calls_that_are_cancelled_are_destroyed),
		TEST(arguments_go_with_the_loop),
		TEST(arguments_of_failed_calls_are_destroyed),
		TEST(arguments_of_callbacks_that_are_removed_are_destroyed),
		TEST(arguments_of_handles_go_with_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
