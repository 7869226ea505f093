/* SPDX-License-Identifier: MIT */
/*
 * C++: exceptions belong to their tasks, and <async/async.hpp> releases, ends and closes. In C++11, without cmocka,
 * which is for C: a check that fails ends the program.
 */
#include <async/async.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			std::printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition); \
			std::fflush(stdout); \
			std::abort(); \
		} \
	} while (0)

namespace {

typedef std::chrono::milliseconds ms;

async_options options()
{
	const char *kind = std::getenv("ASYNC_TEST_SWITCH"), *backend = std::getenv("ASYNC_TEST_BACKEND");
	async_options made = ASYNC_OPTIONS_INIT;

	made.clock = ASYNC_CLOCK_VIRTUAL;
	made.debug = true;
	made.slow_task = 3600 * ASYNC_S;
	if (kind)
		made.switch_kind = std::strcmp(kind, "asm") == 0 ? ASYNC_SWITCH_ASM : ASYNC_SWITCH_UCONTEXT;
	if (backend)
		made.backend = std::strcmp(backend, "epoll") == 0 ? ASYNC_BACKEND_EPOLL : ASYNC_BACKEND_IO_URING;
	return made;
}

/* Long enough to be on the heap: what is freed is noticed by whoever watches. */
std::string long_name(int number)
{
	return "the exception of the task with the number " + std::to_string(number);
}

/* Exceptions */

struct failure : std::exception {
	explicit failure(int number) : text(long_name(number)) { alive++; }
	failure(const failure &other) : std::exception(other), text(other.text) { alive++; }
	~failure() override { alive--; }
	const char *what() const noexcept override { return text.c_str(); }

	std::string text;
	static int alive;
};
int failure::alive;

/* Waits while it handles an exception, within another one, and throws again what it caught first. */
void handle_and_wait(int number)
{
	try {
		try {
			throw failure(number);
		} catch (const failure &outer) {
			CHECK(async::sleep_for(ms(number % 7)) == 0);
			CHECK(outer.what() == long_name(number));
			try {
				throw failure(number + 1000);
			} catch (const failure &inner) {
				CHECK(async::sleep_for(ms(number % 5)) == 0);
				CHECK(inner.what() == long_name(number + 1000));
			}
			CHECK(async::sleep_for(ms(number % 3)) == 0);
			throw;
		}
	} catch (const std::exception &caught) {
		CHECK(caught.what() == long_name(number));
	}
	CHECK(!std::current_exception());
}

void exceptions_are_their_own()
{
	failure::alive = 0;
	CHECK(async::run(
		      [] {
			      async::task_group group;

			      for (int i = 0; i < 50; i++)
				      group.create_task([i] {
					      CHECK(!std::current_exception());
					      handle_and_wait(i);
				      });
			      return group.end();
		      },
		      options()) == 0);
	CHECK(failure::alive == 0);
}

#if __cplusplus >= 201703L
#define IN_FLIGHT() std::uncaught_exceptions()
#else
#define IN_FLIGHT() (std::uncaught_exception() ? 1 : 0)
#endif

/* Waits while an exception flies: its destructor does. */
struct waits_at_the_end {
	explicit waits_at_the_end(int time) : how_long(time) {}
	~waits_at_the_end()
	{
		CHECK(IN_FLIGHT() == 1);
		CHECK(async::sleep_for(ms(how_long)) == 0);
		CHECK(IN_FLIGHT() == 1);
	}
	int how_long;
};

void exceptions_fly_across_a_wait()
{
	CHECK(async::run(
		      [] {
			      async::task_group group;

			      for (int i = 0; i < 20; i++)
				      group.create_task([i] {
					      CHECK(IN_FLIGHT() == 0);
					      try {
						      waits_at_the_end scope(i % 4);
						      throw failure(i);
					      } catch (const failure &caught) {
						      CHECK(IN_FLIGHT() == 0);
						      CHECK(caught.what() == long_name(i));
					      }
				      });
			      return group.end();
		      },
		      options()) == 0);
	CHECK(failure::alive == 0);
}

/* A task that a handler creates has nothing to do with what is handled, eager or not; callbacks and the loop's caller
 * have their own too. */

bool callback_saw_one;

void look_for_one(void *)
{
	callback_saw_one = std::current_exception() != nullptr;
}

void stacks_begin_without_exceptions()
{
	try {
		throw failure(1);
	} catch (const failure &) {
		CHECK(async::run(
			      [] {
				      async_task_options eager = ASYNC_TASK_OPTIONS_INIT;

				      eager.eager = true;
				      CHECK(!std::current_exception());
				      try {
					      throw failure(2);
				      } catch (const failure &second) {
					      for (int i = 0; i < 2; i++) {
						      async::future task = async::create_task(
							      [] {
								      CHECK(!std::current_exception());
								      CHECK(async::sleep_for(ms(1)) == 0);
								      handle_and_wait(3);
							      },
							      i ? eager : async_task_options(ASYNC_TASK_OPTIONS_INIT));
						      CHECK(task.await() == 0);
					      }
					      CHECK(async_loop_call_soon(async_get_running_loop(), look_for_one,
									 nullptr, nullptr) == 0);
					      CHECK(async::sleep_for(ms(1)) == 0);
					      CHECK(second.what() == long_name(2));
				      }
			      },
			      options()) == 0);
		/* The loop runs below this handler, and so do its callbacks. */
		CHECK(callback_saw_one);
		try {
			throw;
		} catch (const failure &again) {
			CHECK(again.what() == long_name(1));
		}
	}
	CHECK(failure::alive == 0);
}

/* A loop goes on in another thread: the exceptions go along. */
void exceptions_follow_to_another_thread()
{
	async::loop loop;
	async_options made = options();
	bool ended = false;

	CHECK(async_loop_new(&made, async::out(loop)) == 0);
	async_future *gate = async_future_new(loop.get(), nullptr);
	auto body = [&] {
		try {
			throw failure(5);
		} catch (...) {
			CHECK(async_await(async_ref(gate)) == 1);
			try {
				throw;
			} catch (const failure &caught) {
				CHECK(caught.what() == long_name(5));
			}
		}
		ended = true;
	};
	async_fn *call = async::detail::call_at<decltype(body)>;
	async_task *task = async_loop_create_task(loop.get(), call, &body, nullptr);
	CHECK(async_loop_run_once(loop.get()) >= 0);
	CHECK(!std::current_exception());
	CHECK(async::run(
		      [&] {
			      return async::to_thread([&] {
				      CHECK(async_future_set_result(gate, 1) == 0);
				      CHECK(async_loop_run_until_complete(loop.get(), task) == 0);
				      CHECK(!std::current_exception());
			      });
		      },
		      options()) == 0);
	CHECK(ended && failure::alive == 0);
	async_release(gate);
}

/* Cancelled in a handler, and the exception is gone with it. */
void a_cancelled_handler_ends_its_exception()
{
	CHECK(async::run(
		      [] {
			      async::future task = async::create_task([] {
				      try {
					      throw failure(1);
				      } catch (const failure &) {
					      return async_sleep(ASYNC_FOREVER);
				      }
			      });

			      CHECK(async::sleep_for(ms(1)) == 0);
			      CHECK(failure::alive == 1);
			      CHECK(task.cancel() == 1);
			      CHECK(task.await() == -ECANCELED);
			      CHECK(failure::alive == 0);
		      },
		      options()) == 0);
}

/* The header: callables and what they hold */

struct counted {
	counted() { alive++; }
	counted(const counted &) { alive++; }
	counted(counted &&) noexcept { alive++; }
	~counted() { alive--; }
	intptr_t operator()() const { return 42; }
	static int alive;
};
int counted::alive;

void callables_are_kept_and_destroyed()
{
	CHECK(async::run(
		      [] {
			      counted held;

			      CHECK(async::create_task(held).await() == 42);
			      CHECK(async::create_task([held] { return held(); }).await() == 42);
			      CHECK(async::create_task([] { return "a text"; }).await() > 0);
			      /* One that can only be moved. */
			      std::unique_ptr<int> number(new int(7));
			      struct owner {
				      explicit owner(std::unique_ptr<int> &&n) : number(std::move(n)) {}
				      int operator()() { return *number; }
				      std::unique_ptr<int> number;
			      };
			      CHECK(async::create_task(owner(std::move(number))).await() == 7);
			      CHECK(counted::alive == 1);
			      /* Never called. */
			      async::future task = async::create_task(held);
			      CHECK(task.cancel("why") == 1);
			      CHECK(task.await() == -ECANCELED && task.cancelled());
			      async_task_options wrong = ASYNC_TASK_OPTIONS_INIT;
			      wrong.stack_size = 1;
			      CHECK(async::create_task(held, wrong).await() == -EINVAL);
			      CHECK(async::run_in_executor(nullptr, held).await() == 42);
			      CHECK(async::to_thread(held) == 42);
			      const counted constant;
			      CHECK(async::to_thread(constant) == 42);
			      CHECK(counted::alive == 2);
		      },
		      options()) == 0);
	CHECK(counted::alive == 0);
}

/* Options that end before `destroy`, or say nothing that can be. */
void callables_are_destroyed_whatever_the_options_say()
{
	static const size_t sizes[] = {0, 1, sizeof(size_t), 2 * sizeof(size_t), sizeof(async_task_options) + 8, 5000};

	CHECK(async::run(
		      [] {
			      counted held;

			      for (size_t size : sizes) {
				      const bool fits = size >= sizeof(size_t) && size < 100;
				      async_task_options odd = ASYNC_TASK_OPTIONS_INIT;
				      async_job_options odd_job = ASYNC_JOB_OPTIONS_INIT;
				      async::task_group group;

				      odd.size = odd_job.size = size;
				      const intptr_t wanted = fits && size <= sizeof(odd) ? -ECANCELED : -EINVAL;
				      async::future task = async::create_task(held, odd);
				      async::future member = group.create_task(held, odd);
				      CHECK(task.cancel() == (wanted == -ECANCELED));
				      CHECK(member.cancel() == (wanted == -ECANCELED));
				      CHECK(task.await() == wanted && member.await() == wanted);
				      const intptr_t ran = fits && size <= sizeof(odd_job) ? 42 : -EINVAL;
				      CHECK(async::run_in_executor(nullptr, held, odd_job).await() == ran);
				      CHECK(group.end() == 0 && counted::alive == 1);
			      }
		      },
		      options()) == 0);
}

intptr_t plain_function()
{
	return 43;
}

struct without_address {
	intptr_t operator()() { return 44; }
	void operator&() const = delete;
};

/* What is called where it is, whatever its address is like. */
void callables_are_called_in_place()
{
	CHECK(async::run(plain_function, options()) == 43);
	CHECK(async::run(&plain_function, options()) == 43);
	CHECK(async::run(without_address(), options()) == 44);
	CHECK(async::run(
		      [] {
			      without_address other;

			      CHECK(async::to_thread(plain_function) == 43);
			      CHECK(async::to_thread(&plain_function) == 43);
			      CHECK(async::to_thread(other) == 44);
			      CHECK(async::with_timeout(ms(5), plain_function) == 43);
			      CHECK(async::create_task(plain_function).await() == 43);
			      CHECK(async::create_task(without_address()).await() == 44);
			      CHECK(async::run_in_executor(nullptr, plain_function).await() == 43);
		      },
		      options()) == 0);
}

int somewhere, *pointer_to_it = &somewhere;

int *&reference_to_pointer()
{
	return pointer_to_it;
}

void results_are_words()
{
	CHECK(async::run(
		      [] {
			      const intptr_t address = reinterpret_cast<intptr_t>(&somewhere);
			      const char text[] = "a text";

			      somewhere = 5;
			      CHECK(async::create_task([]() -> int & { return somewhere; }).await() == 5);
			      CHECK(async::create_task(reference_to_pointer).await() == address);
			      CHECK(async::to_thread([]() -> int *const & { return pointer_to_it; }) == address);
			      CHECK(async::create_task([] { return nullptr; }).await() == 0);
			      CHECK(async::create_task([] { return &plain_function; }).await() > 0);
			      CHECK(async::with_timeout(ms(5), [&]() -> const char(&)[7] { return text; }) ==
				    reinterpret_cast<intptr_t>(text));
			      CHECK(async::create_task([] { return true; }).await() == 1);
		      },
		      options()) == 0);
}

void futures_are_references()
{
	CHECK(async::run(
		      [] {
			      async::future none, one(async_future_new(nullptr, nullptr)), two = one, three;

			      CHECK(!none && none.await() == -EINVAL && !none.release());
			      three = two;
			      one = async::future();
			      CHECK(two.get() == three.get() && !one && !two.done());
			      CHECK(two.wait_for(ms(1)) == -ETIMEDOUT);
			      CHECK(three.cancelled());
			      async::future moved(std::move(three));
			      CHECK(!three && moved.result() == -ECANCELED);
			      moved = moved;
			      CHECK(moved.done());
			      CHECK(async_await(moved.release()) == -ECANCELED && !moved);
		      },
		      options()) == 0);
}

void spans_are_durations()
{
	CHECK(async::nanoseconds(std::chrono::hours(1)) == 3600 * ASYNC_S);
	CHECK(async::nanoseconds(std::chrono::duration<double>(0.5)) == 500 * ASYNC_MS);
	CHECK(async::nanoseconds(std::chrono::duration<double, std::nano>(0.1)) == 1);
	CHECK(async::nanoseconds(std::chrono::duration<double, std::nano>(-0.1)) == 0);
	CHECK(async::nanoseconds(std::chrono::hours::max()) == ASYNC_FOREVER);
	CHECK(async::nanoseconds(std::chrono::hours::min()) == -ASYNC_FOREVER);
	CHECK(async::nanoseconds(std::chrono::nanoseconds(ASYNC_FOREVER - 1)) == ASYNC_FOREVER - 1);
	CHECK(async::nanoseconds(std::chrono::nanoseconds::max()) == ASYNC_FOREVER);
}

/* Scopes */

intptr_t sleep_long()
{
	return async_sleep(ASYNC_FOREVER);
}

void groups_wait_for_their_tasks()
{
	CHECK(async::run(
		      [] {
			      int ended = 0, cancelled = 0;
			      auto wait = [&](int n) {
				      return [&ended, &cancelled, n]() -> intptr_t {
					      int error = async::sleep_for(ms(n));

					      (error ? cancelled : ended)++;
					      return error;
				      };
			      };
			      {
				      async::task_group group;
				      CHECK(group.error() == 0);
				      async::future first = group.create_task(wait(1));
				      group.create_task(wait(2));
				      CHECK(group.end() == 0 && first.result() == 0);
				      CHECK(ended == 2 && group.end() == -EALREADY);
				      CHECK(group.create_task(wait(1)).await() == -ESHUTDOWN);
			      }
			      /* Left by a return, and by an exception. */
			      [&] {
				      async::task_group group;
				      group.create_task(wait(1000000));
				      CHECK(async::sleep_for(ms(1)) == 0);
			      }();
			      CHECK(cancelled == 1);
			      try {
				      async::task_group group;
				      group.create_task(wait(1000000));
				      CHECK(async::sleep_for(ms(1)) == 0);
				      throw failure(9);
			      } catch (const failure &caught) {
				      CHECK(caught.what() == long_name(9));
			      }
			      CHECK(cancelled == 2);
			      {
				      async::task_group group;
				      group.create_task(wait(1000000));
				      CHECK(async::sleep_for(ms(1)) == 0);
				      CHECK(group.cancel() == 1);
				      CHECK(group.end() == 0);
			      }
			      CHECK(cancelled == 3);
			      CHECK(async_loop_time(nullptr) < ASYNC_S);
		      },
		      options()) == 0);
	async::task_group outside;
	CHECK(outside.error() == -EPERM && outside.end() == -EPERM);
}

void timeouts_end()
{
	CHECK(async::run(
		      [] {
			      async::timeout scope(ms(5));
			      CHECK(scope.error() == 0);
			      CHECK(scope.end(async_sleep(ASYNC_FOREVER)) == -ETIMEDOUT && scope.expired());
			      CHECK(scope.end(0) == -EALREADY);
			      CHECK(async::with_timeout(ms(5), sleep_long) == -ETIMEDOUT);
			      CHECK(async::with_timeout(ms(5), [] { return 3; }) == 3);
			      CHECK(async::with_timeout(ms(5), [] {}) == 0);
			      for (int i = 0; i < 2; i++) {
				      /* Left without an end, the deadline passed or not. */
				      async::timeout left(ms(i ? 5 : 500));
				      CHECK(async::sleep_for(ms(i ? 0 : 1)) == 0);
			      }
			      CHECK(async_cancelling(async_current_task()) == 0);
			      return async::sleep_for(std::chrono::seconds(1));
		      },
		      options()) == 0);
}

void guards_release()
{
	CHECK(async::run(
		      [] {
			      async_lock lock = ASYNC_LOCK_INIT;
			      async_condition condition = ASYNC_CONDITION_INIT;
			      async_semaphore semaphore = ASYNC_SEMAPHORE_INIT(1);

			      try {
				      async::lock_guard first(lock), second(condition);
				      async::semaphore_guard permit(semaphore);
				      CHECK(first && second && permit);
				      CHECK(async_lock_locked(&lock) && async_condition_locked(&condition));
				      CHECK(async_semaphore_value(&semaphore) == 0);
				      /* Who is cancelled holds nothing, and gives nothing back. */
				      async::future waits = async::create_task([&] {
					      async::lock_guard never(lock);
					      CHECK(!never);
					      return never.error();
				      });
				      async::future waits_too = async::create_task([&] {
					      async::semaphore_guard never(semaphore);
					      return never.error();
				      });
				      CHECK(async::sleep_for(ms(1)) == 0);
				      CHECK(waits.cancel() == 1 && waits_too.cancel() == 1);
				      CHECK(waits.await() == -ECANCELED && waits_too.await() == -ECANCELED);
				      CHECK(async_lock_locked(&lock) && async_semaphore_value(&semaphore) == 0);
				      throw failure(1);
			      } catch (const failure &) {
			      }
			      CHECK(!async_lock_locked(&lock) && !async_condition_locked(&condition));
			      CHECK(async_semaphore_value(&semaphore) == 1);
		      },
		      options()) == 0);
}

/* Owners */

int connections;

intptr_t serve(async_stream *, void *)
{
	connections++;
	return async_sleep(ASYNC_FOREVER);
}

void owners_end_what_they_own()
{
	int before = dup(0);

	close(before);
	CHECK(async::run(
		      [] {
			      async::queue queue;
			      CHECK(async_queue_new(nullptr, async::out(queue)) == 0);
			      async_queue *raw = queue.get();
			      async::future taker = async::create_task([raw] {
				      void *item;
				      return async_queue_get(raw, &item);
			      });
			      CHECK(async::sleep_for(ms(1)) == 0);
			      queue.reset();
			      CHECK(taker.await() == -ESHUTDOWN);

			      int pair[2];
			      CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
			      {
				      async::stream stream;
				      CHECK(async_stream_open(pair[0], nullptr, async::out(stream)) == 0);
				      CHECK(async_stream_write(stream.get(), "last words", 10) == 0);
			      }
			      char text[32];
			      CHECK(read(pair[1], text, sizeof(text)) == 10 && read(pair[1], text, 1) == 0);
			      close(pair[1]);

			      async::executor pool;
			      CHECK(async_thread_pool_new(nullptr, async::out(pool)) == 0);
			      int ran = 0;
			      async::future job = async::run_in_executor(pool.get(), [&ran] { ran = 1; });
			      CHECK(async::sleep_for(ms(0)) == 0);
			      pool.reset();
			      CHECK(job.done() && ran == (job.result() == 0));

			      async::process child;
			      char name[] = "sleep", forever[] = "1000";
			      char *const argv[] = {name, forever, nullptr};
			      CHECK(async_process_spawn("sleep", argv, nullptr, async::out(child)) == 0);
			      pid_t pid = async_process_pid(child.get());
			      child.reset();
			      CHECK(kill(pid, 0) < 0 && errno == ESRCH);
		      },
		      options()) == 0);
	int after = dup(0);
	close(after);
	CHECK(before == after);
	/* After a failure it is as it was. */
	async::loop loop;
	async_options wrong = options();
	wrong.stack_size = 1;
	CHECK(async_loop_new(&wrong, async::out(loop)) == -EINVAL && !loop);
}

void servers_are_stopped()
{
	async_options real = options();

	real.clock = ASYNC_CLOCK_REAL;
	connections = 0;
	CHECK(async::run(
		      [] {
			      async::server server;
			      char address[128];
			      socklen_t size = sizeof(address);
			      sockaddr *there = reinterpret_cast<sockaddr *>(address);

			      CHECK(async_start_server("127.0.0.1", "0", serve, nullptr, nullptr,
						       async::out(server)) == 0);
			      CHECK(async_server_address(server.get(), 0, there, &size) == 0);
			      int fd = async_socket(AF_INET, SOCK_STREAM, 0);
			      CHECK(fd >= 0 && async_connect(fd, there, size) == 0);
			      while (connections == 0)
				      CHECK(async::sleep_for(ms(1)) == 0);
			      server.reset();
			      char byte;
			      CHECK(async_recv(fd, &byte, 1, 0) <= 0);
			      return async_close(fd);
		      },
		      real) == 0);
}

void cancel_oneself()
{
	CHECK(async_cancel(async_current_task(), "itself") == 1);
}

/* Each leaves a scope whose destructor waits, with a cancellation that was requested and not delivered yet. */

void leave_group()
{
	async::task_group group;

	group.create_task(sleep_long);
	cancel_oneself();
}

void leave_empty_group()
{
	async::task_group group;

	cancel_oneself();
}

void leave_group_that_failed()
{
	async::task_group group;

	group.create_task([] { return -EIO; });
	group.create_task(sleep_long);
	CHECK(async::sleep_for(ms(1)) == -ECANCELED);
	cancel_oneself();
}

void leave_queue()
{
	async::queue queue;

	CHECK(async_queue_new(nullptr, async::out(queue)) == 0);
	async_queue *raw = queue.get();
	async::future taker = async::create_task([raw] {
		void *item;
		CHECK(async_queue_get(raw, &item) == -ESHUTDOWN);
	});
	CHECK(async::sleep_for(ms(1)) == 0);
	cancel_oneself();
}

void leave_executor()
{
	async::executor pool;

	CHECK(async_thread_pool_new(nullptr, async::out(pool)) == 0);
	CHECK(async::run_in_executor(pool.get(), [] { return 1; }).await() == 1);
	cancel_oneself();
}

void leave_stream()
{
	static const char much[1 << 20] = {};
	async::stream stream;
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(async_stream_open(pair[0], nullptr, async::out(stream)) == 0);
	CHECK(async_stream_write(stream.get(), much, sizeof(much)) == 0);
	cancel_oneself();
	/* Nobody reads, so that it would wait for ever. */
	stream.reset();
	close(pair[1]);
}

void leave_server()
{
	async::server server;

	CHECK(async_start_server("127.0.0.1", "0", serve, nullptr, nullptr, async::out(server)) == 0);
	cancel_oneself();
}

void leave_process()
{
	async::process child;
	char name[] = "sleep", forever[] = "1000";
	char *const argv[] = {name, forever, nullptr};

	CHECK(async_process_spawn("sleep", argv, nullptr, async::out(child)) == 0);
	cancel_oneself();
}

void destructors_keep_earlier_cancellations()
{
	static void (*const leave[])() = {
		leave_group, leave_empty_group, leave_group_that_failed,
		leave_queue, leave_executor, leave_stream, leave_server, leave_process,
	};
	async_options real = options();

	real.clock = ASYNC_CLOCK_REAL;
	for (void (*scope)() : leave) {
		auto body = [scope] {
			scope();
			CHECK(async_cancelling(async_current_task()) == 1);
			CHECK(async::sleep_for(ms(1)) == -ECANCELED);
			return async::sleep_for(ms(1));
		};
		CHECK(async::run(body, real) == 0);
	}
}

/* What the body of a group was told of is over, and what its own destructor asks of it is nobody's business. */
void destructors_bring_no_cancellation()
{
	CHECK(async::run(
		      [] {
			      async::future task = async::create_task([] {
				      {
					      async::task_group group;
					      group.create_task(sleep_long);
					      CHECK(async::sleep_for(ms(1000)) == -ECANCELED);
				      }
				      CHECK(async_cancelling(async_current_task()) == 1);
				      CHECK(async::sleep_for(ms(1)) == 0);
				      async::task_group another;
				      another.create_task(sleep_long);
			      });
			      CHECK(async::sleep_for(ms(1)) == 0);
			      CHECK(task.cancel() == 1);
			      CHECK(task.await() == 0);
			      {
				      async::task_group group;
				      group.create_task(sleep_long);
				      CHECK(group.cancel() == 1);
			      }
			      CHECK(async_cancelling(async_current_task()) == 0);
			      return async::sleep_for(ms(1));
		      },
		      options()) == 0);
}

/* Does not end when it is told, so that the destructor waits. */
int end_late()
{
	if (async_sleep(ASYNC_FOREVER) == -ECANCELED)
		return async::sleep_for(ms(10));
	return 0;
}

/* A deadline that a destructor was told of is the scope's all the same. */
void destructors_keep_deadlines()
{
	CHECK(async::run(
		      [] {
			      async::timeout scope(ms(5));
			      {
				      async::task_group group;
				      group.create_task(end_late);
				      CHECK(async::sleep_for(ms(1)) == 0);
			      }
			      CHECK(scope.end(async::sleep_for(ms(1))) == -ETIMEDOUT);
			      CHECK(async_cancelling(async_current_task()) == 0);
			      return async::sleep_for(ms(1));
		      },
		      options()) == 0);
}

/* What a destructor hears of a cancellation is heard again. */
void destructors_keep_cancellations()
{
	CHECK(async::run(
		      [] {
			      async::future task = async::create_task([] {
				      {
					      async::task_group group;
					      group.create_task(end_late);
					      CHECK(async::sleep_for(ms(1)) == 0);
				      }
				      CHECK(async_cancelling(async_current_task()) == 1);
				      return async::sleep_for(ms(1));
			      });
			      CHECK(async::sleep_for(ms(5)) == 0);
			      CHECK(task.cancel() == 1);
			      CHECK(task.await() == -ECANCELED);
		      },
		      options()) == 0);
}

} // namespace

#define TEST(name) {#name, name}

int main()
{
	static const struct {
		const char *name;
		void (*run)();
	} tests[] = {
		TEST(exceptions_are_their_own),
		TEST(exceptions_fly_across_a_wait),
		TEST(stacks_begin_without_exceptions),
		TEST(exceptions_follow_to_another_thread),
		TEST(a_cancelled_handler_ends_its_exception),
		TEST(callables_are_kept_and_destroyed),
		TEST(callables_are_destroyed_whatever_the_options_say),
		TEST(callables_are_called_in_place),
		TEST(results_are_words),
		TEST(futures_are_references),
		TEST(spans_are_durations),
		TEST(groups_wait_for_their_tasks),
		TEST(timeouts_end),
		TEST(guards_release),
		TEST(owners_end_what_they_own),
		TEST(servers_are_stopped),
		TEST(destructors_keep_cancellations),
		TEST(destructors_keep_earlier_cancellations),
		TEST(destructors_bring_no_cancellation),
		TEST(destructors_keep_deadlines),
	};

	std::printf("1..%zu\n", sizeof(tests) / sizeof(tests[0]));
	for (const auto &test : tests) {
		test.run();
		std::printf("ok - %s\n", test.name);
		std::fflush(stdout);
	}
}
