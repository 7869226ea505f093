/* SPDX-License-Identifier: MIT */
/* Opening FIFOs: as open(2) waits for the other end, and yet cancelled at any time, without a thread that is lost. */
#include "descriptors.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fault.h"

static char folder[32], path[64];

struct opening {
	const char *path;
	int flags, fd;
};

static intptr_t open_once(void *arg)
{
	struct opening *o = arg;

	return o->fd = async_open(o->path, o->flags, 0);
}

/* As another program does. */
static intptr_t open_blocking(void *arg)
{
	struct opening *o = arg;

	return o->fd = open(o->path, o->flags | O_CLOEXEC);
}

static uint64_t calls_made(void)
{
	struct async_loop_stats stats = {.size = sizeof(stats)};

	assert_int_equal(async_loop_get_stats(async_get_running_loop(), &stats), 0);
	return stats.system_calls;
}

static void assert_connected(int reader, int writer)
{
	char byte;

	assert_true(reader >= 0 && writer >= 0);
	assert_int_equal(fcntl(reader, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(async_write(writer, "x", 1), 1);
	assert_int_equal(async_read(reader, &byte, 1), 1);
	assert_int_equal(byte, 'x');
}

static intptr_t meet(void *arg)
{
	(void)arg;
	for (int reads = 0; reads < 2; reads++) {
		struct opening o = {.path = path, .flags = reads ? O_RDONLY : O_WRONLY};
		async_task *task = async_create_task(open_once, &o);
		uint64_t before = calls_made();

		assert_int_equal(async_sleep(100 * ASYNC_MS), 0);
		assert_false(async_done(task));
		/* Neither asks again and again. */
		assert_in_range(calls_made() - before, 0, 150);
		/* One that sends nothing is the other end, too. */
		int other = open(path, (reads ? O_WRONLY : O_RDONLY | O_NONBLOCK) | O_CLOEXEC);
		assert_true(other >= 0);
		assert_true(async_wait_for(task, 30 * ASYNC_S) >= 0);
		assert_int_equal(fcntl(o.fd, F_GETFL) & O_NONBLOCK, 0);
		if (reads)
			assert_connected(o.fd, other);
		close_now(o.fd);
		close_now(other);
	}
	return 0;
}

static intptr_t meet_others(void *arg)
{
	(void)arg;
	for (int round = 0; round < 3; round++) {
		struct opening reader = {.path = path, .flags = O_RDONLY}, writer = {.path = path, .flags = O_WRONLY};
		async_task *a = round == 1 ? async_run_in_executor(NULL, open_blocking, &reader)
					   : async_create_task(open_once, &reader);
		async_task *b = round == 2 ? async_run_in_executor(NULL, open_blocking, &writer)
					   : async_create_task(open_once, &writer);

		assert_true(async_wait_for(a, 30 * ASYNC_S) >= 0);
		assert_true(async_wait_for(b, 30 * ASYNC_S) >= 0);
		assert_connected(reader.fd, writer.fd);
		close_now(reader.fd);
		close_now(writer.fd);
	}
	return 0;
}

/* More of them than there are threads, and files can be used all the same. */
static intptr_t wait_in_vain(void *arg)
{
	struct opening openings[40];
	async_task *tasks[countof(openings)];
	struct stat status;

	(void)arg;
	for (size_t i = 0; i < countof(openings); i++) {
		openings[i] = (struct opening){.path = path, .flags = O_WRONLY};
		tasks[i] = async_create_task(open_once, &openings[i]);
	}
	assert_int_equal(async_sleep(5 * ASYNC_MS), 0);
	assert_int_equal(async_stat(folder, &status), 0);
	for (size_t i = 0; i < countof(openings); i++) {
		async_cancel(tasks[i], NULL);
		assert_int_equal(async_await(tasks[i]), -ECANCELED);
	}
	struct opening reader = {.path = path, .flags = O_RDONLY};
	async_task *task = async_create_task(open_once, &reader);
	assert_int_equal(async_sleep(5 * ASYNC_MS), 0);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	return 0;
}

static intptr_t need_not_wait(void *arg)
{
	struct sockaddr_un address;
	char name[80];
	int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)arg;
	/* Told not to wait, or being both ends. */
	assert_int_equal(async_open(path, O_WRONLY | O_NONBLOCK, 0), -ENXIO);
	int reader = async_openat(directory, "fifo", O_RDONLY | O_NONBLOCK, 0);
	assert_true(reader >= 0);
	assert_int_equal(fcntl(reader, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	int writer = async_openat(directory, "fifo", O_WRONLY, 0);
	assert_true(writer >= 0);
	close_now(reader);
	reader = async_openat(directory, "fifo", O_RDONLY, 0);
	assert_connected(reader, writer);
	close_now(reader);
	close_now(writer);
	int both = async_open(path, O_RDWR, 0);
	assert_connected(both, both);
	close_now(both);
	close_now(directory);
	/* What has no other end. */
	snprintf(name, sizeof(name), "%s/socket", folder);
	int size = async_unix_address(name, &address), fd = async_socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, (socklen_t)size), 0);
	assert_int_equal(async_open(name, O_WRONLY, 0), -ENXIO);
	unlink(name);
	close_now(fd);
	return 0;
}

/* With flags that io_uring gives to a thread of the kernel's. */
static intptr_t open_and_be_cancelled(void *arg)
{
	static const int flags[] = {O_RDONLY | O_CREAT, O_WRONLY | O_CREAT, O_WRONLY | O_TRUNC,
				    O_WRONLY | O_CREAT | O_TRUNC};

	(void)arg;
	for (size_t i = 0; i < countof(flags); i++) {
		struct opening o = {.path = path, .flags = flags[i]};
		async_task *task = async_create_task(open_once, &o);

		assert_int_equal(async_sleep(10 * ASYNC_MS), 0);
		async_cancel(task, NULL);
		assert_int_equal(async_await(task), -ECANCELED);
		assert_int_equal(o.fd, -ECANCELED);
		task = async_create_task(open_once, &o);
		assert_int_equal(async_wait_for(task, 10 * ASYNC_MS), -ETIMEDOUT);
	}
	return 0;
}

static void cancelled_whatever_the_flags(void **state)
{
	(void)state;
	run_really(open_and_be_cancelled);
	assert_int_equal(reports.count, 0);
}

static void each_end_waits_for_the_other(void **state)
{
	(void)state;
	run_really(meet);
}

static void tasks_and_other_programs_meet(void **state)
{
	(void)state;
	run_really(meet_others);
}

static void waiting_takes_no_thread(void **state)
{
	(void)state;
	run_really(wait_in_vain);
}

static void some_need_not_wait(void **state)
{
	(void)state;
	run_really(need_not_wait);
}

static intptr_t fail_once(void *arg)
{
	struct opening writer = {.path = path, .flags = O_WRONLY, .fd = -1};
	async_task *task = async_create_task(open_once, &writer);
	int reader = async_open(path, O_RDONLY, 0);

	(void)arg;
	if (reader < 0)
		async_cancel(task, NULL);
	intptr_t fd = async_await(task);
	/* It may have been opened although it was cancelled. */
	if (writer.fd >= 0)
		close(writer.fd);
	if (reader >= 0)
		close(reader);
	return reader < 0 ? reader : fd < 0 ? fd : 0;
}

static intptr_t once(void)
{
	struct async_options options = test_options();

	options.clock = ASYNC_CLOCK_REAL;
	return run_with(fail_once, NULL, &options);
}

static void no_descriptors_for_looking(void **state)
{
	size_t before = open_descriptors();

	(void)state;
	fault_arm("pipe2", 1, -EMFILE);
	intptr_t result = once();
	fault_disarm();
	assert_true(result == 0 || result == -EMFILE);
	assert_int_equal(open_descriptors(), before);
}

static int make_fifo(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test_fifo.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/fifo", folder);
	return mkfifo(path, 0600);
}

static int remove_fifo(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_end_waits_for_the_other),
		TEST(cancelled_whatever_the_flags),
		TEST(tasks_and_other_programs_meet),
		TEST(waiting_takes_no_thread),
		TEST(some_need_not_wait),
		TEST(no_descriptors_for_looking),
	};

	return cmocka_run_group_tests(tests, make_fifo, remove_fifo);
}
