/* SPDX-License-Identifier: MIT */
#include "random_program.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"

#define TASKS_MAX 24
#define DEPTH_MAX 3
#define PAIRS 2

static struct world {
	uint64_t random;
	unsigned features;
	struct random_history *history;
	async_loop *loop;
	async_task *tasks[TASKS_MAX]; /* a reference each */
	unsigned count;
	unsigned numbers;             /* given to tasks and callbacks */
	unsigned depth;               /* of scopes and groups inside one another */
	bool closing;
	async_handle *prepared;
	async_queue *queue;
	struct async_lock lock;
	struct async_semaphore semaphore;
	struct async_event event;
	struct async_condition condition;
	struct async_barrier barrier;
	int pairs[PAIRS][2]; /* reading end, writing end */
	int idle[2];
} w;

/* What another thread may wake. */
static pthread_mutex_t waking = PTHREAD_MUTEX_INITIALIZER;
static async_loop *woken;

static void let_wake(async_loop *loop)
{
	pthread_mutex_lock(&waking);
	woken = loop;
	pthread_mutex_unlock(&waking);
}

void random_program_wake(void)
{
	pthread_mutex_lock(&waking);
	if (woken)
		loop_notify(woken);
	pthread_mutex_unlock(&waking);
}

/* A number below `n`. */
static unsigned draw(unsigned n)
{
	w.random ^= w.random << 13;
	w.random ^= w.random >> 7;
	w.random ^= w.random << 17;
	return (unsigned)((w.random >> 33) % n);
}

static void record(unsigned who, const char *what, int64_t value)
{
	struct random_history *history = w.history;
	struct async_loop_stats stats = {.size = sizeof(stats)};

	(void)async_loop_get_stats(w.loop, &stats);
	if (history->count < RANDOM_EVENTS_MAX)
		history->events[history->count] =
			(struct random_event){who, (uint32_t)stats.iterations, what, value, async_loop_time(w.loop)};
	history->count++;
}

/* Short, so that many end together; some have passed already. */
static async_time some_delay(void)
{
	return draw(12) == 0 ? (async_time)draw(1000) * ASYNC_US : (async_time)draw(8) - 3;
}

static async_time some_time(void)
{
	return async_loop_time(NULL) + some_delay();
}

static intptr_t body(void *arg);
static void call(void *arg);
static intptr_t any_step(unsigned who);

static async_task *spawn(struct async_group *group)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	async_task *task;

	if (w.closing || w.count == TASKS_MAX)
		return async_future_failed(-ECHILD);
	void *number = (void *)(uintptr_t)++w.numbers;
	options.eager = draw(4) == 0;
	if (group)
		task = async_ref(async_group_create_task_with(group, body, number, &options));
	else
		task = async_create_task_with(body, number, &options);
	/* An eager one may have made more. */
	if (w.count < TASKS_MAX && !w.closing)
		w.tasks[w.count++] = async_ref(task);
	return task;
}

/* One that is there, with a reference; not the one that asks. */
static async_task *pick(void)
{
	async_task *task = w.count ? w.tasks[draw(w.count)] : NULL;

	return task && task != async_current_task() ? async_ref(task) : async_future_failed(-ESRCH);
}

static intptr_t step_sleep(unsigned who)
{
	(void)who;
	return async_sleep(some_delay());
}

static intptr_t step_sleep_until(unsigned who)
{
	(void)who;
	return async_sleep_until(some_time());
}

static intptr_t step_give_way(unsigned who)
{
	unsigned turns = draw(8) == 0 ? draw(300) : draw(4);
	intptr_t result = 0;

	(void)who;
	while (turns-- > 0 && result == 0)
		result = async_sleep(0);
	return result;
}

static intptr_t step_spawn(unsigned who)
{
	async_task *task = spawn(NULL);

	(void)who;
	if (draw(3) == 0)
		return async_await(task);
	async_release(task);
	return 0;
}

static intptr_t step_cancel(unsigned who)
{
	async_task *task = pick();
	int result = async_cancel(task, "picked");

	(void)who;
	async_release(task);
	return result;
}

static intptr_t step_wait_for(unsigned who)
{
	(void)who;
	return async_wait_for(draw(3) ? pick() : spawn(NULL), some_delay());
}

static intptr_t step_shield(unsigned who)
{
	(void)who;
	return async_wait_for(async_shield(pick()), some_delay());
}

static intptr_t step_wait(unsigned who)
{
	async_future *futures[] = {pick(), pick(), pick()};
	intptr_t result = async_wait(futures, 1 + draw(3), (enum async_wait_when)draw(3), some_delay());

	(void)who;
	for (int i = 0; i < 3; i++)
		async_release(futures[i]);
	return result;
}

static intptr_t step_gather(unsigned who)
{
	async_future *futures[] = {spawn(NULL), spawn(NULL), pick()};

	(void)who;
	return async_wait_for(async_gather(futures, 3, draw(2) ? ASYNC_GATHER_COLLECT : 0, NULL), some_delay());
}

static intptr_t step_as_completed(unsigned who)
{
	async_future *futures[] = {spawn(NULL), pick(), spawn(NULL)}, *next;
	async_completions *all;
	int result = async_as_completed(futures, 3, some_delay(), &all);

	while (result == 0 && (result = async_next_completed(all, &next)) > 0) {
		record(who, "completed", async_done(next) ? 1 : 0);
		async_release(next);
		result = 0;
	}
	async_completions_free(all);
	return result;
}

static intptr_t step_scope(unsigned who)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;
	int error = draw(2) ? async_timeout_begin(&scope, some_delay()) : async_timeout_begin_at(&scope, some_time());

	if (error)
		return error;
	if (draw(4) == 0)
		async_timeout_reschedule(&scope, some_time());
	return async_timeout_end(&scope, any_step(who));
}

static intptr_t step_group(unsigned who)
{
	struct async_group group = ASYNC_GROUP_INIT;
	int error = async_group_begin(&group);

	if (error)
		return error;
	for (unsigned i = draw(3); i > 0; i--)
		async_release(spawn(&group));
	intptr_t result = any_step(who);
	if (draw(4) == 0)
		async_group_cancel(&group);
	return async_group_end(&group, result == -ECANCELED || draw(2) ? result : 0);
}

static intptr_t step_queue(unsigned who)
{
	void *item = NULL;

	(void)who;
	switch (draw(4)) {
	case 0:
		return async_queue_put(w.queue, (void *)(uintptr_t)draw(100));
	case 1:
		return async_queue_put_nowait(w.queue, (void *)(uintptr_t)draw(100));
	case 2:
		return async_queue_get_nowait(w.queue, &item) < 0 ? -EAGAIN : (intptr_t)item;
	default:
		return async_queue_get(w.queue, &item) < 0 ? -ECANCELED : (intptr_t)item;
	}
}

static intptr_t step_lock(unsigned who)
{
	intptr_t result = async_lock_acquire(&w.lock);

	(void)who;
	if (result < 0)
		return result;
	result = async_sleep(some_delay());
	async_lock_release(&w.lock);
	return result;
}

static intptr_t step_semaphore(unsigned who)
{
	intptr_t result = async_semaphore_acquire(&w.semaphore);

	(void)who;
	if (result < 0)
		return result;
	result = async_sleep(some_delay());
	async_semaphore_release(&w.semaphore);
	return result;
}

static intptr_t step_event(unsigned who)
{
	(void)who;
	switch (draw(3)) {
	case 0:
		return async_event_set(&w.event);
	case 1:
		return async_event_clear(&w.event);
	default:
		return async_event_wait(&w.event);
	}
}

static intptr_t step_condition(unsigned who)
{
	intptr_t result = async_condition_acquire(&w.condition);

	(void)who;
	if (result < 0)
		return result;
	if (draw(2))
		result = async_condition_notify(&w.condition, 1 + draw(3));
	else
		result = async_condition_wait(&w.condition);
	async_condition_release(&w.condition);
	return result;
}

static intptr_t step_barrier(unsigned who)
{
	(void)who;
	return async_barrier_wait(&w.barrier);
}

static intptr_t step_call(unsigned who)
{
	void *number = (void *)(uintptr_t)++w.numbers;
	async_handle *handle = NULL;
	intptr_t result = 0;

	(void)who;
	switch (draw(5)) {
	case 0:
		result = async_loop_call_soon(w.loop, call, number, &handle);
		break;
	case 1:
		result = async_loop_call_at(w.loop, some_time(), call, number, &handle);
		break;
	case 2:
		return async_loop_call_soon_threadsafe(w.loop, call, number);
	case 3:
		return async_handle_post(w.prepared);
	default:
		result = async_loop_call_later(w.loop, some_delay(), call, number, &handle);
	}
	if (result == 0 && draw(3) == 0)
		result = async_sleep(some_delay());
	if (draw(4) == 0)
		async_handle_cancel(handle);
	async_handle_release(handle);
	return result;
}

static intptr_t step_select(unsigned who)
{
	async_task *task = pick();
	struct async_select_case cases[] = {ASYNC_CASE_GET(w.queue), ASYNC_CASE_DEADLINE(some_time()),
					    ASYNC_CASE_FUTURE(task), ASYNC_CASE_DEADLINE(some_time()),
					    ASYNC_CASE_POLL(w.pairs[draw(PAIRS)][0], POLLIN)};
	intptr_t result = async_select_from(cases, w.features & RANDOM_PIPES ? 5 : 4, draw(4));

	(void)who;
	async_release(task);
	return result;
}

static intptr_t step_read(unsigned who)
{
	char bytes[8];

	(void)who;
	return async_read(w.pairs[draw(PAIRS)][0], bytes, 1 + draw(sizeof(bytes)));
}

static intptr_t step_write(unsigned who)
{
	(void)who;
	return async_write(w.pairs[draw(PAIRS)][1], "something", 1 + draw(8));
}

static intptr_t step_poll(unsigned who)
{
	(void)who;
	return async_poll(w.pairs[draw(PAIRS)][0], POLLIN);
}

static const struct step {
	const char *name;
	intptr_t (*take)(unsigned who);
} steps[] = {
	{"sleep", step_sleep},
	{"sleep_until", step_sleep_until},
	{"give_way", step_give_way},
	{"spawn", step_spawn},
	{"cancel", step_cancel},
	{"wait_for", step_wait_for},
	{"shield", step_shield},
	{"wait", step_wait},
	{"gather", step_gather},
	{"as_completed", step_as_completed},
	{"scope", step_scope},
	{"group", step_group},
	{"queue", step_queue},
	{"lock", step_lock},
	{"semaphore", step_semaphore},
	{"event", step_event},
	{"condition", step_condition},
	{"barrier", step_barrier},
	{"call", step_call},
	{"call", step_call},
	{"select", step_select},
	{"read", step_read},
	{"read", step_read},
	{"write", step_write},
	{"write", step_write},
	{"poll", step_poll},
};

#define STEPS_WITH_PIPES ((unsigned)(sizeof(steps) / sizeof(steps[0])))
#define STEPS (STEPS_WITH_PIPES - 5)

static intptr_t any_step(unsigned who)
{
	const struct step *step = &steps[draw(w.features & RANDOM_PIPES ? STEPS_WITH_PIPES : STEPS)];

	if (w.depth == DEPTH_MAX)
		step = &steps[draw(3)];
	w.depth++;
	intptr_t result = step->take(who);
	w.depth--;
	record(who, step->name, result);
	return result;
}

static intptr_t body(void *arg)
{
	unsigned who = (unsigned)(uintptr_t)arg;

	record(who, "begins", 0);
	for (unsigned left = draw(6); left > 0; left--) {
		if (any_step(who) != -ECANCELED)
			continue;
		/* Some do not let themselves be stopped at once. */
		if (draw(4) || w.closing)
			return -ECANCELED;
		left = 1;
	}
	return draw(5) ? (intptr_t)who : -EIO;
}

static void call(void *arg)
{
	unsigned who = (unsigned)(uintptr_t)arg;

	record(who, "is called", 0);
	if (draw(4) == 0)
		async_release(spawn(NULL));
	if (draw(4) == 0)
		record(who, "cancel", step_cancel(who));
}

static intptr_t read_for_ever(void *arg)
{
	char byte;

	(void)arg;
	return async_read(w.idle[0], &byte, 1);
}

static intptr_t main_task(void *arg)
{
	unsigned initial = 1 + draw(6);
	async_task *idle = w.features & RANDOM_IDLE_READ ? async_create_task(read_for_ever, NULL) : NULL;

	(void)arg;
	for (unsigned i = 0; i < initial; i++)
		async_release(spawn(NULL));
	/* What could wake somebody makes a deadlock a wait. */
	intptr_t result = async_wait(w.tasks, w.count < initial ? w.count : initial, ASYNC_WAIT_ALL_COMPLETED,
				     !w.prepared && w.features == 0 ? ASYNC_FOREVER : ASYNC_MS);
	record(0, "ends", result);
	w.closing = true;
	for (unsigned i = 0; i < w.count; i++)
		async_release(w.tasks[i]);
	w.count = 0;
	async_release(idle);
	return result;
}

static int record_error(const struct async_error_context *context, void *arg)
{
	(void)arg;
	/* Others have none, and come in debug mode or depend on how long something took. */
	if (context->error)
		record(0, "reports", context->error);
	return 0;
}

static bool make_pairs(void)
{
	return pipe(w.pairs[0]) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, w.pairs[1]) == 0 && pipe(w.idle) == 0;
}

static void close_pairs(void)
{
	for (int i = 0; i < PAIRS; i++) {
		close(w.pairs[i][0]);
		close(w.pairs[i][1]);
	}
	close(w.idle[0]);
	close(w.idle[1]);
}

void random_program_run(uint64_t seed, unsigned features, const struct async_options *options,
			struct random_history *history)
{
	struct async_queue_options queue = ASYNC_QUEUE_OPTIONS_INIT;
	struct async_runner runner = ASYNC_RUNNER_INIT;

	history->count = 0;
	w = (struct world){.random = seed * 0x9e3779b97f4a7c15u + 1, .features = features, .history = history};
	w.semaphore = (struct async_semaphore)ASYNC_SEMAPHORE_INIT(2);
	w.barrier = (struct async_barrier)ASYNC_BARRIER_INIT(2);
	queue.max_items = 2;
	if ((features && !make_pairs()) || async_queue_new(&queue, &w.queue) < 0 ||
	    async_runner_open(&runner, options) < 0)
		abort();
	w.loop = async_runner_get_loop(&runner);
	async_loop_set_error_handler(w.loop, record_error, NULL);
	if (draw(4) > 0 && async_handle_new(w.loop, call, NULL, &w.prepared) < 0)
		abort();
	let_wake(w.loop);
	record(0, "result", async_runner_run(&runner, main_task, NULL));
	let_wake(NULL);
	async_handle_release(w.prepared);
	async_runner_close(&runner);
	async_queue_free(w.queue);
	if (features)
		close_pairs();
}
