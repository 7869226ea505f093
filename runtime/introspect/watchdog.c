/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. The thread that blocks must not be disturbed, so it helps with nothing but the number and the times of its
 * slice. What the watchdog wants to know beyond that it reads as a stranger would (peek.h, capture.h), and believes it
 * if the slice is still the same afterwards.
 *
 * Two locks. `control` is held by those who begin or end watching, as long as a thread is started or joined; `lock`,
 * for the list of loops, never for long, and never while something is asked of the dynamic linker or of malloc, whose
 * locks the blocked thread may hold. A fork takes both, so that a child finds the state whole, and forgets it.
 */
#include "introspect/watchdog.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "core/loop.h"
#include "core/stalls.h"
#include "core/task.h"
#include "introspect/backtrace.h"
#include "introspect/capture.h"
#include "introspect/peek.h"
#include "introspect/safe_text.h"

#define PERIOD_MAX ASYNC_S
#define REPORT_SIZE 8192

static struct {
	pthread_mutex_t control, lock;
	struct list loops;   /* of struct slow_report */
	pthread_t thread;
	bool runs;
	bool forks_watched;
	async_time period;
	atomic_int changed;  /* what it sleeps on: something else is to be done */
	bool stop;
	struct capture capture;
} watchdog = {
	.control = PTHREAD_MUTEX_INITIALIZER,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.loops = {&watchdog.loops, &watchdog.loops},
};

/* A slice that is worth a report. */
struct finding {
	struct slow_report *slow;
	unsigned long slice;
	async_time held;
	unsigned untold;
	pid_t thread;
	char name[ASYNC_TASK_NAME_MAX];
};

bool watchdog_admit(struct slow_report *slow, async_time now)
{
	if (slow->window == 0 || now - slow->window >= 60 * ASYNC_S) {
		slow->window = now;
		slow->told = 0;
	}
	if (slow->told == WATCHDOG_REPORTS) {
		slow->untold++;
		return false;
	}
	slow->told++;
	return true;
}

/* Who runs on the loop. Its name does not change meanwhile, and if the task ends the slice does. */
static void read_name(struct async_loop *loop, char *name, size_t size)
{
	struct task *task;
	const char *given;
	struct safe_text text;
	uint64_t id;

	text_init(&text, name, size);
	if (!PEEK(&task, &loop->current) || !task) {
		text_add(&text, "a callback");
		return;
	}
	futex_mutex_lock(&loop->slow.naming);
	if (!PEEK(&given, &task->name) || !peek_string(name, given, size))
		name[0] = '\0';
	futex_mutex_unlock(&loop->slow.naming);
	if (*name || !PEEK(&id, &task->id))
		return;
	text_add(&text, "Task-");
	text_add_number(&text, id);
}

/* Under the lock. */
static bool examine(struct slow_report *slow, async_time now, struct finding *finding)
{
	struct async_loop *loop = container_of(slow, struct async_loop, slow);
	unsigned long slice = atomic_load(&slow->slice);
	async_time began = atomic_load(&slow->slice_began);
	async_time lost = stalls_lost(&process_stalls, now) - atomic_load(&slow->slice_lost);

	if (slice % 2 == 0 || slice != atomic_load(&slow->slice) || slice == atomic_load(&slow->seen))
		return false;
	finding->held = now - began - lost;
	if (finding->held < loop->options.slow_task)
		return false;
	read_name(loop, finding->name, sizeof(finding->name));
	if (!PEEK(&finding->thread, &loop->thread) || slice != atomic_load(&slow->slice))
		return false;
	atomic_store(&slow->seen, slice);
	if (!watchdog_admit(slow, now))
		return false;
	finding->slow = slow;
	finding->slice = slice;
	finding->untold = slow->untold;
	slow->untold = 0;
	return true;
}

static bool find(async_time now, struct finding *finding)
{
	list_for_each(node, &watchdog.loops)
		if (examine(list_entry(node, struct slow_report, link), now, finding))
			return true;
	return false;
}

/* Whether the same slice is still under way, on a loop that is still there. */
static bool holds_still(const struct finding *finding)
{
	bool still = false;

	pthread_mutex_lock(&watchdog.lock);
	list_for_each(node, &watchdog.loops)
		if (list_entry(node, struct slow_report, link) == finding->slow)
			still = atomic_load(&finding->slow->slice) == finding->slice;
	pthread_mutex_unlock(&watchdog.lock);
	return still;
}

static void add_reason(struct safe_text *text, const char *why, int error)
{
	text_add(text, "  no backtrace: ");
	text_add(text, why);
	if (error && error != -EAGAIN) {
		text_add(text, ": ");
		text_add(text, strerror(-error));
	}
	text_add(text, "\n");
}

/* Reads it where it sleeps if that is enough, stops it if not and if that does no harm. */
static void add_backtrace(const struct finding *finding, struct safe_text *text)
{
	struct capture *capture = &watchdog.capture;
	struct safe_text none = *text;
	const char *why;

	if (sanitizer_on_valgrind()) {
		add_reason(text, "the program runs in valgrind", 0);
		return;
	}
	int error = capture_sleeping(capture, finding->thread, &why);
	bool sleeps = error == 0 && holds_still(finding);

	if (sleeps && backtrace_write(capture, finding->thread, text) == BACKTRACE_WHOLE)
		return;
	if ((sleeps && capture->disturbs) || !holds_still(finding)) {
		if (!sleeps)
			add_reason(text, "it has just given way", 0);
		return;
	}
	error = capture_stopped(capture, finding->thread, &why);
	if (error == 0 && holds_still(finding)) {
		/* All registers find more than two of them. */
		*text = none;
		backtrace_write(capture, finding->thread, text);
	} else if (!sleeps) {
		add_reason(text, why, error);
	}
}

static void report(const struct finding *finding)
{
	static char buffer[REPORT_SIZE];
	struct safe_text text;

	text_init(&text, buffer, sizeof(buffer));
	text_add(&text, "async: ");
	text_add_name(&text, finding->name);
	text_add(&text, " has held the loop for ");
	text_add_seconds(&text, finding->held);
	text_add(&text, " and does not give way (thread ");
	text_add_number(&text, (uint64_t)finding->thread);
	text_add(&text, ")");
	if (finding->untold > 0) {
		text_add(&text, "; ");
		text_add_number(&text, finding->untold);
		text_add(&text, " others were not reported");
	}
	text_add(&text, "\n");
	add_backtrace(finding, &text);
	ssize_t ignored = write(STDERR_FILENO, text.start, text.length);
	(void)ignored;
}

/* No fault point: this thread must not take part in a test's count of calls. */
static void sleep_a_period(int changed, async_time period)
{
	struct timespec timeout = clock_timespec(period);

	syscall(SYS_futex, &watchdog.changed, FUTEX_WAIT_PRIVATE, changed, &timeout, NULL, 0);
}

static void *watch_main(void *arg)
{
	pthread_setname_np(pthread_self(), WATCHDOG_THREAD);
	for (;;) {
		struct finding finding = {.slow = NULL};

		pthread_mutex_lock(&watchdog.lock);
		async_time now = clock_now(), period = watchdog.period;
		bool stop = watchdog.stop;
		int changed = atomic_load(&watchdog.changed);
		stalls_tick(&process_stalls, now);
		bool found = !stop && find(now, &finding);
		pthread_mutex_unlock(&watchdog.lock);
		if (stop)
			return arg;
		if (found) {
			/* It may take longer than a period to make one, which is no stall. */
			stalls_set_period(&process_stalls, 0, now);
			report(&finding);
			pthread_mutex_lock(&watchdog.lock);
			stalls_set_period(&process_stalls, watchdog.period, clock_now());
			pthread_mutex_unlock(&watchdog.lock);
		} else {
			sleep_a_period(changed, period);
		}
	}
}

/* Under both locks, after a change of the list. */
static void set_period(void)
{
	async_time least = 8 * PERIOD_MAX;

	list_for_each(node, &watchdog.loops) {
		struct slow_report *slow = list_entry(node, struct slow_report, link);
		async_time limit = container_of(slow, struct async_loop, slow)->options.slow_task;

		least = limit < least ? limit : least;
	}
	watchdog.period = least / 8 > STALLS_PERIOD_MIN ? least / 8 : STALLS_PERIOD_MIN;
	stalls_set_period(&process_stalls, watchdog.period, clock_now());
}

static void notify(void)
{
	atomic_fetch_add(&watchdog.changed, 1);
	syscall(SYS_futex, &watchdog.changed, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void before_fork(void)
{
	pthread_mutex_lock(&watchdog.control);
	pthread_mutex_lock(&watchdog.lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&watchdog.lock);
	pthread_mutex_unlock(&watchdog.control);
}

/* The child has none of the loops, and no thread that would watch. */
static void forget_in_child(void)
{
	list_for_each_safe(node, &watchdog.loops) {
		struct slow_report *slow = list_entry(node, struct slow_report, link);

		slow->watched = false;
		list_remove(&slow->link);
	}
	watchdog.runs = false;
	stalls_set_period(&process_stalls, 0, 0);
	after_fork();
}

/* Under `control`. */
static int start(void)
{
	sigset_t all, old;
	int error = fault("watchdog");

	if (error)
		return error;
	if (!watchdog.forks_watched) {
		if (pthread_atfork(before_fork, after_fork, forget_in_child))
			return -ENOMEM;
		watchdog.forks_watched = true;
	}
	watchdog.stop = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&watchdog.thread, NULL, watch_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	watchdog.runs = error == 0;
	return -error;
}

static void list_change(struct slow_report *slow, bool add)
{
	pthread_mutex_lock(&watchdog.lock);
	slow->watched = add;
	if (add)
		list_append(&watchdog.loops, &slow->link);
	else
		list_remove(&slow->link);
	set_period();
	pthread_mutex_unlock(&watchdog.lock);
}

static int watch(struct async_loop *loop)
{
	struct slow_report *slow = &loop->slow;
	int error = 0;

	/* Only the loop's own thread changes that. */
	if (slow->watched)
		return 0;
	pthread_mutex_lock(&watchdog.control);
	list_change(slow, true);
	if (watchdog.runs)
		notify();
	else
		error = start();
	if (error) {
		list_change(slow, false);
		stalls_set_period(&process_stalls, 0, 0);
	}
	pthread_mutex_unlock(&watchdog.control);
	return error;
}

static void unwatch(struct async_loop *loop)
{
	struct slow_report *slow = &loop->slow;

	if (!slow->watched)
		return;
	pthread_mutex_lock(&watchdog.control);
	list_change(slow, false);
	if (list_empty(&watchdog.loops)) {
		pthread_mutex_lock(&watchdog.lock);
		watchdog.stop = true;
		pthread_mutex_unlock(&watchdog.lock);
		notify();
		pthread_join(watchdog.thread, NULL);
		watchdog.runs = false;
		stalls_set_period(&process_stalls, 0, 0);
	}
	pthread_mutex_unlock(&watchdog.control);
}

static const struct slow_watchdog registered = {.watch = watch, .unwatch = unwatch};

__attribute__((constructor)) static void register_watchdog(void)
{
	slow_watchdog = &registered;
}
