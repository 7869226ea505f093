/* SPDX-License-Identifier: MIT */
/* Three checks, one after the other: the first answer that is quick to find comes last. */
#include <inttypes.h>
#include <stdio.h>

static int is_prime(uint64_t n)
{
	if (n < 4)
		return n > 1;
	if (n % 2 == 0)
		return 0;
	for (uint64_t d = 3; d <= n / d; d += 2)
		if (n % d == 0)
			return 0;
	return 1;
}

static void check(uint64_t n)
{
	printf("Processing %" PRIu64 "...\n", n);
	printf("%" PRIu64 " is %s prime number.\n", n, is_prime(n) ? "a" : "not a");
}

int main(void)
{
	check(9637529763296797);
	check(427920331);
	check(157);
	return 0;
}
