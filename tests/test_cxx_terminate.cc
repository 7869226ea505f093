/* SPDX-License-Identifier: MIT */
/*
 * C++: an exception that leaves a function which the library calls ends in std::terminate, where it was thrown: nothing
 * has been unwound, although there are handlers above. Each kind of function is called in a process of its own.
 */
#include <async/async.hpp>
#include <async/executor_ops.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

enum outcome : char { DIED, TERMINATED, UNWOUND, CAUGHT, NOT_CALLED };
int told[2];

/* By a signal, so that no tool looks for leaks: where everything is left as it is, there are some. */
[[noreturn]] void leave(outcome how)
{
	if (write(told[1], &how, 1) == 1)
		kill(getpid(), SIGKILL);
	_exit(1);
}

/* Tells that a frame was unwound. */
struct witness {
	~witness() { leave(UNWOUND); }
};

void on_terminate()
{
	leave(std::current_exception() ? TERMINATED : CAUGHT);
}

[[noreturn]] void fail()
{
	witness here;

	throw std::runtime_error("from a function that the library calls");
}

void callback(void *)
{
	fail();
}

intptr_t function(void *)
{
	fail();
}

void drop(intptr_t)
{
	fail();
}

intptr_t nothing(void *)
{
	return 0;
}

async_loop *running()
{
	return async_get_running_loop();
}

/* How each is made to be called; what it returns is no matter. */

intptr_t body(void *)
{
	return async_await(async_create_task(function, nullptr));
}

intptr_t eager_body(void *)
{
	async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.eager = true;
	return async_await(async_create_task_with(function, nullptr, &options));
}

intptr_t call_soon(void *)
{
	(void)async_loop_call_soon(running(), callback, nullptr, nullptr);
	return async_sleep(ASYNC_S);
}

intptr_t call_later(void *)
{
	(void)async_loop_call_later(running(), 1, callback, nullptr, nullptr);
	return async_sleep(ASYNC_S);
}

intptr_t call_soon_threadsafe(void *)
{
	(void)async_loop_call_soon_threadsafe(running(), callback, nullptr);
	return async_sleep(ASYNC_S);
}

intptr_t posted_handle(void *)
{
	async_handle *handle;

	if (async_handle_new(running(), callback, nullptr, &handle) == 0)
		async_handle_post(handle);
	return async_sleep(ASYNC_S);
}

void done_callback_fn(async_future *, void *)
{
	fail();
}

intptr_t done_callback(void *)
{
	async_future *future = async_future_new(nullptr, nullptr);

	(void)async_add_done_callback(future, done_callback_fn, nullptr);
	async_future_set_result(future, 0);
	return async_sleep(ASYNC_S);
}

intptr_t reader(void *)
{
	int ends[2];

	if (pipe(ends) == 0 && write(ends[1], "x", 1) == 1)
		(void)async_loop_add_reader(running(), ends[0], callback, nullptr);
	return async_sleep(ASYNC_S);
}

intptr_t writer(void *)
{
	int ends[2];

	if (pipe(ends) == 0)
		(void)async_loop_add_writer(running(), ends[1], callback, nullptr);
	return async_sleep(ASYNC_S);
}

intptr_t signal_handler(void *)
{
	(void)async_loop_add_signal_handler(running(), SIGUSR1, callback, nullptr);
	kill(getpid(), SIGUSR1);
	return async_sleep(ASYNC_S);
}

int error_handler_fn(const async_error_context *, void *)
{
	fail();
}

intptr_t failing(void *)
{
	return -EIO;
}

intptr_t error_handler(void *)
{
	async_loop_set_error_handler(running(), error_handler_fn, nullptr);
	async_release(async_create_task(failing, nullptr));
	return async_sleep(ASYNC_S);
}

intptr_t refused_destroy(void *)
{
	async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.destroy = callback;
	options.stack_size = 1;
	return async_await(async_create_task_with(nothing, nullptr, &options));
}

intptr_t destroy(void *)
{
	async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.destroy = callback;
	async_task *task = async_create_task_with(nothing, nullptr, &options);
	async_cancel(task, nullptr);
	return async_await(task);
}

intptr_t callback_destroy(void *)
{
	async_call_options options = ASYNC_CALL_OPTIONS_INIT;
	async_handle *handle;

	options.destroy = callback;
	if (async_loop_call_later_with(running(), ASYNC_S, callback, nullptr, &options, &handle) == 0)
		async_handle_cancel(handle);
	return 0;
}

intptr_t refused_callback_destroy(void *)
{
	async_call_options options = ASYNC_CALL_OPTIONS_INIT;

	options.destroy = callback;
	return async_loop_call_soon_with(running(), nullptr, nullptr, &options, nullptr);
}

intptr_t done_callback_destroy(void *)
{
	async_call_options options = ASYNC_CALL_OPTIONS_INIT;
	async_future *future = async_future_new(nullptr, nullptr);

	options.destroy = callback;
	if (async_add_done_callback_with(future, done_callback_fn, nullptr, &options) == 0)
		async_remove_done_callback(future, done_callback_fn, nullptr);
	return 0;
}

intptr_t refused_done_callback_destroy(void *)
{
	async_call_options options = ASYNC_CALL_OPTIONS_INIT;
	async_future *future = async_future_new(nullptr, nullptr);

	options.destroy = callback;
	return async_add_done_callback_with(future, nullptr, nullptr, &options);
}

intptr_t group_destroy(void *)
{
	async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	async_group group = ASYNC_GROUP_INIT;

	options.destroy = callback;
	/* It has not begun. */
	return async_group_spawn(&group, nothing, nullptr, &options);
}

intptr_t concurrent_destroy(void *)
{
	async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.destroy = callback;
	return async_run_coroutine_threadsafe(nullptr, nothing, nullptr, &options, nullptr);
}

intptr_t concurrent_body(void *)
{
	(void)async_run_coroutine_threadsafe(running(), function, nullptr, nullptr, nullptr);
	return async_sleep(ASYNC_S);
}

intptr_t task_drop(void *)
{
	async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.drop = drop;
	async_release(async_create_task_with(nothing, nullptr, &options));
	return async_sleep(ASYNC_S);
}

intptr_t future_drop(void *)
{
	async_future *future = async_future_new(nullptr, drop);

	async_future_set_result(future, 1);
	async_release(future);
	return 0;
}

intptr_t predicate(void *)
{
	async_condition condition = ASYNC_CONDITION_INIT;
	int error = async_condition_acquire(&condition);

	return error ? error : async_condition_wait_for(&condition, function, nullptr);
}

int compare(const void *, const void *)
{
	fail();
}

intptr_t queue_compare(void *)
{
	async_queue_options options = ASYNC_QUEUE_OPTIONS_INIT;
	async_queue *queue;

	options.order = ASYNC_QUEUE_PRIORITY;
	options.compare = compare;
	if (async_queue_new(&options, &queue) == 0)
		for (int i = 0; i < 2; i++)
			async_queue_put_nowait(queue, &queue);
	return 0;
}

intptr_t queue_drop(void *)
{
	async_queue_options options = ASYNC_QUEUE_OPTIONS_INIT;
	async_queue *queue;

	options.drop = callback;
	if (async_queue_new(&options, &queue) == 0) {
		async_queue_put_nowait(queue, &queue);
		async_queue_shutdown(queue, true);
	}
	return 0;
}

intptr_t thread_job(void *)
{
	return async_to_thread(function, nullptr);
}

intptr_t executor_job(void *)
{
	return async_await(async_run_in_executor(nullptr, function, nullptr));
}

intptr_t mapped_job(void *)
{
	void *const args[1] = {nullptr};

	return async_await(async_executor_map(nullptr, function, args, 1, 0, nullptr));
}

intptr_t job_destroy(void *)
{
	async_job_options options = ASYNC_JOB_OPTIONS_INIT;

	options.destroy = callback;
	async_future *job = async_run_in_executor_with(nullptr, nothing, nullptr, &options);
	async_cancel(job, nullptr);
	return async_await(job);
}

intptr_t refused_job_destroy(void *)
{
	async_job_options options = ASYNC_JOB_OPTIONS_INIT;

	options.destroy = callback;
	return async_await(async_run_in_executor_with(nullptr, nullptr, nullptr, &options));
}

intptr_t job_drop(void *)
{
	async_job_options options = ASYNC_JOB_OPTIONS_INIT;

	options.drop = drop;
	async_release(async_run_in_executor_with(nullptr, nothing, nullptr, &options));
	return async_sleep(ASYNC_S);
}

intptr_t initializer(void *)
{
	async_thread_pool_options options = ASYNC_THREAD_POOL_OPTIONS_INIT;
	async_executor *pool;

	options.initializer = function;
	int error = async_thread_pool_new(&options, &pool);
	return error ? error : async_await(async_run_in_executor(pool, nothing, nullptr));
}

/* An executor of the user's, in which one of the operations throws. */

enum operation { SUBMIT, CANCEL, SHUTDOWN, FREE, WORKERS };
operation throwing;

void fail_instead(async_job *)
{
	fail();
}

int submit(void *, async_job *first, size_t)
{
	/* A choice between functions: gcc's code for ThreadSanitizer forgets that a branch which only throws may
	 * throw. */
	void (*const run)(async_job *) = throwing == SUBMIT ? fail_instead : async_job_run;

	if (throwing != CANCEL)
		run(first);
	return 0;
}

bool cancel(void *, async_job *)
{
	fail();
}

int shut_down(void *, bool, bool)
{
	if (throwing == SHUTDOWN)
		fail();
	return 0;
}

void free_data(void *)
{
	if (throwing == FREE)
		fail();
}

size_t workers(void *)
{
	fail();
}

intptr_t use_executor(operation which)
{
	async_executor_ops ops = ASYNC_EXECUTOR_OPS_INIT;
	async_executor *executor;

	throwing = which;
	ops.submit = submit;
	ops.cancel = cancel;
	ops.shutdown = shut_down;
	ops.free = free_data;
	ops.workers = workers;
	if (async_executor_new(&ops, nullptr, &executor) < 0)
		return -1;
	async_future *job = async_run_in_executor(executor, nothing, nullptr);
	int error = async_sleep(0);
	if (error == 0)
		error = async_sleep(0);
	if (which == CANCEL)
		async_cancel(job, nullptr);
	async_release(job);
	if (which == WORKERS)
		return async_executor_threads(executor);
	async_executor_free(executor);
	return async_sleep(0);
}

intptr_t executor_submit(void *)
{
	return use_executor(SUBMIT);
}

intptr_t executor_cancel(void *)
{
	return use_executor(CANCEL);
}

intptr_t executor_shutdown(void *)
{
	return use_executor(SHUTDOWN);
}

intptr_t executor_free(void *)
{
	return use_executor(FREE);
}

intptr_t executor_workers(void *)
{
	return use_executor(WORKERS);
}

intptr_t connection(async_stream *, void *)
{
	fail();
}

intptr_t server_connection(void *)
{
	async_server *server;
	char address[128];
	socklen_t size = sizeof(address);
	int error = async_start_server("127.0.0.1", "0", connection, nullptr, nullptr, &server);

	if (error)
		return error;
	async_server_address(server, 0, reinterpret_cast<sockaddr *>(address), &size);
	int fd = async_socket(AF_INET, SOCK_STREAM, 0);
	if (async_connect(fd, reinterpret_cast<sockaddr *>(address), size) < 0)
		return -1;
	return async_sleep(10 * ASYNC_S);
}

int visit(const async_trace_record *, void *)
{
	fail();
}

intptr_t trace_visitor(void *)
{
	async_trace_options options = ASYNC_TRACE_OPTIONS_INIT;
	int error = async_trace_start(&options);

	if (error)
		return error;
	(void)!async_sleep(0);
	async_trace_stop();
	return async_trace_read(visit, nullptr);
}

/* The callables of <async/async.hpp>. Volatile, as a compiler that sees the throw and a noexcept around it need not
 * unwind: it would hide what is wrong. */

void (*volatile somehow_fail)() = fail;

void callable()
{
	somehow_fail();
}

intptr_t callable_of_create_task(void *)
{
	return async::create_task(callable).await();
}

intptr_t callable_of_eager_task(void *)
{
	async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.eager = true;
	return async::create_task(callable, options).await();
}

intptr_t callable_of_group(void *)
{
	async::task_group group;

	group.create_task(callable);
	return group.end();
}

intptr_t callable_of_to_thread(void *)
{
	return async::to_thread(callable);
}

intptr_t callable_of_executor(void *)
{
	return async::run_in_executor(nullptr, callable).await();
}

/* In a thread that has no loop. */
intptr_t callable_of_run(void *)
{
	return async::to_thread([] {
		try {
			return async::run(callable);
		} catch (...) {
			leave(CAUGHT);
		}
	});
}

struct test {
	const char *name;
	async_fn *fn;
};

/* What is called in the stack of the task could be caught there, the rest by whoever runs the loop. */
intptr_t in_task(void *fn)
{
	try {
		return reinterpret_cast<async_fn *>(fn)(nullptr);
	} catch (...) {
		leave(CAUGHT);
	}
}

/* The process in which it is called. */
[[noreturn]] void call(const test &test)
{
	const char *kind = std::getenv("ASYNC_TEST_SWITCH"), *backend = std::getenv("ASYNC_TEST_BACKEND");
	async_options options = ASYNC_OPTIONS_INIT;

	if (kind)
		options.switch_kind = std::strcmp(kind, "asm") == 0 ? ASYNC_SWITCH_ASM : ASYNC_SWITCH_UCONTEXT;
	if (backend)
		options.backend = std::strcmp(backend, "epoll") == 0 ? ASYNC_BACKEND_EPOLL : ASYNC_BACKEND_IO_URING;
	std::set_terminate(on_terminate);
	try {
		async_run_with(in_task, reinterpret_cast<void *>(test.fn), &options);
	} catch (...) {
		leave(CAUGHT);
	}
	leave(NOT_CALLED);
}

const char *said(outcome how)
{
	switch (how) {
	case UNWOUND:
		return "frames were unwound";
	case CAUGHT:
		return "somebody above caught it";
	case NOT_CALLED:
		return "the function was not called";
	default:
		return "it died of something else";
	}
}

} // namespace

#define TEST(name) {#name, name}

int main()
{
	static const test tests[] = {
		TEST(body),
		TEST(eager_body),
		TEST(call_soon),
		TEST(call_later),
		TEST(call_soon_threadsafe),
		TEST(posted_handle),
		TEST(done_callback),
		TEST(reader),
		TEST(writer),
		TEST(signal_handler),
		TEST(error_handler),
		TEST(destroy),
		TEST(refused_destroy),
		TEST(callback_destroy),
		TEST(refused_callback_destroy),
		TEST(done_callback_destroy),
		TEST(refused_done_callback_destroy),
		TEST(group_destroy),
		TEST(concurrent_destroy),
		TEST(concurrent_body),
		TEST(task_drop),
		TEST(future_drop),
		TEST(predicate),
		TEST(queue_compare),
		TEST(queue_drop),
		TEST(thread_job),
		TEST(executor_job),
		TEST(mapped_job),
		TEST(job_destroy),
		TEST(refused_job_destroy),
		TEST(job_drop),
		TEST(initializer),
		TEST(executor_submit),
		TEST(executor_cancel),
		TEST(executor_shutdown),
		TEST(executor_free),
		TEST(executor_workers),
		TEST(server_connection),
		TEST(trace_visitor),
		TEST(callable_of_create_task),
		TEST(callable_of_eager_task),
		TEST(callable_of_group),
		TEST(callable_of_to_thread),
		TEST(callable_of_executor),
		TEST(callable_of_run),
	};
	bool failed = false;

	std::printf("1..%zu\n", sizeof(tests) / sizeof(tests[0]));
	for (const test &test : tests) {
		outcome how = DIED;

		std::fflush(stdout);
		if (pipe(told) < 0)
			return 1;
		pid_t child = fork();
		if (child == 0)
			call(test);
		close(told[1]);
		bool right = read(told[0], &how, 1) == 1 && how == TERMINATED;
		close(told[0]);
		waitpid(child, nullptr, 0);
		std::printf("%s - %s\n", right ? "ok" : "not ok", test.name);
		if (!right)
			std::printf("# %s\n", said(how));
		failed |= !right;
	}
	return failed;
}
