/* SPDX-License-Identifier: MIT */
/*
 * Every public function gets NULL for each of its pointers that must not be: it refuses, or does nothing. `make lint`
 * sees to it that none is missing here.
 */
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

/* Whether this is a task: outside of one, -EPERM may come first. */
static bool inside;
static unsigned wrong;

/* All that is wrong is told, not only the first. */
static void check(const char *call, int line, bool held, intptr_t result)
{
	if (held)
		return;
	wrong++;
	print_error("line %d, %s a task: %s gave %ld\n", line, inside ? "in" : "outside of", call, (long)result);
}

/* A wrong argument, or a wrong address if it is the kernel that looks. */
static void refused(const char *call, int line, intptr_t result)
{
	check(call, line, result == -EINVAL || result == -EFAULT || (!inside && result == -EPERM), result);
}

/* A future that has failed is all that its creation gives. */
static void failed(const char *call, int line, async_future *future)
{
	check(call, line, future && async_done(future), 0);
	if (future && async_done(future))
		refused(call, line, async_error(future));
	async_release(future);
}

static void gives(const char *call, int line, intptr_t result, intptr_t expected)
{
	check(call, line, result == expected, result);
}

#define REFUSED(call) refused(#call, __LINE__, call)
#define FAILED(call) failed(#call, __LINE__, call)
#define GIVES(call, expected) gives(#call, __LINE__, (intptr_t)(call), (intptr_t)(expected))

static intptr_t body(void *arg)
{
	(void)arg;
	return 0;
}

static void callback(void *arg)
{
	(void)arg;
}

static intptr_t serve(async_stream *stream, void *arg)
{
	(void)stream, (void)arg;
	return 0;
}

static intptr_t in_process(const void *arg, size_t size, async_reply *reply)
{
	(void)arg, (void)size, (void)reply;
	return 0;
}

static void on_done(async_future *future, void *arg)
{
	(void)future, (void)arg;
}

static void tasks_and_futures(void)
{
	char buffer[8] = "unused";
	async_task *task = async_current_task();
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	FAILED(async_create_task(NULL, NULL));
	FAILED(async_create_task_with(NULL, NULL, &options));
	FAILED(async_loop_create_task(NULL, NULL, NULL, NULL));
	GIVES(async_all_tasks(NULL, NULL, 4), inside ? 1 : -EPERM);
	GIVES(async_is_task(NULL), false);
	GIVES(*async_task_get_name(task, NULL, 1), '\0');
	GIVES(*async_task_get_name(NULL, NULL, 1), '\0');
	GIVES(*async_task_get_name(task, buffer, 0), '\0');
	assert_string_equal(buffer, "unused");
	GIVES(async_task_get_name(NULL, buffer, sizeof(buffer)), buffer);
	assert_string_equal(buffer, "");
	REFUSED(async_task_set_name(NULL, "name"));
	REFUSED(async_task_set_name(task, NULL));
	REFUSED(async_cancelling(NULL));
	REFUSED(async_uncancel(NULL));
	REFUSED(async_task_stack_size(NULL));
	REFUSED(async_task_stack_used(NULL));
	REFUSED(async_task_get_stats(NULL, &(struct async_task_stats){.size = sizeof(struct async_task_stats)}));
	REFUSED(async_task_get_stats(task, NULL));

	REFUSED(async_future_set_result(NULL, 0));
	REFUSED(async_future_set_error(NULL, -EIO));
	REFUSED(async_await(NULL));
	GIVES(async_done(NULL), false);
	GIVES(async_cancelled(NULL), false);
	REFUSED(async_result(NULL));
	REFUSED(async_error(NULL));
	REFUSED(async_add_done_callback(NULL, on_done, NULL));
	REFUSED(async_remove_done_callback(NULL, on_done, NULL));
	REFUSED(async_cancel(NULL, NULL));
	GIVES(async_cancel_reason(NULL), NULL);
	GIVES(async_ref(NULL), NULL);
	async_release(NULL);
	GIVES(async_future_loop(NULL), NULL);
	async_future *future = async_future_new(NULL, NULL);
	REFUSED(async_add_done_callback(future, NULL, NULL));
	REFUSED(async_add_done_callback_with(NULL, on_done, NULL, NULL));
	REFUSED(async_add_done_callback_with(future, NULL, NULL, NULL));
	GIVES(async_remove_done_callback(future, NULL, NULL), 0);
	async_cancel(future, NULL);
	async_release(future);
}

static void loops(void)
{
	async_loop *loop = async_get_running_loop();
	async_concurrent *concurrent;

	REFUSED(async_loop_new(NULL, NULL));
	REFUSED(async_loop_close(NULL));
	async_loop_free(NULL);
	REFUSED(async_loop_run_until_complete(NULL, NULL));
	REFUSED(async_loop_run_forever(NULL));
	REFUSED(async_loop_run_once(NULL));
	REFUSED(async_loop_fd(NULL));
	async_loop_stop(NULL);
	GIVES(async_loop_is_running(NULL), false);
	GIVES(async_loop_is_closed(NULL), false);
	assert_true(async_loop_time(NULL) > 0 || inside);
	REFUSED(async_loop_call_soon(loop, NULL, NULL, NULL));
	REFUSED(async_loop_call_later(loop, 0, NULL, NULL, NULL));
	REFUSED(async_loop_call_at(loop, 0, NULL, NULL, NULL));
	REFUSED(async_loop_call_soon_threadsafe(NULL, callback, NULL));
	REFUSED(async_loop_call_soon_threadsafe(loop, NULL, NULL));
	REFUSED(async_loop_call_soon_with(loop, NULL, NULL, NULL, NULL));
	REFUSED(async_loop_call_later_with(loop, 0, NULL, NULL, NULL, NULL));
	REFUSED(async_loop_call_at_with(loop, 0, NULL, NULL, NULL, NULL));
	REFUSED(async_loop_call_soon_threadsafe_with(NULL, callback, NULL, NULL));
	REFUSED(async_loop_call_soon_threadsafe_with(loop, NULL, NULL, NULL));
	REFUSED(async_handle_new(loop, callback, NULL, NULL));
	REFUSED(async_handle_new(loop, NULL, NULL, &(async_handle *){NULL}));
	REFUSED(async_handle_new_with(loop, callback, NULL, NULL, NULL));
	REFUSED(async_handle_new_with(loop, NULL, NULL, NULL, &(async_handle *){NULL}));
	REFUSED(async_handle_post(NULL));
	async_handle_cancel(NULL);
	GIVES(async_handle_cancelled(NULL), false);
	async_handle_release(NULL);
	REFUSED(async_loop_set_error_handler(NULL, NULL, NULL));
	REFUSED(async_loop_get_stats(NULL, &(struct async_loop_stats){.size = sizeof(struct async_loop_stats)}));
	REFUSED(async_loop_get_stats(loop, NULL));

	REFUSED(async_loop_add_reader(loop, 0, NULL, NULL));
	REFUSED(async_loop_add_writer(loop, 0, NULL, NULL));
	REFUSED(async_loop_add_reader(NULL, -1, NULL, NULL));
	REFUSED(async_loop_add_writer(NULL, -1, NULL, NULL));
	GIVES(async_loop_remove_reader(NULL, -1) <= 0, true);
	GIVES(async_loop_remove_writer(NULL, -1) <= 0, true);
	REFUSED(async_loop_add_signal_handler(loop, SIGUSR1, NULL, NULL));
	GIVES(async_loop_remove_signal_handler(NULL, SIGUSR1) <= 0, true);
	REFUSED(async_signal_wait(NULL, 1));

	REFUSED(async_run(NULL, NULL));
	REFUSED(async_run_with(NULL, NULL, NULL));
	REFUSED(async_runner_open(NULL, NULL));
	REFUSED(async_runner_run(NULL, body, NULL));
	REFUSED(async_runner_run(&(struct async_runner)ASYNC_RUNNER_INIT, NULL, NULL));
	GIVES(async_runner_get_loop(NULL), NULL);
	REFUSED(async_runner_close(NULL));

	REFUSED(async_run_coroutine_threadsafe(NULL, body, NULL, NULL, &concurrent));
	REFUSED(async_run_coroutine_threadsafe(loop, NULL, NULL, NULL, &concurrent));
	REFUSED(async_run_coroutine_threadsafe(NULL, body, NULL, NULL, NULL));
	REFUSED(async_concurrent_result(NULL, 0));
	GIVES(async_concurrent_done(NULL), false);
	GIVES(async_concurrent_cancelled(NULL), false);
	REFUSED(async_concurrent_cancel(NULL, NULL));
	GIVES(async_concurrent_ref(NULL), NULL);
	async_concurrent_release(NULL);
}

static void together(void)
{
	async_future *none = NULL, *future;
	struct async_group group = ASYNC_GROUP_INIT;

	REFUSED(async_wait(NULL, 1, ASYNC_WAIT_ALL_COMPLETED, 0));
	FAILED(async_gather(NULL, 1, 0, NULL));
	FAILED(async_gather(&none, 1, 0, NULL));
	REFUSED(async_wait_for(NULL, 0));
	FAILED(async_shield(NULL));
	REFUSED(async_as_completed(NULL, 1, 0, &(async_completions *){NULL}));
	REFUSED(async_as_completed(NULL, 0, 0, NULL));
	REFUSED(async_next_completed(NULL, &future));
	async_completions_free(NULL);
	REFUSED(async_select(NULL, 1));
	REFUSED(async_select_from(NULL, 1, 0));

	REFUSED(async_group_begin(NULL));
	FAILED(async_group_create_task(NULL, body, NULL));
	FAILED(async_group_create_task_with(NULL, body, NULL, NULL));
	REFUSED(async_group_spawn(NULL, body, NULL, NULL));
	REFUSED(async_group_end(NULL, 0));
	REFUSED(async_group_cancel(NULL));
	GIVES(async_group_error_count(NULL), 0);
	GIVES(async_group_error(NULL, 0) <= 0, true);
	if (inside) {
		GIVES(async_group_begin(&group), 0);
		REFUSED(async_group_spawn(&group, NULL, NULL, NULL));
		GIVES(async_group_end(&group, 0), 0);
		async_completions *completions;
		GIVES(async_as_completed(NULL, 0, 0, &completions), 0);
		REFUSED(async_next_completed(completions, NULL));
		async_completions_free(completions);
	}

	REFUSED(async_timeout_begin(NULL, 0));
	REFUSED(async_timeout_begin_at(NULL, 0));
	REFUSED(async_timeout_reschedule(NULL, 0));
	GIVES(async_timeout_when(NULL), ASYNC_FOREVER);
	GIVES(async_timeout_expired(NULL), false);
	REFUSED(async_timeout_end(NULL, 0));
}

static void synchronisation(void)
{
	async_queue *queue;

	REFUSED(async_lock_acquire(NULL));
	REFUSED(async_lock_release(NULL));
	GIVES(async_lock_locked(NULL), false);
	REFUSED(async_event_set(NULL));
	REFUSED(async_event_clear(NULL));
	GIVES(async_event_is_set(NULL), false);
	REFUSED(async_event_wait(NULL));
	REFUSED(async_condition_acquire(NULL));
	REFUSED(async_condition_release(NULL));
	GIVES(async_condition_locked(NULL), false);
	REFUSED(async_condition_wait(NULL));
	REFUSED(async_condition_wait_for(NULL, body, NULL));
	REFUSED(async_condition_wait_for(&(struct async_condition)ASYNC_CONDITION_INIT, NULL, NULL));
	REFUSED(async_condition_notify(NULL, 1));
	REFUSED(async_condition_notify_all(NULL));
	REFUSED(async_semaphore_acquire(NULL));
	REFUSED(async_semaphore_release(NULL));
	GIVES(async_semaphore_locked(NULL), true);
	GIVES(async_semaphore_value(NULL), 0);
	REFUSED(async_barrier_wait(NULL));
	REFUSED(async_barrier_reset(NULL));
	REFUSED(async_barrier_abort(NULL));
	GIVES(async_barrier_parties(NULL), 0);
	GIVES(async_barrier_waiting(NULL), 0);
	GIVES(async_barrier_broken(NULL), false);

	REFUSED(async_queue_new(NULL, NULL));
	GIVES(async_queue_free(NULL), 0);
	REFUSED(async_queue_put(NULL, NULL));
	REFUSED(async_queue_put_priority(NULL, NULL, 0));
	REFUSED(async_queue_get(NULL, &(void *){NULL}));
	REFUSED(async_queue_put_nowait(NULL, NULL));
	REFUSED(async_queue_put_priority_nowait(NULL, NULL, 0));
	REFUSED(async_queue_get_nowait(NULL, &(void *){NULL}));
	REFUSED(async_queue_task_done(NULL));
	REFUSED(async_queue_join(NULL));
	REFUSED(async_queue_shutdown(NULL, false));
	GIVES(async_queue_size(NULL), 0);
	GIVES(async_queue_max_items(NULL), 0);
	GIVES(async_queue_empty(NULL), true);
	GIVES(async_queue_full(NULL), false);
	GIVES(async_queue_new(NULL, &queue), 0);
	REFUSED(async_queue_get(queue, NULL));
	REFUSED(async_queue_get_nowait(queue, NULL));
	GIVES(async_queue_free(queue), 0);

	GIVES(async_local_get(NULL), NULL);
	REFUSED(async_local_set(NULL, NULL, NULL));
}

static void executors(void)
{
	async_executor *executor;
	async_future *future;
	const struct async_executor_ops no_ops = {.size = sizeof(no_ops)};

	REFUSED(async_thread_pool_new(NULL, NULL));
	FAILED(async_run_in_executor(NULL, NULL, NULL));
	FAILED(async_run_in_executor_with(NULL, NULL, NULL, NULL));
	REFUSED(async_to_thread(NULL, NULL));
	FAILED(async_executor_map(NULL, NULL, NULL, 0, 0, NULL));
	FAILED(async_executor_map(NULL, body, NULL, 1, 0, NULL));
	REFUSED(async_executor_shutdown(NULL, false, false));
	REFUSED(async_executor_close(NULL, false));
	async_executor_free(NULL);
	REFUSED(async_executor_threads(NULL));
	GIVES(async_thread_pool_new(NULL, &executor), 0);
	FAILED(async_run_in_executor(executor, NULL, NULL));
	future = async_run_in_process(executor, in_process, NULL, 0);
	GIVES(async_error(future) < 0, true);
	async_release(future);
	async_executor_free(executor);

	REFUSED(async_executor_new(NULL, NULL, &executor));
	REFUSED(async_executor_new(&no_ops, NULL, &executor));
	REFUSED(async_executor_new(&no_ops, NULL, NULL));
	GIVES(async_job_next(NULL), NULL);
	async_job_set_next(NULL, NULL);
	async_job_run(NULL);
	async_job_complete(NULL, 0);
	GIVES((intptr_t)async_job_fn(NULL), NULL);
	GIVES(async_job_arg(NULL), NULL);
	async_job_skip(NULL, -EIO);

	REFUSED(async_process_pool_new(NULL, NULL));
	REFUSED(async_reply_write(NULL, "", 1));
	FAILED(async_run_in_process(NULL, in_process, NULL, 0));
	FAILED(async_run_in_process(NULL, NULL, NULL, 0));
	REFUSED(async_process_result_value(NULL));
	GIVES(async_process_result_data(NULL), NULL);
	GIVES(async_process_result_size(NULL), 0);
	async_process_result_free(NULL);
}

/* `fd` is the end of a pipe with something to read. */
static void files(int fd)
{
	off_t offset = 0;

	REFUSED(async_read(fd, NULL, 1));
	REFUSED(async_readv(fd, NULL, 1));
	REFUSED(async_open(NULL, O_RDONLY, 0));
	REFUSED(async_openat(AT_FDCWD, NULL, O_RDONLY, 0));
	REFUSED(async_stat(NULL, &(struct stat){0}));
	REFUSED(async_stat("/", NULL));
	REFUSED(async_lstat(NULL, &(struct stat){0}));
	REFUSED(async_lstat("/", NULL));
	REFUSED(async_fstat(fd, NULL));
	REFUSED(async_rename(NULL, "b"));
	REFUSED(async_rename("a", NULL));
	REFUSED(async_unlink(NULL));
	REFUSED(async_mkdir(NULL, 0));
	REFUSED(async_rmdir(NULL));
	REFUSED(async_truncate(NULL, 0));
	int file = open("/proc/self/exe", O_RDONLY), directory = open("/", O_RDONLY | O_DIRECTORY);
	REFUSED(async_pread(file, NULL, 1, 0));
	REFUSED(async_preadv(file, NULL, 1, 0));
	REFUSED(async_getdents(directory, NULL, 1000));
	close(file);
	close(directory);
	char name[] = "/tmp/async-null-XXXXXX";
	file = mkstemp(name);
	unlink(name);
	REFUSED(async_write(file, NULL, 1));
	REFUSED(async_writev(file, NULL, 1));
	REFUSED(async_pwrite(file, NULL, 1, 0));
	REFUSED(async_pwritev(file, NULL, 1, 0));
	GIVES(async_sendfile(file, file, NULL, 0), inside ? 0 : -EPERM);
	GIVES(async_splice(fd, NULL, file, &offset, 0, 0), inside ? 0 : -EPERM);
	close(file);
}

/* `fd` is a socket with something to read. */
static void sockets(int fd)
{
	struct sockaddr_un address;
	struct addrinfo *list;

	REFUSED(async_unix_address(NULL, &address));
	REFUSED(async_unix_address("path", NULL));
	REFUSED(async_recv(fd, NULL, 1, 0));
	REFUSED(async_send(fd, NULL, 1, 0));
	REFUSED(async_recvfrom(fd, NULL, 1, 0, NULL, NULL));
	REFUSED(async_sendto(fd, NULL, 1, 0, NULL, 0));
	REFUSED(async_recvmsg(fd, NULL, 0));
	REFUSED(async_sendmsg(fd, NULL, 0));
	REFUSED(async_accept(fd, (struct sockaddr *)&address, NULL));
	REFUSED(async_connect(fd, NULL, 16));
	REFUSED(async_recvfrom(fd, &address, 1, 0, (struct sockaddr *)&address, NULL));
	REFUSED(async_resolve("localhost", NULL, NULL, NULL));
	GIVES(async_resolve(NULL, NULL, NULL, &list) < 0, true);
}

static void streams(int fd)
{
	async_stream *stream;
	char *line;
	int (*print)(async_stream *stream, const char *format, ...) = async_stream_printf;

	REFUSED(async_stream_open(fd, NULL, NULL));
	REFUSED(async_stream_read(NULL, &fd, 1));
	REFUSED(async_stream_readexactly(NULL, &fd, 1));
	REFUSED(async_stream_readuntil(NULL, "\n", 1, &line));
	REFUSED(async_stream_readline(NULL, &line));
	GIVES(async_stream_at_eof(NULL), false);
	REFUSED(async_stream_write(NULL, "", 1));
	REFUSED(async_stream_writev(NULL, NULL, 0));
	REFUSED(async_stream_printf(NULL, "x"));
	REFUSED(async_stream_drain(NULL));
	REFUSED(async_stream_write_eof(NULL));
	REFUSED(async_stream_close(NULL));
	async_stream_abort(NULL);
	REFUSED(async_stream_fd(NULL));
	GIVES(async_stream_buffered(NULL), 0);
	GIVES(async_stream_unsent(NULL), 0);
	if (!inside)
		return;
	GIVES(async_stream_open(dup(fd), NULL, &stream), 0);
	REFUSED(async_stream_read(stream, NULL, 1));
	REFUSED(async_stream_readexactly(stream, NULL, 1));
	REFUSED(async_stream_readuntil(stream, NULL, 1, &line));
	REFUSED(async_stream_readuntil(stream, "\n", 1, NULL));
	REFUSED(async_stream_readline(stream, NULL));
	REFUSED(async_stream_write(stream, NULL, 1));
	REFUSED(async_stream_writev(stream, NULL, 1));
	REFUSED(print(stream, NULL));
	async_stream_abort(stream);
}

static void servers(int fd)
{
	async_server *server;
	async_stream *stream;

	REFUSED(async_start_server(NULL, NULL, serve, NULL, NULL, &server));
	REFUSED(async_start_server(NULL, "0", NULL, NULL, NULL, &server));
	REFUSED(async_start_server(NULL, "0", serve, NULL, NULL, NULL));
	REFUSED(async_start_unix_server(NULL, serve, NULL, NULL, &server));
	REFUSED(async_start_unix_server("@null", NULL, NULL, NULL, &server));
	REFUSED(async_start_unix_server("@null", serve, NULL, NULL, NULL));
	REFUSED(async_start_server_on(NULL, 1, serve, NULL, NULL, &server));
	REFUSED(async_start_server_on(&fd, 1, NULL, NULL, NULL, &server));
	REFUSED(async_start_server_on(&fd, 1, serve, NULL, NULL, NULL));
	REFUSED(async_server_serve_forever(NULL));
	REFUSED(async_server_close(NULL));
	REFUSED(async_server_abort(NULL));
	REFUSED(async_server_address(NULL, 0, NULL, NULL));
	REFUSED(async_server_get_stats(NULL, NULL));
	if (inside) {
		struct sockaddr_un address;
		socklen_t size = sizeof(address);

		GIVES(async_start_unix_server("@null", serve, NULL, NULL, &server), 0);
		REFUSED(async_server_address(server, 0, NULL, &size));
		REFUSED(async_server_address(server, 0, (struct sockaddr *)&address, NULL));
		REFUSED(async_server_get_stats(server, NULL));
		GIVES(async_server_close(server), 0);
	}
	REFUSED(async_open_connection("localhost", NULL, NULL, &stream));
	REFUSED(async_open_connection("localhost", "1", NULL, NULL));
	REFUSED(async_open_unix_connection(NULL, NULL, &stream));
	REFUSED(async_open_unix_connection("@null", NULL, NULL));
	REFUSED(async_create_connection("localhost", NULL, NULL));
}

static void processes(void)
{
	char *const words[] = {(char *)"true", NULL}, *const no_words[] = {NULL};
	async_process *process;

	REFUSED(async_process_spawn(NULL, words, NULL, &process));
	REFUSED(async_process_spawn("true", NULL, NULL, &process));
	REFUSED(async_process_spawn("true", no_words, NULL, &process));
	REFUSED(async_process_spawn("true", words, NULL, NULL));
	GIVES(async_process_pid(NULL) <= 0, true);
	GIVES(async_process_fd(NULL, 0) < 0, true);
	GIVES(async_process_take_fd(NULL, 0) < 0, true);
	REFUSED(async_process_wait(NULL));
	REFUSED(async_process_kill(NULL, SIGTERM));
	REFUSED(async_process_communicate(NULL, NULL, 0, 0, NULL, NULL));
	GIVES(async_process_close(NULL), 0);
	if (!inside)
		return;
	struct async_process_options options = ASYNC_PROCESS_OPTIONS_INIT;
	options.stdio[0].kind = ASYNC_STDIO_PIPE;
	GIVES(async_process_spawn("true", words, &options, &process), 0);
	REFUSED(async_process_communicate(process, NULL, 1, 0, NULL, NULL));
	GIVES(async_process_wait(process), 0);
	GIVES(async_process_close(process), 0);
}

static void what_is_told(void)
{
	REFUSED(async_get_system_info(NULL));
	REFUSED(async_trace_read(NULL, NULL));
	struct async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;
	options.on_exit = true;
	REFUSED(async_trace_start(&options));
}

static void everything(void)
{
	int ends[2], pair[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(write(pair[1], "x", 1), 1);
	tasks_and_futures();
	loops();
	together();
	synchronisation();
	executors();
	files(ends[0]);
	sockets(pair[0]);
	streams(pair[0]);
	servers(pair[0]);
	processes();
	what_is_told();
	for (int i = 0; i < 2; i++) {
		close(ends[i]);
		close(pair[i]);
	}
}

static intptr_t everything_inside(void *arg)
{
	(void)arg;
	inside = true;
	everything();
	inside = false;
	return 0;
}

static void in_a_task(void **state)
{
	struct async_options options = test_options();

	(void)state;
	if (under_tool("valgrind"))
		skip(); /* it says what is done here on purpose: addresses that are none are handed to the kernel */
	assert_int_equal(run_with(everything_inside, NULL, &options), 0);
	assert_int_equal(wrong, 0);
}

static void outside_of_tasks(void **state)
{
	(void)state;
	everything();
	async_loop_close(async_get_event_loop());
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(outside_of_tasks),
		TEST(in_a_task),
	};

	return cmocka_run_group_tests_name("null_arguments", tests, NULL, NULL);
}
