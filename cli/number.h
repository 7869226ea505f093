/* SPDX-License-Identifier: MIT */
/*
 * Reading numbers that a person typed. Each function returns NULL with the value stored, or says what is wrong
 * with the text in words that follow it: "'1e6' is not a whole number".
 */
#ifndef CLI_NUMBER_H
#define CLI_NUMBER_H

#include <stdint.h>

#include <async.h>

enum number_suffix {
	NUMBER_PLAIN = 0,    /* no suffix */
	NUMBER_COUNT = 1000, /* k, M, G, in capitals or not, are powers of 1000 */
	NUMBER_BYTES = 1024, /* they are powers of 1024 */
};

/* Digits, with `_` between digits, from 0 to 2^64-1. */
const char *number_parse(const char *text, enum number_suffix suffix, uint64_t *ret_value);

/* A span of time: a decimal number with us, ms, s, m or h behind it; seconds if there is no unit. */
const char *number_parse_time(const char *text, async_time *ret_value);

#endif
