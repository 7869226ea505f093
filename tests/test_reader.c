/* SPDX-License-Identifier: MIT */
/* Readers and writers: when they are called, how often, and what ends them. */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"

static void *word(const char *text)
{
	return (void *)(uintptr_t)text;
}

static void make_pair(int ends[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
}

static void close_pair(const int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

static void put(int fd, const char *bytes)
{
	assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
}

/* Takes one byte and notes it. */
static void take(void *arg)
{
	char byte;

	note("%c", read(*(int *)arg, &byte, 1) == 1 ? byte : '-');
}

/* Until the log has that many bytes: how many iterations that takes is the backend's affair. */
static void until_noted(size_t length)
{
	for (int i = 0; i < 100000 && strlen(noted()) < length; i++)
		give_way(1);
}

/* Virtual time passes only when the kernel has nothing to tell. */
static void settle(void)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(async_sleep(1), 0);
}

static intptr_t level(void *arg)
{
	async_loop *loop = async_get_running_loop();
	int ends[2];

	(void)arg;
	make_pair(ends);
	assert_int_equal(async_loop_add_reader(loop, ends[0], take, &ends[0]), 0);
	settle();
	assert_noted("");
	/* A byte for each call: what is left is told of again. */
	put(ends[1], "abc");
	assert_noted("");
	until_noted(5);
	settle();
	assert_noted("a b c");
	put(ends[1], "d");
	until_noted(1);
	assert_noted("d");
	assert_int_equal(async_loop_remove_reader(loop, ends[0]), 1);
	assert_int_equal(async_loop_remove_reader(loop, ends[0]), 0);
	put(ends[1], "e");
	settle();
	assert_noted("");
	close_pair(ends);
	return 0;
}

static void test_level_triggered(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(level, NULL), 0);
}

struct counter {
	async_loop *loop;
	int fd, calls, most;
};

static void count_writable(void *arg)
{
	struct counter *counter = arg;

	if (++counter->calls == counter->most)
		assert_int_equal(async_loop_remove_writer(counter->loop, counter->fd), 1);
}

static intptr_t both_directions(void *arg)
{
	async_loop *loop = async_get_running_loop();
	struct counter counter = {.loop = loop, .most = 5};
	int ends[2];

	(void)arg;
	make_pair(ends);
	counter.fd = ends[0];
	assert_int_equal(async_loop_add_reader(loop, ends[0], take, &ends[0]), 0);
	assert_int_equal(async_loop_add_writer(loop, ends[0], count_writable, &counter), 0);
	while (counter.calls < counter.most) {
		int before = counter.calls;

		give_way(1);
		assert_true(counter.calls <= before + 1);
	}
	settle();
	assert_int_equal(counter.calls, counter.most);
	assert_noted("");
	/* The end of the connection is for both. */
	counter.calls = 0;
	assert_int_equal(async_loop_add_writer(loop, ends[0], count_writable, &counter), 0);
	close(ends[1]);
	until_noted(3);
	assert_memory_equal(noted(), "- -", 3);
	while (counter.calls < counter.most)
		give_way(1);
	assert_int_equal(async_loop_remove_reader(loop, ends[0]), 1);
	forget_notes();
	close(ends[0]);
	return 0;
}

static void test_both_directions(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(both_directions, NULL), 0);
}

struct change {
	async_loop *loop;
	int fd;
	bool remove;
	int other;
};

/* Runs before the reader, in one iteration with it. */
static void change_other(void *arg)
{
	struct change *change = arg;
	char byte;

	note("first");
	assert_int_equal(read(change->fd, &byte, 1), 1);
	if (change->remove) {
		assert_int_equal(async_loop_remove_reader(change->loop, change->other), 1);
	} else {
		assert_int_equal(read(change->other, &byte, 1), 1);
		assert_int_equal(async_loop_add_reader(change->loop, change->other, note_callback, word("new")), 0);
	}
}

/* A reader that is due, and is replaced or removed by another one in the same iteration. */
static intptr_t changes(void *arg)
{
	async_loop *loop = async_get_running_loop();
	struct change change = {.loop = loop, .remove = arg != NULL};
	int one[2], two[2];

	make_pair(one);
	make_pair(two);
	change.fd = one[0];
	change.other = two[0];
	put(one[1], "x");
	put(two[1], "y");
	assert_int_equal(async_loop_add_reader(loop, one[0], change_other, &change), 0);
	assert_int_equal(async_loop_add_reader(loop, two[0], note_callback, word("old")), 0);
	settle();
	assert_noted("first");
	if (!change.remove) {
		put(two[1], "z");
		until_noted(7);
		assert_memory_equal(noted(), "new new", 7);
		assert_int_equal(async_loop_remove_reader(loop, two[0]), 1);
		forget_notes();
	}
	/* Replacing one that waits. */
	assert_int_equal(async_loop_add_reader(loop, one[0], note_callback, word("waits")), 0);
	settle();
	assert_int_equal(async_loop_add_reader(loop, one[0], take, &one[0]), 0);
	put(one[1], "q");
	until_noted(1);
	settle();
	assert_noted("q");
	assert_int_equal(async_loop_remove_reader(loop, one[0]), 1);
	close_pair(one);
	close_pair(two);
	return 0;
}

static void test_replaced(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(changes, NULL), 0);
}

static void test_removed_when_due(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(changes, word("remove")), 0);
}

/* What another callback of the same iteration has used up is not told of. */
static void drain_both(void *arg)
{
	const int *fds = arg;
	char bytes[16];

	note("%zd", read(fds[0], bytes, sizeof(bytes)));
	note("%zd", read(fds[1], bytes, sizeof(bytes)));
}

static intptr_t uses_up(void *arg)
{
	async_loop *loop = async_get_running_loop();
	int one[2], two[2];

	(void)arg;
	make_pair(one);
	make_pair(two);
	int fds[2] = {one[0], two[0]};
	assert_int_equal(async_loop_add_reader(loop, two[0], take, &two[0]), 0);
	assert_int_equal(async_loop_add_reader(loop, one[0], drain_both, fds), 0);
	settle();
	put(one[1], "xyz");
	put(two[1], "abcd");
	until_noted(5);
	settle();
	assert_true(strcmp(noted(), "a 3 3") == 0 || strcmp(noted(), "3 4") == 0 || strcmp(noted(), "3 4 -") == 0);
	forget_notes();
	assert_int_equal(async_loop_remove_reader(loop, one[0]), 1);
	assert_int_equal(async_loop_remove_reader(loop, two[0]), 1);
	close_pair(one);
	close_pair(two);
	return 0;
}

static void test_used_up(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(uses_up, NULL), 0);
}

/* The end of descriptors and of loops */

static intptr_t closes(void *arg)
{
	async_loop *loop = async_get_running_loop();
	int ends[2];

	(void)arg;
	make_pair(ends);
	assert_int_equal(async_loop_add_reader(loop, ends[0], take, &ends[0]), 0);
	settle();
	/* The number may be somebody else's from here on, so the reader must be gone. */
	assert_int_equal(async_close(ends[0]), 0);
	assert_int_equal(async_loop_remove_reader(loop, ends[0]), 0);
	assert_int_equal(reports.count, 0);
	/* Removed, and still on its way out of the kernel. */
	assert_int_equal(async_loop_add_reader(loop, ends[1], note_callback, word("end")), 0);
	until_noted(3);
	assert_int_equal(async_loop_remove_reader(loop, ends[1]), 1);
	assert_int_equal(async_close(ends[1]), 0);
	forget_notes();
	return 0;
}

static void test_closed_descriptor(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(closes, NULL), 0);
}

static intptr_t closes_behind(void *arg)
{
	async_loop *loop = async_get_running_loop();
	int ends[2];

	(void)arg;
	/* A reactor that opens takes a number. */
	assert_int_equal(async_poll(STDERR_FILENO, POLLOUT) < 0, 0);
	make_pair(ends);
	/* Not begun yet. */
	assert_int_equal(async_loop_add_reader(loop, ends[0], take, &ends[0]), 0);
	close(ends[0]);
	settle();
	assert_int_equal(reports.count, 1);
	assert_int_equal(reports.error, -EBADF);
	assert_int_equal(async_loop_remove_reader(loop, ends[0]), 0);
	close(ends[1]);
	return 0;
}

static void test_closed_behind(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_int_equal(run_with(closes_behind, NULL, &options), 0);
}

/* In every state that a watch can be in. */
static void test_closed_loop(void **state)
{
	int ends[2], other[2];

	(void)state;
	make_pair(ends);
	make_pair(other);
	put(ends[1], "x");
	for (int turns = 0; turns < 4; turns++) {
		async_loop *loop = loop_virtual();

		assert_int_equal(async_loop_add_reader(loop, ends[0], note_callback, word("x")), 0);
		assert_int_equal(async_loop_add_writer(loop, ends[0], note_callback, word("y")), 0);
		assert_int_equal(async_loop_add_reader(loop, other[0], note_callback, word("z")), 0);
		for (int i = 0; i < turns; i++)
			assert_true(async_loop_run_once(loop) >= 0);
		if (turns == 3) {
			assert_int_equal(async_loop_remove_reader(loop, other[0]), 1);
			assert_int_equal(async_loop_remove_writer(loop, ends[0]), 1);
		}
		loop_end(loop);
	}
	forget_notes();
	close_pair(ends);
	close_pair(other);
}

/* Loops that wait */

static void take_and_stop(void *arg)
{
	const struct change *change = arg;
	char byte;

	assert_int_equal(read(change->fd, &byte, 1), 1);
	note("%c", byte);
	async_loop_stop(change->loop);
}

static void *write_when_asleep(void *arg)
{
	const struct change *change = arg;

	await_asleep(change->loop);
	put(change->other, "w");
	return NULL;
}

static void test_no_false_deadlock(void **state)
{
	struct change change;
	pthread_t thread;
	int ends[2];

	(void)state;
	make_pair(ends);
	change = (struct change){.loop = loop_virtual(), .fd = ends[0], .other = ends[1]};
	assert_int_equal(async_loop_add_reader(change.loop, ends[0], take_and_stop, &change), 0);
	assert_int_equal(pthread_create(&thread, NULL, write_when_asleep, &change), 0);
	assert_int_equal(async_loop_run_forever(change.loop), 0);
	pthread_join(thread, NULL);
	assert_noted("w");
	assert_int_equal(async_loop_remove_reader(change.loop, ends[0]), 1);
	assert_int_equal(async_loop_run_forever(change.loop), -EDEADLK);
	loop_end(change.loop);
	close_pair(ends);
}

static bool is_readable(int fd, int timeout)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, timeout) == 1;
}

/* A loop inside another one shows at its descriptor what its readers are for, the second time too. */
static void test_embedded(void **state)
{
	async_loop *loop = loop_real();
	int ends[2], fd = async_loop_fd(loop);

	(void)state;
	assert_true(fd >= 0);
	make_pair(ends);
	assert_int_equal(async_loop_add_reader(loop, ends[0], take, &ends[0]), 0);
	while (is_readable(fd, 0))
		assert_true(async_loop_run_once(loop) >= 0);
	for (int i = 0; i < 3; i++) {
		put(ends[1], "e");
		while (strcmp(noted(), "") == 0 && is_readable(fd, 20000))
			assert_true(async_loop_run_once(loop) >= 0);
		assert_noted("e");
		while (is_readable(fd, 0))
			assert_true(async_loop_run_once(loop) >= 0);
	}
	loop_end(loop);
	close_pair(ends);
}

/* Errors */

static void test_bad_calls(void **state)
{
	async_loop *loop = loop_virtual();
	int ends[2];

	(void)state;
	make_pair(ends);
	assert_int_equal(async_loop_add_reader(loop, -1, take, NULL), -EBADF);
	assert_int_equal(async_loop_add_writer(loop, 100000, take, NULL), -EBADF);
	assert_int_equal(async_loop_add_reader(loop, ends[0], NULL, NULL), -EINVAL);
	assert_int_equal(async_loop_add_reader(NULL, ends[0], take, NULL), -EINVAL);
	assert_int_equal(async_loop_remove_reader(NULL, ends[0]), -EINVAL);
	assert_int_equal(async_loop_remove_reader(loop, ends[0]), 0);
	assert_int_equal(async_loop_remove_writer(loop, -1), 0);
	async_loop_close(loop);
	assert_int_equal(async_loop_add_reader(loop, ends[0], take, NULL), -ESHUTDOWN);
	assert_int_equal(async_loop_remove_reader(loop, ends[0]), -ESHUTDOWN);
	async_loop_free(loop);
	close_pair(ends);
}

static intptr_t fails_midway(void *arg)
{
	async_loop *loop = async_get_running_loop();
	unsigned long *calls = arg;
	int ends[2];

	make_pair(ends);
	put(ends[1], "abc");
	if (*calls > 0)
		fault_arm(NULL, *calls, -ENOMEM);
	else
		fault_count(NULL);
	int error = async_loop_add_reader(loop, ends[0], take, &ends[0]);
	int again = async_loop_add_writer(loop, ends[0], note_callback, word("w"));
	/* The writer is always ready, so that virtual time stands still. */
	give_way(200);
	*calls = fault_disarm();
	if (again == 0)
		async_loop_remove_writer(loop, ends[0]);
	if (error == 0)
		async_loop_remove_reader(loop, ends[0]);
	close_pair(ends);
	return error ? error : again;
}

static void test_every_failure(void **state)
{
	struct async_options options = test_options();
	unsigned long calls = 0;

	(void)state;
	assert_int_equal(run_with(fails_midway, &calls, &options), 0);
	assert_true(calls >= 5);
	for (unsigned long nth = calls < 40 ? calls : 40; nth > 0; nth--) {
		unsigned long armed = nth;
		intptr_t result = run_with(fails_midway, &armed, &options);

		assert_true(result == 0 || result == -ENOMEM);
		if (result == 0 && reports.count > 0)
			assert_int_equal(reports.error, -ENOMEM);
	}
	forget_notes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_level_triggered),
		TEST(test_both_directions),
		TEST(test_replaced),
		TEST(test_removed_when_due),
		TEST(test_used_up),
		TEST(test_closed_descriptor),
		TEST(test_closed_behind),
		TEST(test_closed_loop),
		TEST(test_no_false_deadlock),
		TEST(test_embedded),
		TEST(test_bad_calls),
		TEST(test_every_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
