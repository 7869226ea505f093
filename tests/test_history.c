/* SPDX-License-Identifier: MIT */
/*
 * On the virtual clock a program and a seed have one history: with both reactors, with both switches, whatever the real
 * clock says meanwhile, and whenever other threads make the loop look around.
 *
 * ASYNC_TEST_PROGRAMS=FIRST,COUNT runs other and more programs than usual.
 */
#include "harness.h"
#include "random_program.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"

/* What the real clock shows in this process: it jumps between two looks by up to `jump` ns. 0: it is the kernel's. */
static atomic_uint jump;
static _Atomic uint64_t jumps, jumped;

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	unsigned most = atomic_load(&jump);

	if (most == 0 || clock != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	/* Long and short steps, in no order. */
	uint64_t n = atomic_fetch_add(&jumps, 1) * 0x9e3779b97f4a7c15u, by = (n >> 40) % most >> (n >> 36) % 16;
	uint64_t now = atomic_fetch_add(&jumped, by) + by;
	*ts = (struct timespec){.tv_sec = 1000 + (time_t)(now / 1000000000), .tv_nsec = (long)(now % 1000000000)};
	return 0;
}

static const struct way {
	const char *name;
	enum async_backend backend;
	enum async_switch switch_kind;
	unsigned jump;
	bool debug;
	async_time slow_task;
} ways[] = {
	{"epoll, asm", ASYNC_BACKEND_EPOLL, ASYNC_SWITCH_AUTO, 0, false, 0},
	{"epoll, asm, the clock jumps", ASYNC_BACKEND_EPOLL, ASYNC_SWITCH_AUTO, 300000, false, 0},
	{"epoll, ucontext, debug, the clock leaps", ASYNC_BACKEND_EPOLL, ASYNC_SWITCH_UCONTEXT, 50000000, true, 0},
	{"io_uring, asm, the clock creeps", ASYNC_BACKEND_IO_URING, ASYNC_SWITCH_AUTO, 100, false, 0},
	{"io_uring, ucontext, the clock jumps", ASYNC_BACKEND_IO_URING, ASYNC_SWITCH_UCONTEXT, 2000000, false, 0},
};

static struct random_history first, again;

static bool event_differs(const struct random_event *a, const struct random_event *b)
{
	return a->who != b->who || a->iteration != b->iteration || a->what != b->what || a->value != b->value ||
	       a->time != b->time;
}

static void print_event(const struct random_event *event)
{
	print_error("  %u %s %ld, iteration %u, %ld ns\n", event->who, event->what, (long)event->value,
		    event->iteration, (long)event->time);
}

static void assert_same(uint64_t program, uint64_t seed, const char *way)
{
	size_t kept = first.count < RANDOM_EVENTS_MAX ? first.count : RANDOM_EVENTS_MAX, i = 0;

	while (i < kept && i < again.count && !event_differs(&first.events[i], &again.events[i]))
		i++;
	if (i == kept && first.count == again.count)
		return;
	print_error("program %lu, seed %lu, %s: %zu events instead of %zu; from number %zu on\n", (unsigned long)program,
		    (unsigned long)seed, way, again.count, first.count, i);
	for (size_t k = i; k < i + 5 && k < kept; k++)
		print_event(&first.events[k]);
	print_error("instead of which\n");
	for (size_t k = i; k < i + 5 && k < again.count; k++)
		print_event(&again.events[k]);
	fail();
}

static void run_in(const struct way *way, uint64_t program, unsigned features, uint64_t seed,
		   struct random_history *history)
{
	struct async_options options = ASYNC_OPTIONS_INIT;

	options.clock = ASYNC_CLOCK_VIRTUAL;
	options.backend = way->backend;
	options.switch_kind = way->switch_kind;
	options.debug = way->debug;
	options.slow_task = way->slow_task;
	options.shuffle_seed = seed;
	atomic_store(&jump, way->jump);
	random_program_run(program, features, &options, history);
	atomic_store(&jump, 0);
}

static bool has_ring(void)
{
	static int has = -1;

	if (has < 0)
		has = reactor_uring_usable(&(const char *){NULL}, &(const char *){NULL});
	return has;
}

static void compare_ways(uint64_t program, unsigned features)
{
	uint64_t seed = program % 3;

	for (size_t i = 0; i < countof(ways); i++) {
		bool other_reactor = i > 0 && ways[i].backend != ways[i - 1].backend;

		if (ways[i].backend == ASYNC_BACKEND_IO_URING && !has_ring())
			continue;
		/* What epoll does at once a ring does with the next look at the kernel. */
		if (i == 0 || (other_reactor && features & RANDOM_PIPES)) {
			run_in(&ways[i], program, features, seed, &first);
			continue;
		}
		run_in(&ways[i], program, features, seed, &again);
		assert_same(program, seed, ways[i].name);
	}
}

static void compare_programs(unsigned features, size_t count)
{
	const char *given = getenv("ASYNC_TEST_PROGRAMS");
	unsigned long from = 1, programs = test_many(count);

	if (given && sscanf(given, "%lu,%lu", &from, &programs) != 2)
		fail_msg("ASYNC_TEST_PROGRAMS is \"%s\", not FIRST,COUNT", given);
	for (unsigned long program = from; program < from + programs; program++)
		compare_ways(program, features);
}

static void a_program_has_one_history(void **state)
{
	(void)state;
	compare_programs(0, 600);
}

static void a_reactor_changes_nothing(void **state)
{
	(void)state;
	compare_programs(RANDOM_IDLE_READ, 100);
}

static void pipes_change_nothing(void **state)
{
	(void)state;
	compare_programs(RANDOM_PIPES | RANDOM_IDLE_READ, 200);
}

/* What is reported of slow slices is no part of the order. */
static void slow_slices_change_nothing(void **state)
{
	/* Shorter than what could be taken for a stall of the process. */
	static const struct way leaps = {"many are slow", ASYNC_BACKEND_EPOLL, ASYNC_SWITCH_AUTO, 1000000, true,
					 10 * ASYNC_US};
	const struct slow_watchdog *watchdog = slow_watchdog;

	(void)state;
	/* Who would tell it on stderr. */
	slow_watchdog = NULL;
	for (uint64_t program = 1; program <= test_many(100); program++) {
		run_in(&ways[0], program, 0, 7, &first);
		run_in(&leaps, program, 0, 7, &again);
		assert_same(program, 7, leaps.name);
	}
	slow_watchdog = watchdog;
}

static atomic_bool wakes;

static void *wake_again_and_again(void *arg)
{
	(void)arg;
	while (atomic_load(&wakes)) {
		random_program_wake();
		sched_yield();
	}
	return NULL;
}

static void news_from_other_threads_change_nothing(void **state)
{
	pthread_t thread;

	(void)state;
	atomic_store(&wakes, true);
	assert_int_equal(pthread_create(&thread, NULL, wake_again_and_again, NULL), 0);
	compare_programs(0, 50);
	compare_programs(RANDOM_IDLE_READ, 50);
	atomic_store(&wakes, false);
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_program_has_one_history),
		TEST(a_reactor_changes_nothing),
		TEST(pipes_change_nothing),
		TEST(slow_slices_change_nothing),
		TEST(news_from_other_threads_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
