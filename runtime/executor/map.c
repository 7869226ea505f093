/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. A map has as many places as jobs may be in flight; a place whose job is over takes the next argument. The
 * future is done when all places are empty: no job then uses what the caller gave, cancelled or not.
 */
#include <errno.h>

#include "base/memory.h"
#include "core/schedule.h"
#include "executor/executor.h"

struct map;

struct map_place {
	struct executor_job job;
	struct map *map;
	size_t index; /* of its argument */
	bool busy;
};

struct map {
	async_future future;
	async_executor *executor;
	async_fn *fn;
	void *const *args;
	intptr_t *results;
	size_t count, next; /* arguments, and how many of them were submitted */
	size_t places, busy;
	intptr_t error; /* 0: go on */
	struct map_place place[];
};

static void stop(struct map *map, intptr_t error)
{
	if (map->error == 0)
		map->error = error;
}

/* Its job is over. */
static void vacate(struct map_place *place, intptr_t result)
{
	struct map *map = place->map;

	place->busy = false;
	map->busy--;
	if (map->results)
		map->results[place->index] = result;
	if (result < 0)
		stop(map, result);
}

/* Takes back what is queued. From the end, so that a worker whose job heeds its cancellation finds no other. */
static void withdraw_all(struct map *map)
{
	for (size_t i = map->places; i-- > 0;) {
		struct map_place *place = &map->place[i];

		if (place->busy && executor_withdraw(map->future.loop, &place->job))
			vacate(place, -ECANCELED);
	}
}

static void end_if_empty(struct map *map)
{
	if (map->busy > 0)
		return;
	for (; map->next < map->count; map->next++)
		if (map->results)
			map->results[map->next] = -ECANCELED;
	future_complete(&map->future, map->error ? map->error : (intptr_t)map->count);
	future_release(&map->future);
}

static void fill(struct map_place *place);

static void on_over(struct executor_job *job)
{
	struct map_place *place = container_of(job, struct map_place, job);
	struct map *map = place->map;
	bool failed_before = map->error != 0;

	vacate(place, job->result);
	if (map->error == 0 && map->next < map->count)
		fill(place);
	if (map->error != 0 && !failed_before)
		withdraw_all(map);
	end_if_empty(map);
}

static void fill(struct map_place *place)
{
	struct map *map = place->map;

	place->index = map->next++;
	place->job.fn = map->fn;
	place->job.arg = map->args[place->index];
	place->job.over = on_over;
	place->job.future = &map->future;
	place->busy = true;
	map->busy++;
	int error = executor_queue(map->future.loop, map->executor, &place->job);
	if (error)
		vacate(place, error);
}

static bool cancel_map(async_future *future)
{
	struct map *map = (struct map *)future;

	stop(map, -ECANCELED);
	withdraw_all(map);
	end_if_empty(map);
	return true;
}

static const struct future_class future_map = {.name = "map", .cancel = cancel_map, .size = sizeof(struct map)};

async_future *async_executor_map(async_executor *executor, async_fn *fn, void *const *args, size_t count,
				 size_t in_flight, intptr_t *results)
{
	size_t places = in_flight && in_flight < count ? in_flight : count, size;
	struct async_loop *loop = loop_running;

	if (!fn || (!args && count > 0))
		return async_future_failed(-EINVAL);
	if (!loop)
		return async_future_failed(-EPERM);
	if (__builtin_mul_overflow(places, sizeof(struct map_place), &size) ||
	    __builtin_add_overflow(size, sizeof(struct map), &size) || count > INTPTR_MAX)
		return async_future_failed(-ENOMEM);
	struct map *map = mem_zalloc(size);
	if (!map)
		return async_future_failed(-ENOMEM);
	future_init(&map->future, loop, &future_map, NULL);
	map->executor = executor;
	map->fn = fn;
	map->args = args;
	map->results = results;
	map->count = count;
	map->places = places;
	/* The jobs', until the last is over. */
	future_ref(&map->future);
	for (size_t i = 0; i < places && map->error == 0; i++) {
		map->place[i].map = map;
		fill(&map->place[i]);
	}
	if (map->error)
		withdraw_all(map);
	end_if_empty(map);
	return &map->future;
}
