/* SPDX-License-Identifier: MIT */
/*
 * A child that was forked while a loop exists. Every public function is in this file, `make lint` sees to it: either it
 * is called there and has to be refused, or it stands below with the reason why it need not be.
 */
#include "harness.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <async/executor_ops.h>
#include <async/process_pool.h>

#include "core/loop.h"
#include "reactor/reactor_impl.h"

/* What is not refused, by the reason. */
static const char *const harmless[] = {
	/* knows no loop */
	"async_version", "async_future_failed", "async_unix_address", "async_socket", "async_get_system_info",
	"async_measure_switch", "async_trace_start", "async_trace_stop", "async_trace_read", "async_trace_write",
	"async_local_get", "async_local_set", "async_job_cancelled", "async_reply_write", "async_process_result_value",
	"async_process_result_data", "async_process_result_size", "async_process_result_free",
	/* makes something of the child's own */
	"async_loop_new", "async_run", "async_run_with", "async_runner_open", "async_thread_pool_new",
	"async_process_pool_new", "async_executor_new", "async_queue_new", "async_get_event_loop", "async_create_task",
	"async_create_task_with",
	/* looks, and changes nothing; of what is another's it says false or NULL */
	"async_barrier_parties", "async_barrier_waiting", "async_barrier_broken", "async_condition_locked",
	"async_event_is_set", "async_lock_locked", "async_semaphore_locked", "async_semaphore_value", "async_queue_size",
	"async_queue_max_items", "async_queue_empty", "async_queue_full", "async_concurrent_done",
	"async_concurrent_cancelled", "async_cancel_reason", "async_done", "async_cancelled", "async_is_task",
	"async_future_loop", "async_current_task", "async_get_running_loop", "async_loop_is_running",
	"async_loop_is_closed", "async_loop_time", "async_handle_cancelled", "async_task_get_name",
	"async_group_error_count", "async_group_error", "async_timeout_when", "async_timeout_expired",
	"async_process_pid", "async_process_fd", "async_stream_fd", "async_stream_buffered", "async_stream_unsent",
	"async_stream_at_eof", "async_executor_threads", "async_runner_get_loop", "async_dump_tasks",
	/* for executors, about jobs that they have */
	"async_job_next", "async_job_set_next", "async_job_run", "async_job_complete", "async_job_fn", "async_job_arg",
	"async_job_skip",
	/* counts, or frees memory of the child's */
	"async_ref", "async_release", "async_concurrent_ref", "async_concurrent_release", "async_completions_free",
	"async_handle_release", "async_executor_free", "async_loop_close", "async_loop_free", "async_runner_close",
	/* no result; changes nothing that the parent sees, as the tests below see */
	"async_loop_stop", "async_handle_cancel", "async_stream_abort",
};

/* The child's end of a pipe: what went wrong there. */
static int report_fd;

static void refused(intptr_t result, const char *call)
{
	if (result != -EPERM)
		dprintf(report_fd, "%s gave %ld\n", call, (long)result);
}

#define REFUSED(call) refused(call, #call)
#define FAILS(call) refused(async_error(call), #call)

static void wrong_unless(bool right, const char *what)
{
	if (!right)
		dprintf(report_fd, "wrong: %s\n", what);
}

#define HOLDS(condition) wrong_unless(condition, #condition)

static struct {
	async_loop *loop;
	async_task *task;
	async_future *future, *done;
	struct async_event event;
	struct async_lock lock;
	struct async_condition condition;
	struct async_semaphore semaphore;
	struct async_barrier barrier;
	struct async_group group;
	struct async_timeout scope;
	struct async_runner runner;
	async_queue *queue;
	async_completions *completions;
	async_handle *handle, *timer;
	async_stream *stream;
	async_server *server;
	async_process *process;
	async_executor *executor;
	async_concurrent *concurrent;
	int fds[2];
	int destroyed;
} the;

static void count_destroy(void *arg)
{
	(void)arg;
	the.destroyed++;
}

static void nothing(void *arg)
{
	(void)arg;
}

static void on_done(async_future *future, void *arg)
{
	(void)future, (void)arg;
}

static intptr_t body(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t serve(async_stream *stream, void *arg)
{
	(void)stream, (void)arg;
	return 0;
}

static intptr_t bytes_job(const void *arg, size_t size, async_reply *reply)
{
	return async_reply_write(reply, arg, size);
}

static int on_error(const struct async_error_context *context, void *arg)
{
	(void)context, (void)arg;
	return 0;
}

/* The child's calls */

static void use_loop(void)
{
	static const struct async_call_options options = {.size = sizeof(options), .destroy = count_destroy};
	struct async_loop_stats stats = {.size = sizeof(stats)};
	async_loop *loop = the.loop;
	async_handle *handle;
	async_task *tasks[1];

	REFUSED(async_loop_run_until_complete(loop, async_ref(the.done)));
	REFUSED(async_loop_run_forever(loop));
	REFUSED(async_loop_run_once(loop));
	REFUSED(async_loop_fd(loop));
	REFUSED(async_loop_call_soon(loop, nothing, NULL, NULL));
	REFUSED(async_loop_call_later(loop, 1, nothing, NULL, NULL));
	REFUSED(async_loop_call_at(loop, 1, nothing, NULL, NULL));
	REFUSED(async_loop_call_soon_with(loop, nothing, NULL, &options, NULL));
	REFUSED(async_loop_call_later_with(loop, 1, nothing, NULL, &options, NULL));
	REFUSED(async_loop_call_at_with(loop, 1, nothing, NULL, &options, NULL));
	REFUSED(async_loop_call_soon_threadsafe(loop, nothing, NULL));
	REFUSED(async_loop_call_soon_threadsafe_with(loop, nothing, NULL, &options));
	REFUSED(async_handle_new(loop, nothing, NULL, &handle));
	REFUSED(async_handle_new_with(loop, nothing, NULL, &options, &handle));
	HOLDS(the.destroyed == 5);
	the.destroyed = 0;
	REFUSED(async_handle_post(the.handle));
	REFUSED(async_loop_set_error_handler(loop, on_error, NULL));
	REFUSED(async_loop_get_stats(loop, &stats));
	REFUSED(async_loop_add_reader(loop, the.fds[0], nothing, NULL));
	REFUSED(async_loop_add_writer(loop, the.fds[0], nothing, NULL));
	REFUSED(async_loop_remove_reader(loop, the.fds[0]));
	REFUSED(async_loop_remove_writer(loop, the.fds[0]));
	REFUSED(async_loop_add_signal_handler(loop, SIGUSR1, nothing, NULL));
	REFUSED(async_loop_remove_signal_handler(loop, SIGUSR1));
	REFUSED(async_all_tasks(loop, tasks, 1));
	REFUSED(async_runner_run(&the.runner, body, NULL));
	FAILS(async_loop_create_task(loop, body, NULL, NULL));
	FAILS(async_future_new(loop, NULL));
	/* Without a result. */
	async_loop_stop(loop);
	async_handle_cancel(the.timer);
	HOLDS(!async_handle_cancelled(the.timer) && the.destroyed == 0);
	HOLDS(!async_loop_is_running(loop) && !async_get_running_loop());
}

static void use_futures(void)
{
	struct async_task_stats stats = {.size = sizeof(stats)};
	async_future *futures[1] = {the.task}, *next;
	async_completions *completions;

	REFUSED(async_future_set_result(the.future, 1));
	REFUSED(async_future_set_error(the.future, -EIO));
	REFUSED(async_cancel(the.future, NULL));
	REFUSED(async_cancel(the.task, NULL));
	REFUSED(async_result(the.done));
	REFUSED(async_error(the.done));
	REFUSED(async_add_done_callback(the.future, on_done, NULL));
	REFUSED(async_add_done_callback_with(the.future, on_done, NULL, NULL));
	REFUSED(async_remove_done_callback(the.future, on_done, NULL));
	REFUSED(async_await(async_ref(the.task)));
	REFUSED(async_await(the.task));
	REFUSED(async_wait(futures, 1, ASYNC_WAIT_ALL_COMPLETED, 0));
	REFUSED(async_wait_for(the.task, 1));
	FAILS(async_gather(futures, 1, 0, NULL));
	FAILS(async_shield(the.task));
	FAILS(async_ref(the.task));
	REFUSED(async_as_completed(futures, 1, ASYNC_FOREVER, &completions));
	REFUSED(async_next_completed(the.completions, &next));
	REFUSED(async_task_set_name(the.task, "other"));
	REFUSED(async_cancelling(the.task));
	REFUSED(async_uncancel(the.task));
	REFUSED(async_task_stack_size(the.task));
	REFUSED(async_task_stack_used(the.task));
	REFUSED(async_task_get_stats(the.task, &stats));
	HOLDS(!async_done(the.done) && !async_cancelled(the.done) && !async_cancel_reason(the.task));
	HOLDS(!async_current_task());
}

static void use_compositions(void)
{
	struct async_task_options options = {.size = sizeof(options), .destroy = count_destroy};
	struct async_select_case cases[] = {ASYNC_CASE_FUTURE(the.task)};
	struct async_group group = ASYNC_GROUP_INIT;
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;
	async_concurrent *concurrent;

	REFUSED(async_group_begin(&group));
	FAILS(async_group_create_task(&the.group, body, NULL));
	FAILS(async_group_create_task_with(&the.group, body, NULL, &options));
	REFUSED(async_group_spawn(&the.group, body, NULL, &options));
	REFUSED(async_group_cancel(&the.group));
	REFUSED(async_group_end(&the.group, 0));
	REFUSED(async_timeout_begin(&scope, 1));
	REFUSED(async_timeout_begin_at(&scope, 1));
	REFUSED(async_timeout_reschedule(&the.scope, 1));
	REFUSED(async_timeout_end(&the.scope, 0));
	REFUSED(async_select(cases, 1));
	REFUSED(async_select_from(cases, 1, 0));
	REFUSED(async_run_coroutine_threadsafe(the.loop, body, NULL, &options, &concurrent));
	REFUSED(async_concurrent_cancel(the.concurrent, NULL));
	REFUSED(async_concurrent_result(the.concurrent, ASYNC_FOREVER));
	REFUSED(async_sleep(0));
	REFUSED(async_sleep_until(0));
	HOLDS(the.destroyed == 3);
	the.destroyed = 0;
}

static void use_primitives(void)
{
	void *item;

	REFUSED(async_event_set(&the.event));
	REFUSED(async_event_wait(&the.event));
	REFUSED(async_lock_acquire(&the.lock));
	REFUSED(async_lock_release(&the.lock));
	REFUSED(async_condition_acquire(&the.condition));
	REFUSED(async_condition_wait(&the.condition));
	REFUSED(async_condition_wait_for(&the.condition, body, NULL));
	REFUSED(async_condition_notify(&the.condition, 1));
	REFUSED(async_condition_notify_all(&the.condition));
	REFUSED(async_condition_release(&the.condition));
	REFUSED(async_semaphore_acquire(&the.semaphore));
	REFUSED(async_semaphore_release(&the.semaphore));
	REFUSED(async_barrier_wait(&the.barrier));
	REFUSED(async_barrier_reset(&the.barrier));
	REFUSED(async_barrier_abort(&the.barrier));
	REFUSED(async_queue_put(the.queue, NULL));
	REFUSED(async_queue_put_priority(the.queue, NULL, 1));
	REFUSED(async_queue_get(the.queue, &item));
	REFUSED(async_queue_put_nowait(the.queue, NULL));
	REFUSED(async_queue_put_priority_nowait(the.queue, NULL, 1));
	REFUSED(async_queue_task_done(the.queue));
	REFUSED(async_queue_join(the.queue));
	REFUSED(async_queue_shutdown(the.queue, true));
	HOLDS(async_queue_free(the.queue) == -EBUSY);
	/* These wake nobody: it is memory of the child's. */
	HOLDS(async_queue_get_nowait(the.queue, &item) == -EAGAIN);
	HOLDS(async_event_clear(&the.event) == 0);
}

static void use_descriptors(void)
{
	char buffer[8] = "";
	struct iovec part = {buffer, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	static const int numbers[] = {SIGUSR1};
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);
	struct addrinfo *list;
	int fd = the.fds[0];

	REFUSED(async_read(fd, buffer, 1));
	REFUSED(async_write(fd, buffer, 1));
	REFUSED(async_readv(fd, &part, 1));
	REFUSED(async_writev(fd, &part, 1));
	REFUSED(async_poll(fd, POLLIN));
	REFUSED(async_close(fd));
	REFUSED(async_accept(fd, NULL, NULL));
	REFUSED(async_connect(fd, (struct sockaddr *)&address, size));
	REFUSED(async_recv(fd, buffer, 1, 0));
	REFUSED(async_send(fd, buffer, 1, 0));
	REFUSED(async_recvfrom(fd, buffer, 1, 0, NULL, NULL));
	REFUSED(async_sendto(fd, buffer, 1, 0, NULL, 0));
	REFUSED(async_recvmsg(fd, &message, 0));
	REFUSED(async_sendmsg(fd, &message, 0));
	REFUSED(async_splice(fd, NULL, the.fds[1], NULL, 1, 0));
	REFUSED(async_sendfile(the.fds[1], fd, NULL, 1));
	REFUSED(async_signal_wait(numbers, 1));
	REFUSED(async_resolve("localhost", NULL, NULL, &list));
}

static void use_files(void)
{
	char buffer[512];
	struct iovec part = {buffer, 1};
	struct stat status;

	REFUSED(async_open("/dev/null", O_RDONLY, 0));
	REFUSED(async_openat(AT_FDCWD, "/dev/null", O_RDONLY, 0));
	REFUSED(async_pread(0, buffer, 1, 0));
	REFUSED(async_pwrite(0, buffer, 1, 0));
	REFUSED(async_preadv(0, &part, 1, 0));
	REFUSED(async_pwritev(0, &part, 1, 0));
	REFUSED(async_fsync(0));
	REFUSED(async_fdatasync(0));
	REFUSED(async_stat("/", &status));
	REFUSED(async_lstat("/", &status));
	REFUSED(async_fstat(0, &status));
	REFUSED(async_rename("/nonexistent/a", "/nonexistent/b"));
	REFUSED(async_unlink("/nonexistent/a"));
	REFUSED(async_mkdir("/nonexistent/a", 0700));
	REFUSED(async_rmdir("/nonexistent/a"));
	REFUSED(async_truncate("/nonexistent/a", 0));
	REFUSED(async_ftruncate(0, 0));
	REFUSED(async_getdents(0, buffer, sizeof(buffer)));
}

static void use_streams(void)
{
	struct async_server_stats stats = {.size = sizeof(stats)};
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	struct iovec part = {(char[1]){0}, 1};
	async_server *server;
	async_stream *stream;
	char buffer[8], *line;

	REFUSED(async_stream_open(the.fds[0], NULL, &stream));
	REFUSED(async_stream_read(the.stream, buffer, 1));
	REFUSED(async_stream_readexactly(the.stream, buffer, 1));
	REFUSED(async_stream_readuntil(the.stream, "x", 1, &line));
	REFUSED(async_stream_readline(the.stream, &line));
	REFUSED(async_stream_write(the.stream, "x", 1));
	REFUSED(async_stream_writev(the.stream, &part, 1));
	REFUSED(async_stream_printf(the.stream, "x"));
	REFUSED(async_stream_drain(the.stream));
	REFUSED(async_stream_write_eof(the.stream));
	REFUSED(async_stream_close(the.stream));
	async_stream_abort(the.stream);
	REFUSED(async_open_connection("127.0.0.1", "1", NULL, &stream));
	REFUSED(async_open_unix_connection("/nonexistent/a", NULL, &stream));
	REFUSED(async_create_connection("127.0.0.1", "1", NULL));
	REFUSED(async_start_server("127.0.0.1", "0", serve, NULL, NULL, &server));
	REFUSED(async_start_unix_server("/nonexistent/a", serve, NULL, NULL, &server));
	REFUSED(async_start_server_on(the.fds, 1, serve, NULL, NULL, &server));
	REFUSED(async_server_serve_forever(the.server));
	REFUSED(async_server_close(the.server));
	REFUSED(async_server_abort(the.server));
	REFUSED(async_server_address(the.server, 0, (struct sockaddr *)&address, &size));
	REFUSED(async_server_get_stats(the.server, &stats));
}

static void use_others(void)
{
	char *argv[] = {(char *)"true", NULL};
	void *args[1] = {NULL};
	async_process *process;

	REFUSED(async_process_spawn("true", argv, NULL, &process));
	REFUSED(async_process_take_fd(the.process, 0));
	REFUSED(async_process_wait(the.process));
	REFUSED(async_process_kill(the.process, SIGKILL));
	REFUSED(async_process_communicate(the.process, NULL, 0, 1, NULL, NULL));
	REFUSED(async_process_close(the.process));
	FAILS(async_run_in_executor(the.executor, body, NULL));
	FAILS(async_run_in_executor_with(the.executor, body, NULL, NULL));
	FAILS(async_executor_map(the.executor, body, args, 1, 0, NULL));
	/* A pool of threads; those of processes are refused as these are. */
	HOLDS(async_error(async_run_in_process(the.executor, bytes_job, "", 0)) == -EINVAL);
	REFUSED(async_to_thread(body, NULL));
	REFUSED(async_executor_shutdown(the.executor, true, true));
	REFUSED(async_executor_close(the.executor, true));
}

static intptr_t own_job(void *arg)
{
	FAILS(async_run_in_executor(the.executor, body, NULL));
	/* ThreadSanitizer has no threads in a child of a process that had several. */
	return under_tool("tsan") ? (intptr_t)arg : async_to_thread(body, arg);
}

/* What the child makes works, and its copies can be freed. */
static void use_own(void)
{
	HOLDS(async_run(own_job, (void *)3) == 3);
	HOLDS(async_get_event_loop() != NULL && async_get_event_loop() != the.loop);
	async_executor_free(the.executor);
	async_concurrent_release(the.concurrent);
	async_completions_free(the.completions);
	async_release(the.future);
	async_release(the.done);
	/* This is the stack of a task of it. */
	HOLDS(async_loop_close(the.loop) == -EBUSY);
}

static void use_everything(void)
{
	use_loop();
	use_futures();
	use_compositions();
	use_primitives();
	use_descriptors();
	use_files();
	use_streams();
	use_others();
	/* What the parent has still is the parent's to destroy. */
	the.destroyed = 0;
	async_handle_release(the.handle);
	HOLDS(the.destroyed == 0);
	use_own();
}

/* Forks, and fails with what the child has to say. */
static void in_child(void (*use)(void))
{
	char said[4096];
	size_t size = 0;
	ssize_t got;
	int ends[2], status;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		/* One call that does not come back is told by a signal. */
		alarm(60);
		report_fd = ends[1];
		use();
		/* No tool looks for leaks here: where everything of the parent's is left over, there are some. */
		kill(getpid(), SIGKILL);
	}
	close(ends[1]);
	while ((got = read(ends[0], said + size, sizeof(said) - 1 - size)) > 0)
		size += (size_t)got;
	said[size] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (size)
		fail_msg("%s", said);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* The parent's state */

/* How often its sleep was ended and nobody has read it: what the kernel says of the descriptor. */
static unsigned wakes_of(const async_loop *loop)
{
	char path[64], line[128];
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", loop->reactor->wake_fd);
	FILE *file = fopen(path, "re");
	if (!file)
		return UINT_MAX;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "eventfd-count: %x", &count) == 1)
			break;
	fclose(file);
	return count;
}

static intptr_t wait_for_event(void *arg)
{
	(void)arg;
	return async_event_wait(&the.event);
}

static intptr_t wait_for_semaphore(void *arg)
{
	(void)arg;
	return async_semaphore_acquire(&the.semaphore);
}

static intptr_t wait_at_barrier(void *arg)
{
	(void)arg;
	return async_barrier_wait(&the.barrier);
}

static intptr_t wait_for_item(void *arg)
{
	void *item;

	(void)arg;
	return async_queue_get(the.queue, &item);
}

static intptr_t wait_for_join(void *arg)
{
	(void)arg;
	return async_queue_join(the.queue);
}

static intptr_t wait_for_condition(void *arg)
{
	int error = async_condition_acquire(&the.condition);

	(void)arg;
	if (!error)
		error = async_condition_wait(&the.condition);
	if (!error)
		error = async_condition_release(&the.condition);
	return error;
}

static void set_up_objects(async_task *waiting[5])
{
	static const struct async_call_options destroying = {.size = sizeof(destroying), .destroy = count_destroy};
	struct async_process_options options = ASYNC_PROCESS_OPTIONS_INIT;
	char *argv[] = {(char *)"cat", NULL};

	options.stdio[0].kind = ASYNC_STDIO_PIPE;
	waiting[0] = the.task = async_create_task(wait_for_event, NULL);
	waiting[1] = async_create_task(wait_for_semaphore, NULL);
	waiting[2] = async_create_task(wait_at_barrier, NULL);
	waiting[3] = async_create_task(wait_for_item, NULL);
	waiting[4] = async_create_task(wait_for_condition, NULL);
	the.future = async_future_new(NULL, NULL);
	the.done = async_future_new(NULL, NULL);
	async_future_set_result(the.done, 1);
	assert_int_equal(async_as_completed(&(async_future *){async_ref(the.future)}, 1, ASYNC_FOREVER, &the.completions), 0);
	assert_int_equal(async_handle_new_with(the.loop, nothing, NULL, &destroying, &the.handle), 0);
	assert_int_equal(async_loop_call_later_with(the.loop, 100 * ASYNC_S, nothing, NULL, &destroying, &the.timer), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, the.fds), 0);
	assert_int_equal(async_stream_open(the.fds[0], NULL, &the.stream), 0);
	assert_int_equal(async_start_server("127.0.0.1", "0", serve, NULL, NULL, &the.server), 0);
	assert_int_equal(async_process_spawn("cat", argv, &options, &the.process), 0);
	assert_int_equal(async_thread_pool_new(NULL, &the.executor), 0);
	assert_int_equal(async_await(async_run_in_executor(the.executor, body, (void *)2)), 2);
	assert_int_equal(async_run_coroutine_threadsafe(the.loop, wait_for_join, NULL, NULL, &the.concurrent), 0);
	assert_int_equal(async_lock_acquire(&the.lock), 0);
	give_way(5);
	assert_int_equal(async_condition_acquire(&the.condition), 0);
}

static void take_down_objects(async_task *waiting[5])
{
	async_future *next;

	/* Everything is as it was. */
	for (int i = 0; i < 5; i++)
		assert_false(async_done(waiting[i]));
	assert_int_equal(async_condition_notify(&the.condition, 1), 0);
	assert_int_equal(async_condition_release(&the.condition), 0);
	assert_int_equal(async_lock_release(&the.lock), 0);
	assert_int_equal(async_event_set(&the.event), 0);
	assert_int_equal(async_semaphore_release(&the.semaphore), 0);
	assert_int_equal(async_barrier_wait(&the.barrier) >= 0, 1);
	/* Put in before, and taken: the queue is joined when that is said. */
	assert_int_equal(async_queue_put(the.queue, NULL), 0);
	for (int i = 0; i < 5; i++)
		assert_true(async_await(waiting[i]) >= 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(async_queue_task_done(the.queue), 0);
	give_way(5);
	assert_int_equal(async_concurrent_result(the.concurrent, 0), 0);
	async_concurrent_release(the.concurrent);
	assert_int_equal(async_queue_free(the.queue), 0);
	assert_int_equal(async_future_set_result(the.future, 1), 0);
	assert_int_equal(async_next_completed(the.completions, &next), 1);
	async_release(next);
	async_completions_free(the.completions);
	async_release(the.future);
	async_release(the.done);
	assert_int_equal(the.destroyed, 0);
	async_handle_release(the.handle);
	assert_int_equal(the.destroyed, 1);
	async_handle_cancel(the.timer);
	assert_int_equal(the.destroyed, 2);
	async_handle_release(the.timer);
	assert_int_equal(async_stream_close(the.stream), 0);
	close(the.fds[1]);
	assert_int_equal(async_server_close(the.server), 0);
	assert_int_equal(async_process_kill(the.process, 0), 0);
	assert_int_equal(async_process_close(the.process), 0);
	assert_int_equal(async_await(async_run_in_executor(the.executor, body, (void *)2)), 2);
	async_executor_free(the.executor);
}

static intptr_t fork_in_a_task(void *arg)
{
	struct async_queue_options options = {.size = sizeof(options), .order = ASYNC_QUEUE_PRIORITY};
	async_task *waiting[5];
	void *item;

	(void)arg;
	memset(&the, 0, sizeof(the));
	the.loop = async_get_running_loop();
	the.lock = (struct async_lock)ASYNC_LOCK_INIT;
	the.event = (struct async_event)ASYNC_EVENT_INIT;
	the.condition = (struct async_condition)ASYNC_CONDITION_INIT;
	the.semaphore = (struct async_semaphore)ASYNC_SEMAPHORE_INIT(0);
	the.barrier = (struct async_barrier)ASYNC_BARRIER_INIT(2);
	the.group = (struct async_group)ASYNC_GROUP_INIT;
	the.scope = (struct async_timeout)ASYNC_TIMEOUT_INIT;
	/* One that was opened before; it is only looked at. */
	the.runner = (struct async_runner){.loop = the.loop, .state = 1};
	assert_int_equal(async_queue_new(&options, &the.queue), 0);
	assert_int_equal(async_queue_put(the.queue, NULL), 0);
	assert_int_equal(async_queue_get(the.queue, &item), 0);
	assert_int_equal(async_group_begin(&the.group), 0);
	assert_int_equal(async_timeout_begin(&the.scope, 100 * ASYNC_S), 0);
	set_up_objects(waiting);
	unsigned wakes = wakes_of(the.loop);
	assert_int_not_equal(wakes, UINT_MAX);
	in_child(use_everything);
	assert_int_equal(wakes_of(the.loop), wakes);
	take_down_objects(waiting);
	assert_int_equal(async_timeout_end(&the.scope, 0), 0);
	return async_group_end(&the.group, 0);
}

static void every_call_is_refused_in_a_task(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_true(countof(harmless) > 0);
	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(run_with(fork_in_a_task, NULL, &options), 0);
}

/* Another thread forks while the loop sleeps in the kernel: whatever the child does, that is not woken. */

static void use_while_asleep(void)
{
	REFUSED(async_loop_call_soon_threadsafe(the.loop, nothing, NULL));
	REFUSED(async_handle_post(the.handle));
	REFUSED(async_future_set_result(the.future, 1));
	REFUSED(async_concurrent_cancel(the.concurrent, NULL));
	async_loop_stop(the.loop);
	async_release(the.future);
	async_concurrent_release(the.concurrent);
	HOLDS(async_loop_close(the.loop) == 0);
}

static void *fork_beside(void *arg)
{
	await_asleep(the.loop);
	unsigned wakes = wakes_of(the.loop);
	in_child(use_while_asleep);
	bool *written = arg;
	*written = wakes_of(the.loop) != wakes;
	async_handle_post(the.handle);
	return NULL;
}

static void stop(void *arg)
{
	async_loop_stop(arg);
}

/* Keeps the loop in the reactor while it sleeps. */
static intptr_t wait_for_byte(void *arg)
{
	(void)arg;
	return async_poll(the.fds[0], POLLIN);
}

static void a_sleeping_loop_is_not_woken(void **state)
{
	bool written = true;
	pthread_t thread;

	(void)state;
	memset(&the, 0, sizeof(the));
	the.loop = loop_real();
	assert_int_equal(pipe2(the.fds, O_CLOEXEC), 0);
	assert_int_equal(async_handle_new(the.loop, stop, the.loop, &the.handle), 0);
	the.future = async_future_new(the.loop, NULL);
	assert_int_equal(async_run_coroutine_threadsafe(the.loop, wait_for_byte, NULL, NULL, &the.concurrent), 0);
	assert_int_equal(pthread_create(&thread, NULL, fork_beside, &written), 0);
	assert_int_equal(async_loop_run_forever(the.loop), 0);
	pthread_join(thread, NULL);
	assert_false(written);
	assert_false(async_done(the.future));
	assert_int_equal(async_concurrent_cancel(the.concurrent, NULL), 1);
	async_concurrent_release(the.concurrent);
	async_handle_release(the.handle);
	async_release(the.future);
	async_loop_close(the.loop);
	async_loop_free(the.loop);
	close(the.fds[0]);
	close(the.fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_call_is_refused_in_a_task),
		TEST(a_sleeping_loop_is_not_woken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
