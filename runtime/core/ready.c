/* SPDX-License-Identifier: MIT */
#include "core/ready.h"

/* xorshift64*: any state but 0 will do. */
static uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1du;
}

/* Splits by coin tosses and joins the halves: shuffling a list without an array, so it cannot fail. Every order can
 * come out, though not all are equally likely. */
struct entry *ready_shuffle(struct entry *head, uint64_t *state)
{
	struct ready_queue queues[2];

	/* One alone, which may not have come this way at all: see schedule_alone. */
	if (!head || !head->next)
		return head;
	for (int round = 0; round < 4; round++) {
		uint64_t coins = 0;
		int left = 0;

		ready_init(&queues[0]);
		ready_init(&queues[1]);
		while (head) {
			struct entry *next = head->next;

			if (left == 0) {
				coins = random_next(state);
				left = 32;
			}
			ready_append(&queues[coins >> 63], head);
			coins <<= 1;
			left--;
			head = next;
		}
		*queues[0].tail = queues[1].head;
		head = queues[0].head ? queues[0].head : queues[1].head;
	}
	return head;
}
