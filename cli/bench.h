/* SPDX-License-Identifier: MIT */
/*
 * A benchmark measures one figure once; bench.c repeats it and takes the median.
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include <async.h>

struct bench_result {
	double value;
	double ratio; /* to a baseline of the same run; 0: there is none */
};

struct benchmark {
	const char *name;
	const char *unit;
	unsigned repetitions;
	const char *note; /* what the figure is, or what the ratio is to */
	/* Returns: 0 or -errno. */
	int (*measure)(const struct benchmark *benchmark, struct bench_result *result);
	uint64_t parameter; /* for functions that measure several */
};

/* A group of them per file; a benchmark without a name ends it. */
extern const struct benchmark bench_switch[];
extern const struct benchmark bench_tasks[];
extern const struct benchmark bench_sleep[];
extern const struct benchmark bench_handover[];
extern const struct benchmark bench_sync[];
extern const struct benchmark bench_executor[];
extern const struct benchmark bench_echo[];
extern const struct benchmark bench_file[];
extern const struct benchmark bench_start[];
extern const struct benchmark bench_trace[];

double bench_now(void);      /* ns, monotonic */
double bench_cpu_time(void); /* ns, of the process */

/* Sorts the values. Returns: the one in the middle. */
double bench_median(double *values, size_t count);

/* Calls `measure` in a child process, so that no memory of earlier benchmarks counts. Returns: 0 or -errno. */
int bench_in_child(int (*measure)(struct bench_result *result), struct bench_result *result);

#endif
