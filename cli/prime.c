/* SPDX-License-Identifier: MIT */
#include "prime.h"

#include <math.h>

#define ROOT_MAX UINT64_C(0xffffffff)

uint64_t prime_isqrt(uint64_t number)
{
	/* Rounding takes a double to either side of the root, and beyond 2^32 - 1, whose successor's square
	 * does not fit. */
	uint64_t root = (uint64_t)sqrt((double)number);

	if (root > ROOT_MAX)
		root = ROOT_MAX;
	while (root * root > number)
		root--;
	while (root < ROOT_MAX && (root + 1) * (root + 1) <= number)
		root++;
	return root;
}

void prime_check_init(struct prime_check *check, uint64_t number)
{
	*check = (struct prime_check){.number = number, .limit = prime_isqrt(number), .next = 3};
	if (number >= 2 && number % 2 == 0) {
		check->limit = 0;
		check->divisor = number == 2 ? 0 : 2;
	}
}
