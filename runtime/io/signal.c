/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. The process has one table with a list of subscriptions for each signal. The handler walks a list and posts
 * the handle of each subscription, which is all that it does. Threads change the lists under a mutex that the handler
 * cannot take; so whoever takes a subscription out waits until no handler is under way before it goes (`dispatching`):
 * a handler that begins later does not find it.
 *
 * A loop has at most one subscription for each signal, and shares it out on its own stack: to a callback and to the
 * tasks that wait.
 */
#include <async/signal.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/fault.h"
#include "base/memory.h"
#include "context/exceptions.h"
#include "context/sanitizer.h"
#include "core/handle.h"
#include "core/schedule.h"

/* The process */

struct subscription {
	_Atomic(struct subscription *) next;
	async_handle *handle;
};

static struct {
	_Atomic(struct subscription *) first;
	struct sigaction previous; /* what stood before, if there is any subscription */
} process_signals[NSIG];

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint dispatching; /* handlers under way, in all threads */

static void on_signal(int number)
{
	int saved = errno;

	atomic_fetch_add(&dispatching, 1);
	for (struct subscription *s = atomic_load(&process_signals[number].first); s; s = atomic_load(&s->next))
		async_handle_post(s->handle);
	atomic_fetch_sub(&dispatching, 1);
	errno = saved;
}

static void lock_signals(void)
{
	pthread_mutex_lock(&mutex);
}

static void unlock_signals(void)
{
	pthread_mutex_unlock(&mutex);
}

/* Handlers of other threads are not under way here. */
static void forget_in_child(void)
{
	atomic_store(&dispatching, 0);
	unlock_signals();
}

static int watch_forks(void)
{
	static bool watched;

	if (watched)
		return 0;
	int error = fault("pthread_atfork");
	if (!error)
		error = -pthread_atfork(lock_signals, unlock_signals, forget_in_child);
	watched = error == 0;
	return error;
}

static bool is_caught(int number)
{
	struct sigaction now;

	return sigaction(number, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == on_signal;
}

static int take_over(int number)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	int error = watch_forks();

	if (error)
		return error;
	/* Tasks may have small stacks, and a loop's thread has another one for signals. valgrind goes on using that
	 * after it was disabled. */
	if (!sanitizer_on_valgrind())
		action.sa_flags |= SA_ONSTACK;
	sigemptyset(&action.sa_mask);
	return (int)SYS("sigaction", sigaction(number, &action, &process_signals[number].previous));
}

static void give_back(int number)
{
	/* What somebody else has installed meanwhile stays. */
	if (is_caught(number))
		sigaction(number, &process_signals[number].previous, NULL);
}

static int subscribe(int number, struct subscription *subscription)
{
	int error = 0;

	lock_signals();
	struct subscription *first = atomic_load(&process_signals[number].first);
	atomic_init(&subscription->next, first);
	/* Before the signal is caught, or one could be caught for nobody. */
	atomic_store(&process_signals[number].first, subscription);
	if (!is_caught(number) && (error = take_over(number)))
		atomic_store(&process_signals[number].first, first);
	unlock_signals();
	return error;
}

static void unsubscribe(int number, struct subscription *subscription)
{
	lock_signals();
	_Atomic(struct subscription *) *link = &process_signals[number].first;
	struct subscription *next = atomic_load(&subscription->next);
	if (atomic_load(link) == subscription && !next)
		give_back(number);
	while (atomic_load(link) != subscription)
		link = &atomic_load(link)->next;
	atomic_store(link, next);
	unlock_signals();
	while (atomic_load(&dispatching) > 0)
		sched_yield();
}

/* A loop */

/* A signal that a loop wants. */
struct interest {
	struct subscription subscription;
	struct loop_signals *signals;
	int number;
	async_callback *fn; /* may be NULL */
	void *arg;
	bool kept;     /* tasks wait for it now and then */
	bool arrived;  /* while none did */
};

struct loop_signals {
	struct loop_hook hook;
	struct async_loop *loop;
	struct list waits;
	struct interest *interests[NSIG];
};

/* A task that waits; on its stack. */
struct signal_wait {
	struct list link;
	struct task *task;
	const int *numbers;
	size_t count;
};

static bool includes(const struct signal_wait *wait, int number)
{
	for (size_t i = 0; i < wait->count; i++)
		if (wait->numbers[i] == number)
			return true;
	return false;
}

static void on_arrival(void *arg)
{
	struct interest *interest = arg;
	bool taken = false;

	list_for_each_safe(node, &interest->signals->waits) {
		struct signal_wait *wait = list_entry(node, struct signal_wait, link);

		if (!includes(wait, interest->number))
			continue;
		list_remove(node);
		task_wake(wait->task, interest->number);
		taken = true;
	}
	interest->arrived = interest->kept && !taken;
	/* Last, as it may end the interest. */
	if (interest->fn)
		FENCED(interest->fn(interest->arg));
}

static void set_callback(struct interest *interest, async_callback *fn, void *arg)
{
	struct async_loop *loop = interest->signals->loop;

	loop->wakers += (size_t)(fn != NULL) - (size_t)(interest->fn != NULL);
	interest->fn = fn;
	interest->arg = arg;
}

static void lose_interest(struct interest *interest)
{
	async_handle *handle = interest->subscription.handle;

	unsubscribe(interest->number, &interest->subscription);
	set_callback(interest, NULL, NULL);
	/* One that was posted is referenced only once it is taken from there. */
	handle_take_inbox(interest->signals->loop);
	async_handle_cancel(handle);
	async_handle_release(handle);
	interest->signals->interests[interest->number] = NULL;
	mem_free(interest);
}

static void close_signals(struct async_loop *loop, struct loop_hook *hook)
{
	struct loop_signals *signals = container_of(hook, struct loop_signals, hook);

	(void)loop;
	for (int number = 1; number < NSIG; number++)
		if (signals->interests[number])
			lose_interest(signals->interests[number]);
	list_for_each_safe(node, &signals->waits)
		list_remove(node);
	list_remove(&hook->link);
	mem_free(signals);
}

static struct loop_signals *find_signals(struct async_loop *loop)
{
	struct loop_hook *hook = loop_find_hook(loop, close_signals);

	return hook ? container_of(hook, struct loop_signals, hook) : NULL;
}

/* Made when a loop first wants a signal; NULL without memory. */
static struct loop_signals *make_signals(struct async_loop *loop)
{
	struct loop_signals *signals = find_signals(loop);

	if (signals || !(signals = mem_zalloc(sizeof(*signals))))
		return signals;
	signals->hook.close = close_signals;
	signals->loop = loop;
	list_init(&signals->waits);
	loop_add_hook(loop, &signals->hook);
	return signals;
}

static int make_interest(struct loop_signals *signals, int number)
{
	if (signals->interests[number])
		return 0;
	struct interest *interest = mem_zalloc(sizeof(*interest));
	if (!interest)
		return -ENOMEM;
	interest->signals = signals;
	interest->number = number;
	int error = handle_prepare(signals->loop, on_arrival, interest, false, &interest->subscription.handle);
	if (!error) {
		error = subscribe(number, &interest->subscription);
		if (!error) {
			signals->interests[number] = interest;
			return 0;
		}
		async_handle_release(interest->subscription.handle);
	}
	mem_free(interest);
	return error;
}

static bool can_be_had(int number)
{
	switch (number) {
	case SIGKILL:
	case SIGSTOP:
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
		return false;
	default:
		return number > 0 && number < NSIG;
	}
}

int async_loop_add_signal_handler(async_loop *loop, int number, async_callback *fn, void *arg)
{
	int error = !loop || !fn || !can_be_had(number) ? -EINVAL : loop_check(loop);

	if (error)
		return error;
	struct loop_signals *signals = make_signals(loop);
	error = signals ? make_interest(signals, number) : -ENOMEM;
	if (!error)
		set_callback(signals->interests[number], fn, arg);
	return error;
}

static bool is_awaited(const struct interest *interest)
{
	list_for_each(node, &interest->signals->waits)
		if (includes(list_entry(node, struct signal_wait, link), interest->number))
			return true;
	return false;
}

int async_loop_remove_signal_handler(async_loop *loop, int number)
{
	int error = !loop || !can_be_had(number) ? -EINVAL : loop_check(loop);

	if (error)
		return error;
	struct loop_signals *signals = find_signals(loop);
	struct interest *interest = signals ? signals->interests[number] : NULL;
	if (!interest)
		return 0;
	if (!is_awaited(interest)) {
		lose_interest(interest);
		return 1;
	}
	bool called = interest->fn != NULL;
	set_callback(interest, NULL, NULL);
	return called;
}

/* Tasks */

static bool withdraw_wait(struct task *task)
{
	struct signal_wait *wait = task->wait_object;

	list_remove(&wait->link);
	task_wake(task, -ECANCELED);
	return true;
}

/* What has arrived is not to be lost. */
static const struct wait_class wait_signal = {
	.name = "a signal",
	.keeps_result = true,
	.withdraw = withdraw_wait,
	.on = ASYNC_LAYOUT_ON_SIGNAL,
	.detail = offsetof(struct signal_wait, numbers),
};

/* Has the loop keep all of these signals for tasks, or none more than it does. */
static int keep(struct loop_signals *signals, const int *numbers, size_t count)
{
	int error = 0;

	for (size_t i = 0; i < count && !error; i++)
		error = make_interest(signals, numbers[i]);
	for (size_t i = 0; i < count; i++) {
		struct interest *interest = signals->interests[numbers[i]];

		if (!error)
			interest->kept = true;
		else if (interest && !interest->fn && !interest->kept)
			lose_interest(interest);
	}
	return error;
}

int async_signal_wait(const int *numbers, size_t count)
{
	struct signal_wait wait = {.task = task_current(), .numbers = numbers, .count = count};

	if (!numbers || count == 0)
		return -EINVAL;
	for (size_t i = 0; i < count; i++)
		if (!can_be_had(numbers[i]))
			return -EINVAL;
	if (!wait.task)
		return -EPERM;
	if (task_take_cancel(wait.task))
		return -ECANCELED;
	struct async_loop *loop = wait.task->future.loop;
	struct loop_signals *signals = make_signals(loop);
	int error = signals ? keep(signals, numbers, count) : -ENOMEM;
	if (error)
		return error;
	for (size_t i = 0; i < count; i++) {
		struct interest *interest = signals->interests[numbers[i]];

		if (interest->arrived) {
			interest->arrived = false;
			return interest->number;
		}
	}
	list_append(&signals->waits, &wait.link);
	loop->wakers++;
	int number = (int)task_park(wait.task, &wait_signal, &wait);
	loop->wakers--;
	return number;
}
