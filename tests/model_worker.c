/* SPDX-License-Identifier: MIT */
/*
 * Walks through every interleaving of the sleep and wake protocol of runtime/worker/worker.c: three workers, two
 * submitters that bring two jobs each, batches of one or two, and any job may turn out endless. In no state in
 * which nothing can happen any more may a job be left that a sleeping worker could have begun. One step here is
 * what is atomic there: a section under the pool's lock, one access to a futex word, one system call.
 *
 * Built with -DBROKEN a worker falls asleep after its last look instead of together with it, and with
 * -DBROKEN_BATCH nobody steals: both must be found.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 3, SUBMITTERS = 2, JOBS = 2, NOBODY = 9, TABLE = 1 << 22 };

enum pc { LOOK, FALL_ASLEEP, CHECK, WAIT, BLOCKED, WAKE, RUN, NEXT, RELEASE, SUBMIT, END };

/* Bytes only, so that equal states compare equal. */
struct state {
	uint8_t pc[WORKERS + SUBMITTERS];
	uint8_t target[WORKERS + SUBMITTERS]; /* whom to wake */
	uint8_t flag[WORKERS];                /* the futex word `asleep` */
	uint8_t slot[WORKERS];                /* jobs of the batch that are not begun */
	uint8_t stack[WORKERS];               /* the sleepers, latest last */
	uint8_t asleep, busy, queue, used;
};

static struct state table[TABLE];
static unsigned long states, ends;

/* True if the state is new. */
static bool remember(const struct state *state)
{
	const uint8_t *bytes = (const uint8_t *)state;
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < sizeof(*state); i++)
		hash = (hash ^ bytes[i]) * 1099511628211u;
	for (size_t i = hash % TABLE;; i = (i + 1) % TABLE) {
		if (!table[i].used) {
			table[i] = *state;
			if (++states > TABLE / 2)
				abort();
			return true;
		}
		if (memcmp(&table[i], state, sizeof(*state)) == 0)
			return false;
	}
}

static int loot(const struct state *s)
{
#ifdef BROKEN_BATCH
	return s->slot[0] * 0;
#else
	return s->slot[0] + s->slot[1] + s->slot[2];
#endif
}

/* pool_spread */
static uint8_t spread(struct state *s)
{
	int searching = WORKERS - s->asleep - s->busy;

	if (s->asleep == 0 || (s->queue <= searching && (searching > 0 || loot(s) == 0)))
		return NOBODY;
	uint8_t worker = s->stack[--s->asleep];
	s->stack[s->asleep] = 0;
	s->flag[worker] = 0;
	return worker;
}

static void fall_asleep(struct state *s, int i)
{
	s->stack[s->asleep++] = (uint8_t)i;
	s->flag[i] = 1;
	s->pc[i] = CHECK;
}

static void explore(const struct state *s);

static void begin(struct state s, int i)
{
	s.busy++;
	s.target[i] = spread(&s);
	s.pc[i] = WAKE;
	explore(&s);
}

/* worker_fetch and worker_search, from lock to unlock */
static void look(struct state s, int i)
{
	struct state t = s;

	if (s.queue > 0) {
		t.queue--;
		begin(t, i);
		if (t.queue > 0) {
			t.queue--;
			t.slot[i] = 1;
			begin(t, i);
		}
		return;
	}
	for (int k = 0; k < WORKERS && loot(&s) > 0; k++) {
		if (s.slot[k]) {
			s.slot[k]--;
			begin(s, i);
			return;
		}
	}
#ifdef BROKEN
	s.pc[i] = FALL_ASLEEP;
#else
	fall_asleep(&s, i);
#endif
	explore(&s);
}

/* False if this thread cannot go on. */
static bool step(struct state s, int i)
{
	switch ((enum pc)s.pc[i]) {
	case LOOK:
		look(s, i);
		return true;
	case FALL_ASLEEP:
		fall_asleep(&s, i);
		break;
	case CHECK:
		s.pc[i] = s.flag[i] ? WAIT : LOOK;
		break;
	case WAIT: /* the kernel compares and sleeps in one step */
		s.pc[i] = s.flag[i] ? BLOCKED : CHECK;
		break;
	case WAKE:
		if (s.target[i] != NOBODY && s.pc[s.target[i]] == BLOCKED)
			s.pc[s.target[i]] = CHECK;
		s.target[i] = 0;
		s.pc[i] = i < WORKERS ? RUN : END;
		break;
	case RUN: { /* the job ends, or never does */
		struct state endless = s;

		endless.pc[i] = END;
		explore(&endless);
		s.pc[i] = NEXT;
		break;
	}
	case NEXT:
		s.pc[i] = s.slot[i] ? RUN : RELEASE;
		s.slot[i] = 0;
		break;
	case RELEASE: /* not under the lock */
		s.busy--;
		s.pc[i] = LOOK;
		break;
	case SUBMIT:
		s.queue += JOBS;
		s.target[i] = spread(&s);
		s.pc[i] = WAKE;
		break;
	default:
		return false;
	}
	explore(&s);
	return true;
}

static void explore(const struct state *s)
{
	bool moved = false;

	if (!remember(s))
		return;
	for (int i = 0; i < WORKERS + SUBMITTERS; i++)
		moved |= step(*s, i);
	if (moved)
		return;
	ends++;
	if (s->asleep > 0 && s->queue + s->slot[0] + s->slot[1] + s->slot[2] > 0) {
		printf("a job is left while a worker sleeps: %d queued, after %lu states\n", s->queue, states);
		exit(1);
	}
}

int main(void)
{
	struct state start = {.pc = {LOOK, LOOK, LOOK, SUBMIT, SUBMIT}, .used = 1};

	explore(&start);
	printf("%lu states, %lu of them final, no job left behind\n", states, ends);
	return 0;
}
