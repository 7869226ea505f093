/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "bench.h"

#define SWITCHES_ASM 4000000
#define SWITCHES_UCONTEXT 200000
#define YIELDS 2000000
#define TASKS_MAX 1000
#define WARM_UP_ROUNDS 20

struct yielding {
	uint64_t tasks;
	uint64_t rounds;
	double times[2]; /* when the first task began and ended the rounds that count */
};

struct yielder {
	struct yielding *yielding;
	bool first;
};

/*
 * The ready queue is FIFO, so all tasks go through the rounds side by side. They do so from one call site: the
 * processor predicts where a call returns to by the last call, which here is another task's.
 */
static intptr_t yield_in_rounds(void *arg)
{
	const struct yielder *yielder = arg;
	struct yielding *yielding = yielder->yielding;
	const uint64_t rounds[2] = {WARM_UP_ROUNDS, yielding->rounds};

	for (int phase = 0; phase < 2; phase++) {
		for (uint64_t i = 0; i < rounds[phase]; i++)
			if (async_sleep(0) < 0)
				return -ECANCELED;
		if (yielder->first)
			yielding->times[phase] = bench_now();
	}
	return 0;
}

static intptr_t yield_and_join(void *arg)
{
	struct yielding *yielding = arg;
	struct yielder yielders[TASKS_MAX];
	async_task *tasks[TASKS_MAX];
	intptr_t result;

	for (uint64_t i = 0; i < yielding->tasks; i++) {
		yielders[i] = (struct yielder){.yielding = yielding, .first = i == 0};
		tasks[i] = async_create_task(yield_in_rounds, &yielders[i]);
	}
	result = async_await(async_gather(tasks, yielding->tasks, 0, NULL));
	return result < 0 ? result : 0;
}

static int measure_switch(const struct benchmark *benchmark, struct bench_result *result)
{
	enum async_switch kind = (enum async_switch)benchmark->parameter;
	size_t round_trips = kind == ASYNC_SWITCH_ASM ? SWITCHES_ASM / 2 : SWITCHES_UCONTEXT / 2;
	intptr_t elapsed = async_measure_switch(kind, round_trips);

	result->value = (double)elapsed / (double)(2 * round_trips);
	return elapsed < 0 ? (int)elapsed : 0;
}

static int measure_yield(const struct benchmark *benchmark, struct bench_result *result)
{
	uint64_t tasks = benchmark->parameter;
	struct yielding yielding = {.tasks = tasks, .rounds = YIELDS / tasks};
	intptr_t error = async_run(yield_and_join, &yielding);

	result->value = (yielding.times[1] - yielding.times[0]) / (double)(yielding.rounds * tasks);
	return (int)error;
}

const struct benchmark bench_switch[] = {
	{"switch.asm", "ns", 11, "one switch between two stacks, assembly", measure_switch, ASYNC_SWITCH_ASM},
	{"switch.ucontext", "ns", 5, "the same, swapcontext", measure_switch, ASYNC_SWITCH_UCONTEXT},
	{"yield.2", "ns", 11, "one yield through the scheduler, 2 tasks", measure_yield, 2},
	{"yield.10", "ns", 11, "10 tasks", measure_yield, 10},
	{"yield.1000", "ns", 11, "1,000 tasks", measure_yield, TASKS_MAX},
	{.name = NULL},
};
