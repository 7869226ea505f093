/* SPDX-License-Identifier: MIT */
/*
 * DESIGN: on a pool of threads a number has as many jobs as there are workers for it. They claim pieces of its
 * candidates in ascending order from a common counter, so the work is balanced however fast each of them runs, and the
 * number is decided as long as one of them got a thread. A job stops at a piece that lies above a divisor already
 * found; every piece below it was claimed earlier and is tried to its end, so the least divisor found is the
 * smallest there is.
 *
 * On a pool of processes the same is done from this side: a number has as many tasks, each of which claims a piece,
 * sends it to a worker, and claims the next when the answer has come.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "number.h"
#include "prime.h"
#include "progress.h"
#include "scenario.h"
#include "stop.h"

/* Candidates between two looks at the stop flag: about 4 ms. */
#define PIECE 1000000u
/* Pieces that a worker process gets at once: a message costs some 100 µs. */
#define PIECES_SENT 4u

struct number {
	struct run *run;
	size_t index;
	struct prime_check check;
	size_t jobs;
	atomic_bool begun;
	_Atomic uint64_t pieces;  /* claimed */
	_Atomic uint64_t divisor; /* the least that a job found; UINT64_MAX: none */
};

struct primes {
	struct number *numbers;
	size_t *order; /* of becoming known */
	size_t known;
	async_executor *processes; /* NULL: another mode */
};

static struct number *number_of(const struct item *item)
{
	return &((struct primes *)item->run->state)->numbers[item->index];
}

static void begin(struct number *number)
{
	if (!atomic_exchange(&number->begun, true))
		run_line(number->run, "Processing %" PRIu64 "...", number->check.number);
}

static void announce(struct number *number)
{
	struct primes *primes = number->run->state;
	const struct prime_check *check = &number->check;

	primes->order[primes->known++] = number->index;
	run_answered(number->run);
	progress_update(number->index, 1, 1);
	if (prime_check_is_prime(check))
		run_line(number->run, "%" PRIu64 " is a prime number.", check->number);
	else if (check->divisor)
		run_line(number->run, "%" PRIu64 " is not a prime number (divisible by %" PRIu64 ").", check->number,
			 check->divisor);
	else
		run_line(number->run, "%" PRIu64 " is not a prime number.", check->number);
}

static void report(const struct number *number, const struct prime_check *check)
{
	progress_update(number->index, (check->next - 3) / 2, prime_check_candidates(check) + 1);
}

/* Never gives way. */
static intptr_t check_plain(void *arg)
{
	struct number *number = number_of(arg);
	struct prime_check check = number->check;

	begin(number);
	do {
		if (stop_requested())
			return -ECANCELED;
		report(number, &check);
	} while (!prime_check_run(&check, PIECE));
	number->check = check;
	announce(number);
	return 0;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Gives way after every `yield` candidates. */
static intptr_t check_giving_way(void *arg)
{
	struct number *number = number_of(arg);
	struct prime_check check = number->check;
	uint64_t yield = number->run->settings->yield, to_yield = yield, to_report = PIECE;

	begin(number);
	for (;;) {
		uint64_t step = min(to_yield, to_report);

		if (prime_check_run(&check, step))
			break;
		to_yield -= step;
		to_report -= step;
		if (!to_yield) {
			if (async_sleep(0) < 0)
				return -ECANCELED;
			to_yield = yield;
		}
		if (!to_report) {
			struct prime_check seen = check; /* whose address may be known: `check` stays in registers */

			if (stop_requested())
				return -ECANCELED;
			report(number, &seen);
			to_report = PIECE;
		}
	}
	number->check = check;
	announce(number);
	return 0;
}

static void found(struct number *number, uint64_t divisor)
{
	uint64_t least = atomic_load(&number->divisor);

	while (divisor < least && !atomic_compare_exchange_weak(&number->divisor, &least, divisor))
		;
}

/* Runs on a worker, beside others for the same number. */
static intptr_t check_pieces(void *arg)
{
	struct number *number = arg;
	struct prime_check check = number->check;

	begin(number);
	for (;;) {
		check.next = 3 + 2 * PIECE * atomic_fetch_add(&number->pieces, 1);
		if (check.next > check.limit || check.next > atomic_load(&number->divisor))
			return 0;
		/* The piece is claimed, so nobody else will do it. */
		if (stop_requested())
			return -ECANCELED;
		report(number, &check);
		if (prime_check_run(&check, PIECE) && check.divisor) {
			found(number, check.divisor);
			return 0;
		}
	}
}

static async_future *start_in_thread(struct number *number)
{
	return async_run_in_executor(NULL, check_pieces, number);
}

/* Runs in a worker process: a struct prime_check comes, and goes back as far as it got. */
static intptr_t check_sent(const void *arg, size_t size, async_reply *reply)
{
	struct prime_check check;

	memcpy(&check, arg, size);
	for (unsigned piece = 0; piece < PIECES_SENT; piece++) {
		if (async_job_cancelled())
			return -ECANCELED;
		if (prime_check_run(&check, PIECE))
			break;
	}
	return async_reply_write(reply, &check, sizeof(check));
}

/* Has one worker process at a time try pieces. */
static intptr_t send_pieces(void *arg)
{
	struct number *number = arg;
	struct primes *primes = number->run->state;
	struct prime_check check = number->check;

	for (;;) {
		check.next = 3 + 2 * PIECE * PIECES_SENT * atomic_fetch_add(&number->pieces, 1);
		if (check.next > check.limit || check.next > number->divisor)
			return 0;
		async_future *job = async_run_in_process(primes->processes, check_sent, &check, sizeof(check));
		intptr_t result = async_await(job);
		if (result < 0)
			return result;
		struct async_process_result *answer = (struct async_process_result *)result;
		memcpy(&check, async_process_result_data(answer), sizeof(check));
		async_process_result_free(answer);
		if (check.divisor) {
			found(number, check.divisor);
			return 0;
		}
		report(number, &check);
	}
}

static async_future *start_in_process(struct number *number)
{
	return async_create_task(send_pieces, number);
}

/* Waits for the jobs of a number, and says what became of it: with threads, every candidate was tried if one job
 * came to the end of the pieces; a process may have taken some with it. */
static intptr_t join_jobs(struct number *number, async_future *(*start)(struct number *number), bool all)
{
	async_future **jobs = calloc(number->jobs, sizeof(async_future *));
	intptr_t *results = calloc(number->jobs, sizeof(intptr_t)), result = -ENOMEM;

	for (size_t i = 0; jobs && results && i < number->jobs; i++)
		jobs[i] = start(number);
	if (jobs && results)
		result = async_await(async_gather(jobs, number->jobs, ASYNC_GATHER_COLLECT, results));
	/* More jobs than workers to be had is no failure while any job worked to the end. */
	for (size_t i = 0; i < number->jobs && result >= 0 && (all || result == 0); i++)
		if (results[i] < 0)
			result = results[i];
	free(jobs);
	free(results);
	return result;
}

static intptr_t conclude(struct number *number, intptr_t result)
{
	if (result < 0 || stop_requested())
		return result < 0 ? result : -ECANCELED;
	if (number->divisor != UINT64_MAX)
		number->check.divisor = number->divisor;
	announce(number);
	return 0;
}

static intptr_t check_in_threads(void *arg)
{
	struct number *number = number_of(arg);

	return conclude(number, join_jobs(number, start_in_thread, false));
}

static intptr_t check_in_processes(void *arg)
{
	struct number *number = number_of(arg);

	begin(number);
	return conclude(number, join_jobs(number, start_in_process, true));
}

/* A worker for each number, and those left over where most candidates are, unless there are too few for them. */
static void plan_jobs(struct primes *primes, size_t count, size_t workers)
{
	for (size_t i = 0; i < count; i++)
		primes->numbers[i].jobs = 1;
	for (size_t left = workers > count ? workers - count : 0; left; left--) {
		struct number *longest = NULL;
		uint64_t most = PIECE;

		for (size_t i = 0; i < count; i++) {
			struct number *number = &primes->numbers[i];
			uint64_t each = prime_check_candidates(&number->check) / number->jobs;

			if (each > most) {
				most = each;
				longest = number;
			}
		}
		if (!longest)
			break;
		longest->jobs++;
	}
}

static int parse_numbers(struct primes *primes, int argc, const char *const *argv)
{
	for (int i = 0; i < argc; i++) {
		uint64_t value;
		const char *wrong = number_parse(argv[i], NUMBER_COUNT, &value);

		if (wrong) {
			complain_line("argument %d: '%s' %s; expected a whole number from 0 to 18446744073709551615",
				      i + 1, argv[i], wrong);
			return STATUS_USAGE;
		}
		prime_check_init(&primes->numbers[i].check, value);
	}
	return STATUS_DONE;
}

/* Before there is any thread. */
static int make_processes(struct run *run, struct primes *primes)
{
	struct async_process_pool_options options = ASYNC_PROCESS_POOL_OPTIONS_INIT;
	int error;

	options.max_workers = run->workers;
	options.name = "primes";
	error = async_process_pool_new(&options, &primes->processes);
	if (error == 0)
		return STATUS_DONE;
	complain_line("cannot make the pool of processes: %s", strerror(-error));
	return STATUS_FAILED;
}

static void end_processes(struct run *run)
{
	struct primes *primes = run->state;

	async_executor_free(primes->processes);
	primes->processes = NULL;
}

static int prepare(struct run *run, int argc, const char *const *argv)
{
	bool processes = run->settings->mode == MODE_PROCS;
	static const char *const defaults[] = {"9637529763296797", "427920331", "157"};
	struct primes *primes = run->state = calloc(1, sizeof(*primes));
	struct async_system_info info = {.size = sizeof(info)};
	int status;

	if (!argc) {
		argc = sizeof(defaults) / sizeof(defaults[0]);
		argv = defaults;
	}
	run->count = (size_t)argc;
	if (primes) {
		primes->numbers = calloc(run->count, sizeof(primes->numbers[0]));
		primes->order = calloc(run->count, sizeof(primes->order[0]));
	}
	if (!primes || !primes->numbers || !primes->order) {
		complain_line("out of memory for %zu numbers", run->count);
		return STATUS_FAILED;
	}
	status = parse_numbers(primes, argc, argv);
	for (size_t i = 0; i < run->count; i++) {
		primes->numbers[i].run = run;
		primes->numbers[i].index = i;
		primes->numbers[i].divisor = UINT64_MAX;
	}
	if (!run->workers && async_get_system_info(&info) == 0)
		run->workers = processes ? info.processors : info.default_workers;
	plan_jobs(primes, run->count, run->workers);
	return status == STATUS_DONE && processes ? make_processes(run, primes) : status;
}

static void dispose(struct run *run)
{
	struct primes *primes = run->state;

	if (primes) {
		end_processes(run);
		free(primes->numbers);
		free(primes->order);
	}
	free(primes);
}

static const char *name_item(void *arg, size_t index, char *buffer, size_t size)
{
	const struct run *run = arg;

	snprintf(buffer, size, "%" PRIu64, ((struct primes *)run->state)->numbers[index].check.number);
	return buffer;
}

static void write_results(struct run *run, struct json *json)
{
	struct primes *primes = run->state;
	char text[24];

	for (size_t i = 0; i < primes->known; i++) {
		const struct prime_check *check = &primes->numbers[primes->order[i]].check;

		json_open(json, '{');
		json_name(json, "number");
		snprintf(text, sizeof(text), "%" PRIu64, check->number);
		json_string(json, text);
		json_name(json, "prime");
		json_bool(json, prime_check_is_prime(check));
		json_name(json, "divisor");
		snprintf(text, sizeof(text), "%" PRIu64, check->divisor);
		if (check->divisor)
			json_string(json, text);
		else
			json_null(json);
		json_close(json, '}');
	}
}

const struct scenario primes_scenario = {
	.name = "primes",
	.arguments = "[NUMBER...]",
	.summary = "are these numbers prime? trial division, which keeps a processor busy",
	.details = "      Default: 9637529763296797 427920331 157; from 0 to 18446744073709551615.\n",
	.items = "numbers",
	.body = {check_plain, check_plain, check_giving_way, check_in_threads, check_in_processes},
	.prepare = prepare,
	.finish = end_processes,
	.dispose = dispose,
	.name_item = name_item,
	.write_results = write_results,
};
