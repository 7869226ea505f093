/* SPDX-License-Identifier: MIT */
/*
 * Random programs of everything that waits, nested and cancelled at random moments on the virtual clock, against one
 * rule: each request for a cancellation is delivered once, or withdrawn, or still stands when the task ends; several
 * that come before a delivery are one delivery.
 *
 * What is known of each task is how many requests it has had: its count, and what was taken back. Each wait is checked
 * when it returns. It may say -ECANCELED only if something was requested since that was last told, and if it suspended
 * it must. What a scope makes of what was handed to it follows from the counts at its beginning and its end.
 * A program in which a request is lost does not end, either.
 *
 *     test_cancel_programs FIRST COUNT    runs the programs with these seeds
 */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACTORS 20
#define DEPTH 4
#define SCOPES 16 /* of one task, at a time */

/* What the return of a wait says about a request that was made meanwhile. */
enum wait_kind {
	TELLS,     /* it is told here */
	PASSES_ON, /* or has been passed on to what was waited for */
	KEEPS,     /* or waits until the next time: this call has its result */
};

/* A scope whose own request may not be told of yet. */
struct scope {
	const struct async_timeout *timeout;
	const struct async_group *group;
	bool told;
};

struct actor {
	async_task *task;
	unsigned depth;
	int told;       /* of all requests, how many were told or passed on */
	int taken_back;
	bool again;     /* the end of a scope said something else: it is to be told once more */
	bool blurred;   /* one was taken back while it waited: it may have been told, or not */
	bool kept;      /* the last call has kept its result */
	bool goes_on;   /* swallows what it is told */
	struct scope scopes[SCOPES];
	unsigned open;
	intptr_t returned;
	bool over;
};

static struct {
	unsigned seed;
	uint64_t state;
	struct actor actors[ACTORS];
	unsigned count;
	struct async_event never;
	struct async_lock lock;
	struct async_condition condition;
	async_queue *queue;
	int pipe[2];
} program;

static unsigned pick(unsigned limit)
{
	program.state ^= program.state >> 12;
	program.state ^= program.state << 25;
	program.state ^= program.state >> 27;
	return (unsigned)((program.state * 0x2545f4914f6cdd1du >> 33) % limit);
}

static int requests(const struct actor *actor)
{
	return async_cancelling(actor->task) + actor->taken_back;
}

static int untold(const struct actor *actor)
{
	return requests(actor) - actor->told + actor->again;
}

static void wrong(const struct actor *actor, const char *what, intptr_t result, intptr_t expected)
{
	fprintf(stderr, "program %u, task %d: %s: result %ld, expected %ld, %d requests, %d told%s\n", program.seed,
		(int)(actor - program.actors), what, (long)result, (long)expected, requests(actor), actor->told,
		actor->again ? ", one to be told again" : "");
	fail();
}

static bool asked_for_itself(const struct scope *scope)
{
	return scope->timeout ? async_timeout_expired(scope->timeout) : scope->group->cancelled_parent;
}

/* Everything that was requested has been told or passed on. */
static void settle(struct actor *actor)
{
	actor->told = requests(actor);
	actor->again = actor->blurred = actor->kept = false;
	for (unsigned i = 0; i < actor->open; i++)
		actor->scopes[i].told = asked_for_itself(&actor->scopes[i]);
}

static uint64_t turns(void)
{
	struct async_loop_stats stats = {.size = sizeof(stats)};

	assert_int_equal(async_loop_get_stats(async_get_running_loop(), &stats), 0);
	return stats.iterations;
}

/* A wait that began at `began` has returned. */
static intptr_t waited(struct actor *actor, enum wait_kind kind, uint64_t began, intptr_t result)
{
	bool due = untold(actor) > 0, suspended = turns() != began;

	/* The result of what was done already. */
	if (kind == PASSES_ON && !suspended)
		return result;
	if (result == -ECANCELED) {
		if (kind != PASSES_ON && !due && !actor->blurred)
			wrong(actor, "told without a request", result, 0);
		settle(actor);
	} else if (suspended) {
		if (kind == TELLS && due && !actor->blurred)
			wrong(actor, "a request is lost", result, -ECANCELED);
		if (kind == KEEPS)
			actor->kept = due;
		else
			settle(actor);
	}
	return result;
}

#define WAITED(kind, call) \
	({ \
		uint64_t began_ = turns(); \
		intptr_t result_ = (call); \
		waited(actor, kind, began_, result_); \
	})

static intptr_t act(void *arg);
static intptr_t block(struct actor *actor, unsigned depth);

/* NULL: there are enough. */
static async_fn *new_actor(unsigned depth, struct actor **ret_actor)
{
	if (program.count == ACTORS || depth >= DEPTH)
		return NULL;
	struct actor *actor = &program.actors[program.count++];
	*actor = (struct actor){.depth = depth + 1, .goes_on = pick(4) == 0};
	*ret_actor = actor;
	return act;
}

static async_task *start(struct actor *parent, struct async_group *group)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	struct actor *actor;

	if (!new_actor(parent->depth, &actor))
		return NULL;
	options.eager = pick(4) == 0;
	async_task *task = group ? async_group_create_task_with(group, act, actor, &options)
				 : async_create_task_with(act, actor, &options);
	if (async_done(task) && async_future_loop(task) == NULL) {
		/* The group is being cancelled. */
		actor->over = true;
		return NULL;
	}
	if (!actor->task)
		actor->task = async_ref(task);
	return task;
}

/* Leaves */

static intptr_t lock_for_a_while(struct actor *actor)
{
	intptr_t result = WAITED(TELLS, async_lock_acquire(&program.lock));

	if (result)
		return result;
	result = WAITED(TELLS, async_sleep(pick(4)));
	async_lock_release(&program.lock);
	return result;
}

static intptr_t wait_for_condition(struct actor *actor)
{
	intptr_t result = WAITED(TELLS, async_condition_acquire(&program.condition));

	if (result)
		return result;
	if (pick(2))
		async_condition_notify_all(&program.condition);
	else if (!actor->goes_on)
		result = WAITED(TELLS, async_condition_wait(&program.condition));
	assert_true(async_condition_locked(&program.condition));
	if (pick(2) && result == 0)
		result = WAITED(TELLS, async_sleep(pick(4)));
	async_condition_release(&program.condition);
	return result;
}

static intptr_t read_pipe(struct actor *actor)
{
	char byte;
	intptr_t result = WAITED(KEEPS, async_read(program.pipe[0], &byte, 1));

	return result > 0 ? 0 : result;
}

static intptr_t select_one(struct actor *actor)
{
	struct async_select_case cases[] = {ASYNC_CASE_GET(program.queue),
					    ASYNC_CASE_DEADLINE(async_loop_time(NULL) + 1 + pick(8))};
	intptr_t result = WAITED(TELLS, async_select(cases, countof(cases)));

	return result < 0 ? result : 0;
}

static intptr_t wait_for_another(struct actor *actor)
{
	async_task *other = program.actors[pick(program.count)].task;

	if (!other || other == actor->task)
		return 0;
	intptr_t result = WAITED(TELLS, async_wait(&other, 1, ASYNC_WAIT_ALL_COMPLETED, pick(20)));
	return result < 0 ? result : 0;
}

static void cancel_somebody(struct actor *actor)
{
	struct actor *other = &program.actors[pick(program.count)];

	if (!other->task || other->over || async_done(other->task))
		return;
	async_cancel(other->task, "somebody");
	/* What a scope asked for itself is for the scope to take back. */
	if (pick(8) || other->open > 0)
		return;
	int before = async_cancelling(other->task);
	other->taken_back += before - async_uncancel(other->task);
	if (other == actor && async_cancelling(other->task) == 0)
		settle(other);
	else
		other->blurred = true;
}

static intptr_t leaf(struct actor *actor)
{
	switch (pick(9)) {
	case 0: return WAITED(TELLS, async_sleep(0));
	case 1: return WAITED(TELLS, actor->goes_on ? async_sleep(pick(30)) : async_event_wait(&program.never));
	case 2: return lock_for_a_while(actor);
	case 3: return wait_for_condition(actor);
	case 4: return read_pipe(actor);
	case 5: return select_one(actor);
	case 6: return wait_for_another(actor);
	case 7: cancel_somebody(actor); return 0;
	default: return WAITED(TELLS, async_sleep(pick(12)));
	}
}

/* Constructs */

static intptr_t await_one(struct actor *actor)
{
	async_task *task = start(actor, NULL);

	if (!task)
		return 0;
	switch (pick(3)) {
	case 0: return WAITED(PASSES_ON, async_await(task));
	case 1: return WAITED(PASSES_ON, async_wait_for(task, pick(4) ? 1 + pick(20) : 0));
	default: break;
	}
	async_future *shield = async_shield(task);
	bool is_cancelled_alone = !async_done(shield);
	uint64_t began = turns();
	intptr_t result = async_await(shield);
	/* What the inner one ends with may be the same. */
	if (is_cancelled_alone && result != -ECANCELED && untold(actor) > 0 && !actor->blurred)
		wrong(actor, "a request is lost at a shield", result, -ECANCELED);
	return waited(actor, PASSES_ON, began, result);
}

static intptr_t gather_some(struct actor *actor)
{
	async_future *futures[3];
	size_t count = 0;

	while (count < 1 + pick(3) && (futures[count] = start(actor, NULL)))
		count++;
	if (count == 0)
		return 0;
	return WAITED(PASSES_ON, async_await(async_gather(futures, count, pick(2), NULL)));
}

static intptr_t as_completed(struct actor *actor)
{
	async_future *futures[3], *next;
	async_completions *all;
	size_t count = 0;
	intptr_t more;

	while (count < 1 + pick(3) && (futures[count] = start(actor, NULL)))
		count++;
	assert_int_equal(async_as_completed(futures, count, 1 + pick(30), &all), 0);
	while ((more = WAITED(TELLS, async_next_completed(all, &next))) > 0)
		async_release(next);
	async_completions_free(all);
	return more;
}

static void open_scope(struct actor *actor, struct scope scope)
{
	assert_true(actor->open < SCOPES);
	actor->scopes[actor->open++] = scope;
}

/* The innermost scope has ended, and has taken back what it asked for itself. `before`: the requests that it found. */
static void close_scope(struct actor *actor, int count_before, bool asked, int before)
{
	bool told = actor->scopes[--actor->open].told;
	int count = async_cancelling(actor->task);

	actor->taken_back += count_before - count;
	if (!asked)
		return;
	actor->told += !told;
	/* What was to be told again may have been that. */
	if (actor->again && untold(actor) > count - before)
		actor->again = false;
}

static intptr_t limited(struct actor *actor, unsigned depth)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;
	int before = async_cancelling(actor->task) - untold(actor);
	bool unsure = actor->blurred;

	assert_int_equal(async_timeout_begin(&scope, pick(5) ? pick(25) : 0), 0);
	open_scope(actor, (struct scope){.timeout = &scope});
	intptr_t inner = block(actor, depth), expected = inner;
	int count = async_cancelling(actor->task);
	bool expired = async_timeout_expired(&scope);
	intptr_t result = async_timeout_end(&scope, inner);
	close_scope(actor, count, expired, before);
	if (expired && inner == -ECANCELED && async_cancelling(actor->task) <= before)
		expected = -ETIMEDOUT;
	actor->blurred |= unsure;
	if (result != expected && !actor->blurred)
		wrong(actor, "the end of a limit", result, expected);
	return result;
}

static intptr_t group_of_some(struct actor *actor, unsigned depth)
{
	struct async_group group = ASYNC_GROUP_INIT;
	int before = async_cancelling(actor->task) - untold(actor);
	bool unsure = actor->blurred;

	assert_int_equal(async_group_begin(&group), 0);
	open_scope(actor, (struct scope){.group = &group});
	for (unsigned i = pick(3); i > 0; i--)
		start(actor, &group);
	if (pick(4) == 0)
		async_group_cancel(&group);
	intptr_t inner = block(actor, depth);
	if (pick(4) == 0)
		async_group_cancel(&group);
	bool waits = group.running > 0, had = untold(actor) > 0;
	int seen = requests(actor);
	intptr_t result = async_group_end(&group, inner);
	if (waits)
		actor->scopes[actor->open - 1].told = true;
	close_scope(actor, async_cancelling(actor->task) + group.cancelled_parent, group.cancelled_parent, before);
	/* While it waited it was told of everything, what it asked for itself included. */
	bool in_hand = inner == -ECANCELED || (waits && (had || requests(actor) > seen));
	bool by_others = async_cancelling(actor->task) > before;
	if (waits)
		settle(actor);
	intptr_t expected = inner;
	if (async_group_error_count(&group) > 0) {
		expected = async_group_error(&group, 0);
		if (in_hand && by_others && untold(actor) == 0)
			actor->again = true;
	} else if (in_hand && (by_others || !group.cancelled_parent)) {
		expected = -ECANCELED;
	} else if (inner == -ECANCELED) {
		expected = 0;
	}
	actor->blurred |= unsure;
	if (result != expected && !actor->blurred)
		wrong(actor, "the end of a group", result, expected);
	return result;
}

static intptr_t statement(struct actor *actor, unsigned depth)
{
	if (depth >= DEPTH)
		return leaf(actor);
	switch (pick(10)) {
	case 0: return await_one(actor);
	case 1: return gather_some(actor);
	case 2: return as_completed(actor);
	case 3:
	case 4: return limited(actor, depth + 1);
	case 5:
	case 6: return group_of_some(actor, depth + 1);
	default: return leaf(actor);
	}
}

/* A few statements, until one fails; who goes on when it is cancelled may take a request back. */
static intptr_t block(struct actor *actor, unsigned depth)
{
	intptr_t result = 0;

	for (unsigned i = 1 + pick(3); i > 0; i--) {
		result = statement(actor, depth);
		/* Failures are dealt with, or end it. */
		if (result < 0 && result != -ECANCELED && pick(2))
			result = 0;
		if (result != -ECANCELED || !actor->goes_on) {
			if (result < 0)
				return result;
			continue;
		}
		result = 0;
		if (actor->open == 0 && pick(2)) {
			int count = async_cancelling(actor->task);

			actor->taken_back += count - async_uncancel(actor->task);
			if (async_cancelling(actor->task) == 0)
				settle(actor);
		}
	}
	return pick(12) ? result : -EIO;
}

static intptr_t act(void *arg)
{
	struct actor *actor = arg;

	if (!actor->task)
		actor->task = async_ref(async_current_task());
	intptr_t result = block(actor, actor->depth);
	actor->returned = result < 0 ? result : 1;
	actor->over = true;
	return actor->returned;
}

/* What became of a task whose body has returned. */
static void check_end(const struct actor *actor)
{
	intptr_t expected = actor->returned, result = async_result(actor->task);

	if (!actor->over || actor->blurred)
		return;
	if (expected >= 0 && untold(actor) > 0 && !actor->kept)
		expected = -ECANCELED;
	if (result != expected)
		wrong(actor, "the end of a task", result, expected);
}

static bool all_have_ended(void)
{
	for (unsigned i = 0; i < program.count; i++)
		if (program.actors[i].task && !async_done(program.actors[i].task))
			return false;
	return true;
}

/* Gives those who wait for something outside what they wait for, now and then. */
static void provide(void)
{
	char byte = 1;

	if (pick(4) == 0)
		(void)!write(program.pipe[1], &byte, 1);
	if (pick(4) == 0)
		async_queue_put_nowait(program.queue, &program);
}

static intptr_t direct(void *arg)
{
	struct actor none = {0};

	for (unsigned i = 2 + pick(3); i > 0; i--)
		async_release(start(&none, NULL));
	for (int round = 0; !all_have_ended(); round++) {
		provide();
		if (pick(2))
			cancel_somebody(&none);
		/* All of them, until nobody goes on any more. */
		for (unsigned i = 0; round > 30 && round % 8 == 0 && i < program.count; i++)
			if (program.actors[i].task && !async_done(program.actors[i].task))
				async_cancel(program.actors[i].task, "the end");
		if (round > 2000) {
			fprintf(stderr, "program %u does not end\n", program.seed);
			fail();
		}
		if (async_sleep(pick(8)))
			return -EINTR;
	}
	for (unsigned i = 0; i < program.count; i++) {
		if (program.actors[i].task)
			check_end(&program.actors[i]);
		async_release(program.actors[i].task);
	}
	return (intptr_t)arg;
}

static int ignore_report(const struct async_error_context *context, void *arg)
{
	(void)context;
	(void)arg;
	return 0;
}

static void run_program(unsigned seed)
{
	struct async_options options = test_options();

	memset(&program, 0, sizeof(program));
	program.seed = seed;
	program.state = seed * 0x9e3779b97f4a7c15u + 1;
	options.shuffle_seed = pick(4) ? seed + 1 : 0;
	assert_int_equal(async_queue_new(NULL, &program.queue), 0);
	assert_int_equal(pipe2(program.pipe, O_CLOEXEC), 0);
	assert_int_equal(fcntl(program.pipe[1], F_SETFL, O_NONBLOCK), 0);
	async_loop *loop = loop_with(&options);
	/* Failures that nobody looks at are part of the programs. */
	async_loop_set_error_handler(loop, ignore_report, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, async_loop_create_task(loop, direct, NULL, NULL)), 0);
	loop_end(loop);
	async_queue_free(program.queue);
	close(program.pipe[0]);
	close(program.pipe[1]);
}

static unsigned first = 1, programs;

static void test_programs(void **state)
{
	(void)state;
	for (unsigned i = 0; i < programs; i++)
		run_program(first + i);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_programs),
	};

	programs = (unsigned)test_many(300);
	if (argc == 3) {
		first = (unsigned)strtoul(argv[1], NULL, 10);
		programs = (unsigned)strtoul(argv[2], NULL, 10);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
