/* SPDX-License-Identifier: MIT */
/*
 * Programs of random tasks, and the history that one leaves: who did what, with which result, in which iteration and
 * at what time of the loop's clock. All tasks draw what they do from one generator, so that whatever comes in another
 * order once makes everything after it another.
 */
#ifndef TESTS_RANDOM_PROGRAM_H
#define TESTS_RANDOM_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#include <async.h>

struct random_event {
	uint32_t who;       /* tasks and callbacks are numbered as they are made; 0: the main task */
	uint32_t iteration;
	const char *what;
	int64_t value;
	async_time time;
};

struct random_history {
	size_t count; /* all that happened; the first RANDOM_EVENTS_MAX are kept */
#define RANDOM_EVENTS_MAX 2000
	struct random_event events[RANDOM_EVENTS_MAX];
};

/* What a program has besides tasks, futures, timers and callbacks. */
enum random_features {
	RANDOM_IDLE_READ = 1, /* a read that never ends, so that there is a reactor to ask */
	RANDOM_PIPES = 2,     /* pipes and socket pairs that its tasks write to and read from */
};

/* Runs the program that `seed` stands for. */
void random_program_run(uint64_t seed, unsigned features, const struct async_options *options,
			struct random_history *history);

/* Makes the loop of the program that runs look around, if there is one. Any thread. */
void random_program_wake(void);

#endif
