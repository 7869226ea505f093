/* SPDX-License-Identifier: MIT */
/*
 * A run of a scenario, as its bodies see it.
 */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <async.h>

enum mode { MODE_SYNC, MODE_BLOCKING, MODE_COOP, MODE_THREADS, MODE_PROCS, MODE_COUNT };

/* The names, NULL at the end. */
extern const char *const mode_names[];

struct run_settings {
	int mode;
	int backend;
	int switch_kind;
	int clock;
	uint64_t yield;
	uint64_t workers; /* 0: the library's default */
	uint64_t stack_size;
	async_time interval;
	bool json;
	bool debug;
	bool no_progress;
	const char *trace;    /* the file; NULL: none */
	const char *timeline; /* the file, "": in the terminal; NULL: none */
};

struct scenario;
struct item;

struct run {
	const struct scenario *scenario;
	const struct run_settings *settings;
	size_t count;   /* of items */
	void *state;    /* the scenario's */
	size_t workers; /* of the pool */
	struct item *items;
	struct async_loop_stats stats;
	async_time started;               /* on the real clock */
	async_time loop_started;          /* on the loop's clock */
	async_time virtual_time;          /* how long it took on the loop's clock */
	_Atomic(async_time) first_answer; /* since `started`; -1 until there is one */
	_Atomic(async_time) last_answer;  /* the same; 0 */
	_Atomic(async_time) longest_gap;  /* without an answer, from the beginning to the end */
	size_t failures;
};

/* Since the beginning, on the clock of the run. */
async_time run_elapsed(const struct run *run);

/* A line for a person: on stdout at once, unless the output is JSON. */
__attribute__((format(printf, 2, 3))) void run_line(struct run *run, const char *format, ...);

/* The run has an answer; the time of the first one is kept. */
void run_answered(struct run *run);

/* True for an item whose body ended well. */
bool run_item_done(const struct run *run, size_t index);

#endif
