/* SPDX-License-Identifier: MIT */
/*
 * Trial division that can be interrupted: every mode does the same work, in pieces of its own size.
 *
 *     struct prime_check check;
 *     prime_check_init(&check, number);
 *     while (!prime_check_run(&check, 1000))
 *             ...
 *     bool prime = prime_check_is_prime(&check);
 */
#ifndef CLI_PRIME_H
#define CLI_PRIME_H

#include <stdbool.h>
#include <stdint.h>

struct prime_check {
	uint64_t number;
	uint64_t limit;   /* the integer square root, so below 2^32; no candidate is larger */
	uint64_t next;    /* the next candidate; odd */
	uint64_t divisor; /* the smallest one; 0: none found */
};

/* The largest r with r * r <= number. */
uint64_t prime_isqrt(uint64_t number);

/* Deals with 0, 1 and the even numbers; candidates begin at 3. */
void prime_check_init(struct prime_check *check, uint64_t number);

/*
 * Tries up to `candidates` odd divisors. Returns: true once the number is decided.
 * Inline, and called on a local structure, so that the four words stay in registers between two pieces: with a
 * piece of one candidate, storing and loading them would cost as much as the division.
 */
static inline __attribute__((always_inline)) bool prime_check_run(struct prime_check *check, uint64_t candidates)
{
	uint64_t number = check->number, limit = check->limit, next = check->next;

	for (; candidates && next <= limit; candidates--, next += 2) {
		if (number % next == 0) {
			check->divisor = next;
			check->next = limit + 1;
			return true;
		}
	}
	check->next = next;
	return next > limit;
}

/* Of a number that is decided. */
static inline bool prime_check_is_prime(const struct prime_check *check)
{
	return check->number >= 2 && check->divisor == 0;
}

/* How many candidates there are in all. */
static inline uint64_t prime_check_candidates(const struct prime_check *check)
{
	return check->limit < 3 ? 0 : (check->limit - 1) / 2;
}

#endif
