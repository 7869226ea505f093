/* SPDX-License-Identifier: MIT */
/*
 * For C++11 and later: what <async.h> asks a C++ programmer to do by hand.
 *
 * A task can be any callable, with what it has captured. What has to be released, ended or closed is, when it goes out
 * of scope. Spans of time may be durations of <chrono>. All else is as in C, results too: a value, or a negative errno.
 *
 *     async::task_group group;
 *     for (const std::string &url : urls)
 *             group.create_task([&url] { return fetch(url); });
 *     intptr_t result = async::with_timeout(std::chrono::seconds(3), [&] { return group.end(); });
 *
 * An exception may not leave a callable that the library calls: std::terminate is called then, as when it leaves a
 * thread. Inside, exceptions work as everywhere, and a task may wait while it handles one: see async_cxx(7).
 *
 * Destructors that wait are cancelled like other calls, also by a request that was made before. As they cannot tell,
 * the cancellation comes again from the next call that suspends.
 */
#ifndef ASYNC_ASYNC_HPP
#define ASYNC_ASYNC_HPP

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <async/async.h>

namespace async {

/* A span as the functions of <async.h> want it, to be rounded up as a wait must be; more than fits is ASYNC_FOREVER. */
template <typename Rep, typename Period> async_time nanoseconds(const std::chrono::duration<Rep, Period> &span)
{
	typedef std::chrono::duration<long double, std::nano> wide;
	const long double count = std::chrono::duration_cast<wide>(span).count();

	if (!(count < static_cast<long double>(ASYNC_FOREVER)))
		return ASYNC_FOREVER;
	if (count <= -static_cast<long double>(ASYNC_FOREVER))
		return -ASYNC_FOREVER;
	const async_time whole = static_cast<async_time>(count);
	return whole + (static_cast<long double>(whole) < count ? 1 : 0);
}

/* async_sleep. */
template <typename Rep, typename Period>
ASYNC_MUST_CHECK int sleep_for(const std::chrono::duration<Rep, Period> &span)
{
	return async_sleep(nanoseconds(span));
}

namespace detail {

/* What a callable returns, a reference to it being as good. */
template <typename F> struct returned {
	typedef typename std::decay<decltype(std::declval<F &>()())>::type type;
	static constexpr bool nothing = std::is_void<type>::value;
	static constexpr bool pointer = std::is_pointer<type>::value || std::is_same<type, std::nullptr_t>::value;
};

/* The same as the word that a task ends with; nothing is 0. */
template <typename F> typename std::enable_if<returned<F>::nothing, intptr_t>::type call(F &fn)
{
	fn();
	return 0;
}

template <typename F> typename std::enable_if<returned<F>::pointer, intptr_t>::type call(F &fn)
{
	return reinterpret_cast<intptr_t>(fn());
}

template <typename F>
typename std::enable_if<!returned<F>::nothing && !returned<F>::pointer, intptr_t>::type call(F &fn)
{
	return static_cast<intptr_t>(fn());
}

/* A callable that lives elsewhere. Neither this nor the next is noexcept: that would be a handler, up to which frames
 * would be unwound before std::terminate. The library ends the search for one where it calls them. */
template <typename F> intptr_t call_at(void *fn)
{
	return call(*static_cast<F *>(fn));
}

/* One of its own, which is gone when it has been called. */
template <typename F> intptr_t call_and_delete(void *fn)
{
	std::unique_ptr<F> owned(static_cast<F *>(fn));

	return call(*owned);
}

/* How a callable is referred to that stays where it is: a function by a pointer, because no void * holds the address of
 * the function itself. */
template <typename F> struct referred {
	typedef typename std::remove_reference<F>::type plain;
	typedef typename std::conditional<std::is_function<plain>::value, plain *, plain &>::type type;
};

/* The argument with which call_at calls it. */
template <typename F> void *address_of(F &fn) noexcept
{
	return const_cast<void *>(static_cast<const volatile void *>(std::addressof(fn)));
}

template <typename F> void delete_uncalled(void *fn) noexcept
{
	delete static_cast<F *>(fn);
}

template <typename F> struct stored {
	typedef typename std::decay<F>::type type;
};

/* What the library is given for a callable: one of its own in *ret_own, and options that say how that is deleted. It
 * refuses options for their size without a look at what they say, and of shorter ones sees the beginning: so they are
 * refused, or made whole, before anything is stored. Returns: 0 or a negative errno. */
template <typename F, typename Options>
int store(F &&fn, const Options &given, typename stored<F>::type **ret_own, Options *ret_options)
{
	typedef typename stored<F>::type type;

	if (given.size < sizeof(given.size) || given.size > sizeof(given))
		return -EINVAL;
	std::memcpy(ret_options, &given, given.size);
	ret_options->size = sizeof(*ret_options);
	ret_options->destroy = delete_uncalled<type>;
	*ret_own = new (std::nothrow) type(std::forward<F>(fn));
	return *ret_own ? 0 : -ENOMEM;
}

/* For a destructor that waits, and does not tell: a cancellation that it is told of, requested before or meanwhile, is
 * requested again, as if it had come after it. What its calls do not tell of comes after it anyway. */
class uninterrupted {
public:
	uninterrupted() noexcept : self(async_current_task()), cancelled(false) {}
	~uninterrupted()
	{
		/* It was counted when it was made. One that was taken back since then is rescinded by that, too. */
		if (cancelled && async_cancel(self, async_cancel_reason(self)) == 1)
			async_uncancel(self);
	}
	uninterrupted(const uninterrupted &) = delete;
	uninterrupted &operator=(const uninterrupted &) = delete;

	/* Whether there is a task, so that there can be a wait. */
	explicit operator bool() const noexcept { return self != nullptr; }
	/* Takes what a call that waits returns. */
	void hear(intptr_t result) noexcept { cancelled = cancelled || result == -ECANCELED; }

private:
	async_task *self;
	bool cancelled;
};

} // namespace detail

/* A reference to a future or a task, counted: a copy is another reference. */
class future {
public:
	future() noexcept : self(nullptr) {}
	/* Takes over a reference, as the functions of <async.h> return it. */
	explicit future(async_future *reference) noexcept : self(reference) {}
	future(const future &other) noexcept : self(other.self ? async_ref(other.self) : nullptr) {}
	future(future &&other) noexcept : self(other.release()) {}
	/* A pending task runs on; a failure that nobody looked at is told to the loop's error handler. */
	~future() { async_release(self); }

	future &operator=(future other) noexcept
	{
		std::swap(self, other.self);
		return *this;
	}

	explicit operator bool() const noexcept { return self != nullptr; }
	/* Borrowed. */
	async_future *get() const noexcept { return self; }
	/* Gives the reference away, to a function that takes one. */
	async_future *release() noexcept
	{
		async_future *reference = self;

		self = nullptr;
		return reference;
	}

	/* async_await; this stays a reference. */
	ASYNC_MUST_CHECK intptr_t await() const { return async_await(self ? async_ref(self) : nullptr); }
	/* async_wait_for: what is not done then is cancelled. */
	template <typename Rep, typename Period>
	ASYNC_MUST_CHECK intptr_t wait_for(const std::chrono::duration<Rep, Period> &span) const
	{
		return async_wait_for(self ? async_ref(self) : nullptr, nanoseconds(span));
	}
	bool done() const noexcept { return async_done(self); }
	bool cancelled() const noexcept { return async_cancelled(self); }
	intptr_t result() const noexcept { return async_result(self); }
	int cancel(const char *reason = nullptr) const noexcept { return async_cancel(self, reason); }

private:
	async_future *self;
};

/*
 * Creates a task of a callable, which is moved or copied into it and destroyed when it has returned, or when it is
 * known that it will not be called. It returns nothing, a pointer, or what converts to intptr_t.
 * `destroy` of the options is not used. Where a loop closes over a task that waits, what the task has on its stack is
 * lost, the callable included: cancel and await tasks first, as async::run does.
 * Returns: as async_create_task, a future that carries the error if there is one.
 */
template <typename F> future create_task(F &&fn, const async_task_options &given = ASYNC_TASK_OPTIONS_INIT)
{
	typedef typename detail::stored<F>::type type;
	async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	type *own = nullptr;
	int error = detail::store(std::forward<F>(fn), given, &own, &options);

	if (error)
		return future(async_future_failed(error));
	return future(async_create_task_with(detail::call_and_delete<type>, own, &options));
}

/* async_run: calls `fn` as the main task of a new loop. */
template <typename F> intptr_t run(F &&fn, const async_options &options = ASYNC_OPTIONS_INIT)
{
	typename detail::referred<F>::type callable = fn;
	typedef typename std::remove_reference<decltype(callable)>::type type;

	return async_run_with(detail::call_at<type>, detail::address_of(callable), &options);
}

/* async_to_thread: has a worker call `fn`, and returns when it has. */
template <typename F> ASYNC_MUST_CHECK intptr_t to_thread(F &&fn)
{
	typename detail::referred<F>::type callable = fn;
	typedef typename std::remove_reference<decltype(callable)>::type type;

	return async_to_thread(detail::call_at<type>, detail::address_of(callable));
}

/* async_run_in_executor; NULL is the default executor. The callable is moved or copied into the job, and destroyed by
 * the worker that has called it, or in the loop's thread if none will. */
template <typename F>
future run_in_executor(async_executor *executor, F &&fn, const async_job_options &given = ASYNC_JOB_OPTIONS_INIT)
{
	typedef typename detail::stored<F>::type type;
	async_job_options options = ASYNC_JOB_OPTIONS_INIT;
	type *own = nullptr;
	int error = detail::store(std::forward<F>(fn), given, &own, &options);

	if (error)
		return future(async_future_failed(error));
	return future(async_run_in_executor_with(executor, detail::call_and_delete<type>, own, &options));
}

/*
 * A group of tasks whose body is the scope that it lives in, see async_group_begin. A scope that is left without `end`,
 * by a return or an exception, cancels the tasks and waits for them, so that what they refer to is still there.
 */
class task_group {
public:
	task_group() : self(), begun(async_group_begin(&self)) {}
	~task_group()
	{
		/* An error cancels the tasks, and leaves a cancellation that the wait is told of to the next call. */
		if (begun == 0 && async_group_end(&self, -ESHUTDOWN) < 0)
			return;
	}
	task_group(const task_group &) = delete;
	task_group &operator=(const task_group &) = delete;

	/* 0, or why the group could not begin, or -EALREADY after its end. */
	int error() const noexcept { return begun; }
	async_group *get() noexcept { return &self; }

	/* As async::create_task, in the group. */
	template <typename F> future create_task(F &&fn, const async_task_options &given = ASYNC_TASK_OPTIONS_INIT)
	{
		typedef typename detail::stored<F>::type type;
		async_task_options options = ASYNC_TASK_OPTIONS_INIT;
		type *own = nullptr;
		int error = detail::store(std::forward<F>(fn), given, &own, &options);

		if (error)
			return future(async_future_failed(error));
		async_task *task = async_group_create_task_with(&self, detail::call_and_delete<type>, own, &options);
		return future(async_ref(task));
	}

	int cancel() noexcept { return async_group_cancel(&self); }

	/* async_group_end. */
	ASYNC_MUST_CHECK intptr_t end(intptr_t result = 0)
	{
		if (begun != 0)
			return begun;
		begun = -EALREADY;
		return async_group_end(&self, result);
	}

private:
	async_group self;
	int begun;
};

/*
 * A scope of time, see async_timeout_begin. Only `end` turns the cancellation that the deadline brought into
 * -ETIMEDOUT; a scope that is left without it keeps the result, whatever it is, and a deadline that has not been
 * noticed is none. async::with_timeout does both.
 */
class timeout {
public:
	template <typename Rep, typename Period>
	explicit timeout(const std::chrono::duration<Rep, Period> &span)
		: self(), begun(async_timeout_begin(&self, nanoseconds(span)))
	{
	}
	~timeout()
	{
		if (begun == 0 && async_timeout_end(&self, 0) < 0)
			return;
	}
	timeout(const timeout &) = delete;
	timeout &operator=(const timeout &) = delete;

	/* 0, or why the scope could not begin, or -EALREADY after its end. */
	int error() const noexcept { return begun; }
	async_timeout *get() noexcept { return &self; }
	bool expired() const noexcept { return async_timeout_expired(&self); }

	/* async_timeout_end. */
	ASYNC_MUST_CHECK intptr_t end(intptr_t result)
	{
		if (begun != 0)
			return begun;
		begun = -EALREADY;
		return async_timeout_end(&self, result);
	}

private:
	async_timeout self;
	int begun;
};

/* Calls `fn` here, for so long at most. Returns: what it returns; -ETIMEDOUT, or why the scope could not begin. */
template <typename Rep, typename Period, typename F>
ASYNC_MUST_CHECK intptr_t with_timeout(const std::chrono::duration<Rep, Period> &span, F &&fn)
{
	timeout scope(span);

	return scope.error() ? scope.error() : scope.end(detail::call(fn));
}

/* Holds a lock, or that of a condition, until the scope is left. Ask whether it got it: a cancelled wait did not. */
class lock_guard {
public:
	explicit lock_guard(async_lock &wanted) : lock(&wanted), condition(), failed(async_lock_acquire(&wanted)) {}
	explicit lock_guard(async_condition &wanted)
		: lock(), condition(&wanted), failed(async_condition_acquire(&wanted))
	{
	}
	~lock_guard()
	{
		if (failed)
			return;
		if (lock)
			async_lock_release(lock);
		else
			async_condition_release(condition);
	}
	lock_guard(const lock_guard &) = delete;
	lock_guard &operator=(const lock_guard &) = delete;

	explicit operator bool() const noexcept { return failed == 0; }
	/* 0, or why the lock is not held. */
	int error() const noexcept { return failed; }

private:
	async_lock *lock;
	async_condition *condition;
	int failed;
};

/* Has a permit of a semaphore until the scope is left. Ask whether it got one. */
class semaphore_guard {
public:
	explicit semaphore_guard(async_semaphore &wanted)
		: semaphore(wanted), failed(async_semaphore_acquire(&wanted))
	{
	}
	~semaphore_guard()
	{
		if (!failed)
			async_semaphore_release(&semaphore);
	}
	semaphore_guard(const semaphore_guard &) = delete;
	semaphore_guard &operator=(const semaphore_guard &) = delete;

	explicit operator bool() const noexcept { return failed == 0; }
	/* 0, or why there is no permit. */
	int error() const noexcept { return failed; }

private:
	async_semaphore &semaphore;
	int failed;
};

namespace detail {

struct deleter {
	void operator()(async_handle *handle) const noexcept { async_handle_release(handle); }
	void operator()(async_completions *completions) const noexcept { async_completions_free(completions); }
	void operator()(async_concurrent *concurrent) const noexcept { async_concurrent_release(concurrent); }
	void operator()(async_loop *loop) const noexcept { async_loop_free(loop); }

	void operator()(async_queue *queue) const
	{
		uninterrupted wait;

		async_queue_shutdown(queue, true);
		while (async_queue_free(queue) == -EBUSY && wait)
			wait.hear(async_sleep(0));
	}

	void operator()(async_executor *executor) const
	{
		uninterrupted wait;

		if (wait)
			wait.hear(async_executor_close(executor, true));
		async_executor_free(executor);
	}

	void operator()(async_stream *stream) const
	{
		uninterrupted wait;

		if (wait)
			wait.hear(async_stream_close(stream));
		else
			async_stream_abort(stream);
	}

	void operator()(async_server *server) const
	{
		uninterrupted wait;

		if (wait)
			wait.hear(async_server_abort(server));
	}

	void operator()(async_process *process) const
	{
		uninterrupted wait;

		if (wait)
			wait.hear(async_process_close(process));
	}
};

/* Where a function stores what a pointer is to own from then on. */
template <typename T> class out_argument {
public:
	explicit out_argument(std::unique_ptr<T, deleter> &target) noexcept : owner(&target), raw() {}
	out_argument(out_argument &&other) noexcept : owner(other.owner), raw(other.raw) { other.raw = nullptr; }
	~out_argument()
	{
		if (raw)
			owner->reset(raw);
	}
	out_argument(const out_argument &) = delete;
	out_argument &operator=(const out_argument &) = delete;
	operator T **() noexcept { return &raw; }

private:
	std::unique_ptr<T, deleter> *owner;
	T *raw;
};

} // namespace detail

/*
 * Owners of what a function gives through its last argument, `async::out(owner)` there. Going out of scope:
 *     handle, completions, concurrent   are released; what was scheduled stays so
 *     loop        is closed and freed
 *     queue       is shut down, what is inside dropped; it is freed when the tasks that wait on it have left, so
 *                 outside of tasks none may
 *     executor    takes no more jobs, withdraws those that are queued, and waits for those that run
 *     stream      is closed when what was written is sent; outside a task it is aborted
 *     server      stops, its connections are cancelled; outside a task it is left to the end of the loop
 *     process     is killed and waited for, if it has not ended; outside a task it is left to the end of the loop
 */
typedef std::unique_ptr<async_handle, detail::deleter> handle;
typedef std::unique_ptr<async_completions, detail::deleter> completions;
typedef std::unique_ptr<async_concurrent, detail::deleter> concurrent;
typedef std::unique_ptr<async_loop, detail::deleter> loop;
typedef std::unique_ptr<async_queue, detail::deleter> queue;
typedef std::unique_ptr<async_executor, detail::deleter> executor;
typedef std::unique_ptr<async_stream, detail::deleter> stream;
typedef std::unique_ptr<async_server, detail::deleter> server;
typedef std::unique_ptr<async_process, detail::deleter> process;

/* For the last argument of a function that makes what `owner` is to own: async_queue_new(nullptr, async::out(queue)).
 * What it owned before goes; after a failure it is as it was. */
template <typename T> detail::out_argument<T> out(std::unique_ptr<T, detail::deleter> &owner) noexcept
{
	return detail::out_argument<T>(owner);
}

} // namespace async

#endif
