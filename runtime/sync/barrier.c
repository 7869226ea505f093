/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. One condition tells of every change of state, as in asyncio. What differs is the index: asyncio gives the
 * number of tasks that were inside at arrival, which two tasks can have after a third was cancelled. Here it is given
 * on leaving, when each task of the cycle passes once; without cancellations the two are the same.
 */
#include <async/barrier.h>

#include <errno.h>

enum barrier_state {
	BARRIER_FILLING, /* what ASYNC_BARRIER_INIT says */
	BARRIER_DRAINING,
	BARRIER_RESETTING,
	BARRIER_BROKEN,
};

static intptr_t can_enter(void *arg)
{
	struct async_barrier *barrier = arg;

	return barrier->state != BARRIER_DRAINING && barrier->state != BARRIER_RESETTING;
}

static intptr_t is_filled(void *arg)
{
	struct async_barrier *barrier = arg;

	return barrier->state != BARRIER_FILLING;
}

/* In the barrier, with the lock. Returns the index, or an error. */
static intptr_t wait_inside(struct async_barrier *barrier)
{
	if (barrier->count == barrier->parties) {
		barrier->state = BARRIER_DRAINING;
		async_condition_notify_all(&barrier->condition);
		return (intptr_t)barrier->parties - 1;
	}
	intptr_t error = async_condition_wait_for(&barrier->condition, is_filled, barrier);
	if (error < 0)
		return error;
	if (barrier->state != BARRIER_DRAINING)
		return -EPIPE;
	return (intptr_t)(barrier->parties - 1 - barrier->count);
}

static void leave(struct async_barrier *barrier)
{
	if (--barrier->count > 0)
		return;
	if (barrier->state == BARRIER_RESETTING || barrier->state == BARRIER_DRAINING)
		barrier->state = BARRIER_FILLING;
	async_condition_notify_all(&barrier->condition);
}

intptr_t async_barrier_wait(struct async_barrier *barrier)
{
	intptr_t result;

	if (!barrier || barrier->parties == 0 || barrier->parties > INTPTR_MAX)
		return -EINVAL;
	result = async_condition_acquire(&barrier->condition);
	if (result < 0)
		return result;
	result = async_condition_wait_for(&barrier->condition, can_enter, barrier);
	if (result >= 0 && barrier->state == BARRIER_BROKEN)
		result = -EPIPE;
	if (result >= 0) {
		barrier->count++;
		result = wait_inside(barrier);
		leave(barrier);
	}
	async_condition_release(&barrier->condition);
	return result;
}

static int change(struct async_barrier *barrier, enum barrier_state state)
{
	if (!barrier)
		return -EINVAL;
	int error = async_condition_acquire(&barrier->condition);
	if (error)
		return error;
	barrier->state = state == BARRIER_RESETTING && barrier->count == 0 ? BARRIER_FILLING : state;
	async_condition_notify_all(&barrier->condition);
	return async_condition_release(&barrier->condition);
}

int async_barrier_reset(struct async_barrier *barrier)
{
	return change(barrier, BARRIER_RESETTING);
}

int async_barrier_abort(struct async_barrier *barrier)
{
	return change(barrier, BARRIER_BROKEN);
}

size_t async_barrier_parties(const struct async_barrier *barrier)
{
	return barrier ? barrier->parties : 0;
}

size_t async_barrier_waiting(const struct async_barrier *barrier)
{
	return barrier && barrier->state == BARRIER_FILLING ? barrier->count : 0;
}

bool async_barrier_broken(const struct async_barrier *barrier)
{
	return barrier && barrier->state == BARRIER_BROKEN;
}
