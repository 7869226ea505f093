/* SPDX-License-Identifier: MIT */
#include "inspect/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <async.h>

#include "output.h"

#define LOOPS_MAX 4096
#define ATTEMPTS 5
/* After so long, reading it again will hardly give something better. */
#define PATIENCE (500 * ASYNC_MS)
#define OBSERVES_ACCOUNTS 2

/* A memory that is being written can say anything; more than this is not believed. */
#define CHUNKS_MAX (1u << 20)
#define CHUNK_MAX (1u << 20)
#define TIMERS_BYTES_MAX ((size_t)4 << 30)

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * ASYNC_S + time.tv_nsec;
}

const char *task_view_name(const struct task_view *task, char *buffer, size_t size)
{
	if (task->name)
		return task->name;
	snprintf(buffer, size, "Task-%llu", (unsigned long long)task->id);
	return buffer;
}

/* Loops */

static void read_counters(const struct target *target, struct loop_view *loop)
{
	const struct async_layout *layout = loop->layout;
	uint32_t state = TARGET_U32(target, loop->address, layout->loop_wake_state);

	loop->switches = TARGET_U64(target, loop->address, layout->loop_switches);
	loop->iterations = TARGET_U64(target, loop->address, layout->loop_iterations);
	loop->polls = TARGET_U64(target, loop->address, layout->loop_polls);
	loop->created = TARGET_U64(target, loop->address, layout->loop_tasks_created);
	loop->current = TARGET_U64(target, loop->address, layout->loop_current);
	loop->running = TARGET_U8(target, loop->address, layout->loop_running);
	loop->asleep = state == 1 || state == 2;
}

static bool same_counters(const struct loop_view *a, const struct loop_view *b)
{
	return a->switches == b->switches && a->iterations == b->iterations && a->polls == b->polls &&
	       a->created == b->created && a->current == b->current;
}

static void read_loop(const struct target *target, struct loop_view *loop)
{
	const struct async_layout *layout = loop->layout;
	uint64_t reactor = TARGET_U64(target, loop->address, layout->loop_reactor);

	read_counters(target, loop);
	loop->thread = (pid_t)TARGET_U32(target, loop->address, layout->loop_thread);
	loop->accounts = TARGET_U8(target, loop->address, layout->loop_observed) & OBSERVES_ACCOUNTS;
	loop->measures = TARGET_U8(target, loop->address, layout->loop_measures);
	loop->virtual_clock = TARGET_U32(target, loop->address, layout->loop_clock) == ASYNC_CLOCK_VIRTUAL;
	loop->virtual_now = (int64_t)TARGET_U64(target, loop->address, layout->loop_virtual_now);
	loop->switch_kind = TARGET_U8(target, loop->address, layout->loop_switch_kind);
	loop->jobs = TARGET_U64(target, loop->address, layout->loop_jobs);
	loop->timers = TARGET_U32(target, loop->address + layout->loop_timers, layout->heap_count);
	loop->operations = reactor ? TARGET_U64(target, reactor, layout->reactor_pending) : 0;
	uint64_t ops = reactor ? TARGET_U64(target, reactor, layout->reactor_ops) : 0;
	uint64_t name = ops ? TARGET_U64(target, ops, layout->reactor_ops_name) : 0;
	if (!name || !target_string(target, name, loop->backend, sizeof(loop->backend)))
		snprintf(loop->backend, sizeof(loop->backend), "no backend");
	loop->read_at = now();
}

/* Tasks */

struct reading {
	struct snapshot *snapshot;
	struct loop_view *loop;
	char *slots; /* of the loop's timers; NULL: none could be read */
	uint32_t slots_count;
	bool no_memory;
};

static void read_timers(struct reading *reading)
{
	const struct target *target = reading->snapshot->target;
	const struct async_layout *layout = reading->loop->layout;
	uint64_t heap = reading->loop->address + layout->loop_timers;
	uint32_t count = TARGET_U32(target, heap, layout->heap_count);
	size_t size = (size_t)count * layout->heap_slot_size;

	if (count == 0 || size > TIMERS_BYTES_MAX || !(reading->slots = malloc(size)))
		return;
	size = target_read_some(target, TARGET_U64(target, heap, layout->heap_slots), reading->slots, size);
	reading->slots_count = (uint32_t)(size / layout->heap_slot_size);
}

static struct task_view *add_task(struct reading *reading)
{
	struct snapshot *snapshot = reading->snapshot;

	if (snapshot->tasks_count == snapshot->tasks_capacity) {
		size_t capacity = snapshot->tasks_capacity ? snapshot->tasks_capacity * 2 : 256;
		struct task_view *grown = realloc(snapshot->tasks, capacity * sizeof(*grown));

		if (!grown) {
			reading->no_memory = true;
			return NULL;
		}
		snapshot->tasks = grown;
		snapshot->tasks_capacity = capacity;
	}
	struct task_view *task = &snapshot->tasks[snapshot->tasks_count++];
	*task = (struct task_view){.loop = reading->loop, .ran = -1};
	return task;
}

static void read_accounts(const struct target *target, struct task_view *task)
{
	const struct async_layout *layout = task->loop->layout;

	task->since = (int64_t)TARGET_U64(target, task->stack, layout->stack_since);
	task->ran = (int64_t)TARGET_U64(target, task->stack, layout->stack_ran);
	task->switches = TARGET_U64(target, task->stack, layout->stack_switches);
	if (task->state == TASK_VIEW_RUNNING)
		task->ran += task->loop->read_at - task->since;
}

static void read_wait(struct reading *reading, struct task_view *task, const char *object)
{
	const struct async_layout *layout = reading->loop->layout;
	uint32_t timer = (uint32_t)field_of(object, layout->task_timer, 4);

	task->wait = loop_view_wait_class(reading->snapshot->target, reading->loop,
					  field_of(object, layout->task_wait_class, 8));
	task->wait_object = field_of(object, layout->task_wait_object, 8);
	task->since = (int64_t)field_of(object, layout->task_word, 8);
	if (task->wait && task->wait->on == ASYNC_LAYOUT_ON_TIME && timer < reading->slots_count)
		task->deadline = (int64_t)field_of(reading->slots + (size_t)timer * layout->heap_slot_size,
						   layout->heap_slot_key, 8);
}

static bool is_task(const struct reading *reading, const char *object)
{
	const struct async_layout *layout = reading->loop->layout;

	return field_of(object, layout->future_refs, 4) != 0 &&
	       field_of(object, layout->future_loop, 8) == reading->loop->address &&
	       field_of(object, layout->task_state, 1) <= 2;
}

static void read_task(struct reading *reading, uint64_t address, const char *object)
{
	const struct target *target = reading->snapshot->target;
	const struct async_layout *layout = reading->loop->layout;
	struct task_view *task = is_task(reading, object) ? add_task(reading) : NULL;
	static const uint8_t states[] = {TASK_VIEW_NEW, TASK_VIEW_READY, TASK_VIEW_WAITING};
	uint64_t name = field_of(object, layout->task_name, 8);
	char text[ASYNC_TASK_NAME_MAX];

	if (!task)
		return;
	task->address = address;
	task->id = field_of(object, layout->task_id, 8);
	task->fn = field_of(object, layout->task_fn, 8);
	task->state = states[field_of(object, layout->task_state, 1)];
	task->stack_class = (uint8_t)field_of(object, layout->task_stack_class, 1);
	if (name && target_string(target, name, text, sizeof(text)))
		task->name = strdup(text);
	if (task->state == TASK_VIEW_NEW)
		return;
	task->sp = field_of(object, layout->task_context, 8);
	task->stack = field_of(object, layout->task_stack, 8);
	if (task->state == TASK_VIEW_WAITING)
		read_wait(reading, task, object);
	if (address == reading->loop->current)
		task->state = TASK_VIEW_RUNNING;
	if (reading->loop->accounts)
		read_accounts(target, task);
}

static void read_chunk(struct reading *reading, uint64_t address, char *chunk)
{
	const struct async_layout *layout = reading->loop->layout;
	size_t got = target_read_some(reading->snapshot->target, address, chunk, layout->chunk_size);

	if (got < layout->chunk_objects)
		return;
	uint64_t fresh = field_of(chunk, layout->chunk_fresh, 4);
	uint64_t room = (got - layout->chunk_objects) / layout->task_size;
	for (uint64_t i = 0; i < fresh && i < room && !reading->no_memory; i++) {
		size_t at = layout->chunk_objects + i * layout->task_size;

		read_task(reading, address + at, chunk + at);
	}
}

static void read_chunks(struct reading *reading, uint64_t slab, uint32_t list, char *chunk)
{
	const struct target *target = reading->snapshot->target;
	const struct async_layout *layout = reading->loop->layout;
	uint64_t head = slab + list, node = TARGET_U64(target, head, layout->list_next);
	uint64_t limit = TARGET_U64(target, slab, layout->slab_chunks);

	for (size_t i = 0; node && node != head && i < limit && i < CHUNKS_MAX && !reading->no_memory; i++) {
		read_chunk(reading, node - layout->chunk_link, chunk);
		node = TARGET_U64(target, node, layout->list_next);
	}
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct task_view *)a)->id, y = ((const struct task_view *)b)->id;

	return (x > y) - (x < y);
}

static void forget_tasks(struct snapshot *snapshot, size_t first)
{
	for (size_t i = first; i < snapshot->tasks_count; i++)
		free(snapshot->tasks[i].name);
	snapshot->tasks_count = first;
}

/* In the order of their creation, each once: a list that changed on the way may have been walked twice. */
static void sort_tasks(struct snapshot *snapshot, size_t first)
{
	struct task_view *tasks = snapshot->tasks + first;
	size_t count = snapshot->tasks_count - first, kept = 0;

	if (count > 0)
		qsort(tasks, count, sizeof(*tasks), by_id);
	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && tasks[kept - 1].id == tasks[i].id)
			free(tasks[i].name);
		else
			tasks[kept++] = tasks[i];
	}
	snapshot->tasks_count = first + kept;
}

/* Reads the tasks of a loop once. False without memory. */
static bool read_tasks(struct snapshot *snapshot, struct loop_view *loop)
{
	const struct async_layout *layout = loop->layout;
	struct reading reading = {.snapshot = snapshot, .loop = loop};
	uint64_t slab = loop->address + layout->loop_task_slab;
	char *chunk = layout->chunk_size <= CHUNK_MAX && layout->task_size > 0 ? malloc(layout->chunk_size) : NULL;

	loop->first = snapshot->tasks_count;
	if (!chunk)
		return false;
	read_timers(&reading);
	read_chunks(&reading, slab, layout->slab_full, chunk);
	read_chunks(&reading, slab, layout->slab_partial, chunk);
	free(reading.slots);
	free(chunk);
	sort_tasks(snapshot, loop->first);
	loop->count = snapshot->tasks_count - loop->first;
	return !reading.no_memory;
}

static bool read_steadily(struct snapshot *snapshot, struct loop_view *loop)
{
	int64_t began = now();

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		struct loop_view after = *loop;

		read_loop(snapshot->target, loop);
		if (!read_tasks(snapshot, loop))
			return false;
		after.address = loop->address;
		read_counters(snapshot->target, &after);
		loop->torn = !same_counters(loop, &after);
		if (!loop->torn || now() - began > PATIENCE || attempt == ATTEMPTS - 1)
			break;
		forget_tasks(snapshot, loop->first);
	}
	return true;
}

/* Finding */

static size_t slot_of(const struct snapshot *snapshot, uint64_t address)
{
	return (size_t)((address >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (snapshot->by_address_size - 1);
}

static bool index_tasks(struct snapshot *snapshot)
{
	size_t size = 16;

	while (size < snapshot->tasks_count * 2)
		size *= 2;
	snapshot->by_address = calloc(size, sizeof(uint32_t));
	snapshot->by_address_size = size;
	for (size_t i = 0; snapshot->by_address && i < snapshot->tasks_count; i++) {
		size_t slot = slot_of(snapshot, snapshot->tasks[i].address);

		while (snapshot->by_address[slot])
			slot = (slot + 1) & (size - 1);
		snapshot->by_address[slot] = (uint32_t)i + 1;
	}
	return snapshot->by_address;
}

const struct task_view *snapshot_find(const struct snapshot *snapshot, uint64_t address)
{
	size_t slot = slot_of(snapshot, address);

	for (; snapshot->by_address[slot]; slot = (slot + 1) & (snapshot->by_address_size - 1)) {
		const struct task_view *task = &snapshot->tasks[snapshot->by_address[slot] - 1];

		if (task->address == address)
			return task;
	}
	return NULL;
}

const struct task_view *snapshot_find_id(const struct snapshot *snapshot, const struct loop_view *loop, uint64_t id)
{
	const struct task_view key = {.id = id};

	return loop->count ? bsearch(&key, snapshot->tasks + loop->first, loop->count, sizeof(key), by_id) : NULL;
}

/* Everything */

static struct loop_view *add_loop(struct snapshot *snapshot)
{
	struct loop_view **grown = realloc(snapshot->loops, (snapshot->loops_count + 1) * sizeof(*grown));
	struct loop_view *loop = grown ? calloc(1, sizeof(*loop)) : NULL;

	if (grown)
		snapshot->loops = grown;
	if (loop)
		snapshot->loops[snapshot->loops_count++] = loop;
	return loop;
}

bool snapshot_take(struct snapshot *snapshot, const struct target *target)
{
	bool memory = true;

	*snapshot = (struct snapshot){.target = target};
	for (size_t i = 0; i < target->count && memory; i++) {
		const struct async_layout *layout = &target->layouts[i];
		uint64_t address = TARGET_U64(target, layout->loops, 0);

		for (size_t n = 0; address && n < LOOPS_MAX && memory; n++) {
			struct loop_view *loop = add_loop(snapshot);

			memory = loop;
			if (!loop)
				break;
			loop->address = address;
			loop->layout = layout;
			memory = read_steadily(snapshot, loop);
			address = TARGET_U64(target, address, layout->loop_next);
		}
	}
	if (memory && target_lives(target) && (memory = index_tasks(snapshot)))
		return true;
	if (memory)
		complain_line("process %d has ended", target->pid);
	else
		complain_line("not enough memory for the tasks of process %d", target->pid);
	snapshot_free(snapshot);
	return false;
}

bool snapshot_still(const struct snapshot *snapshot, const struct task_view *task)
{
	const struct async_layout *layout = task->loop->layout;
	const struct target *target = snapshot->target;

	return TARGET_U64(target, task->address, layout->task_id) == task->id &&
	       TARGET_U64(target, task->address, layout->task_context) == task->sp &&
	       TARGET_U64(target, task->loop->address, layout->loop_switches) == task->loop->switches;
}

void snapshot_free(struct snapshot *snapshot)
{
	forget_tasks(snapshot, 0);
	free(snapshot->tasks);
	for (size_t i = 0; i < snapshot->loops_count; i++)
		free(snapshot->loops[i]);
	free(snapshot->loops);
	free(snapshot->by_address);
	*snapshot = (struct snapshot){.target = snapshot->target};
}
