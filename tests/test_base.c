/* SPDX-License-Identifier: MIT */
/* What everything stands on: lists, the heap of timers, slabs, memory with faults on demand, growing structures. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/heap.h"
#include "base/instrument.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/slab.h"
#include "base/versioned.h"
#include "context/sanitizer.h"

/* Every sequence is random but the same in each run. */
static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((random_state >> 33) % limit);
}

/* Lists */

struct item {
	int value;
	struct list link;
};

static void assert_list(struct list *head, const int *values, size_t count)
{
	size_t i = 0;

	list_for_each(node, head) {
		assert_true(i < count);
		assert_int_equal(list_entry(node, struct item, link)->value, values[i++]);
		assert_ptr_equal(node->next->prev, node);
		assert_ptr_equal(node->prev->next, node);
	}
	assert_int_equal(i, count);
	assert_int_equal(list_empty(head), count == 0);
}

static void list_keeps_order(void **state)
{
	struct list head = LIST_INIT(head);
	struct item items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};

	(void)state;
	assert_list(&head, NULL, 0);
	assert_null(list_pop(&head));
	list_append(&head, &items[1].link);
	list_append(&head, &items[2].link);
	list_prepend(&head, &items[0].link);
	list_append(&head, &items[3].link);
	assert_list(&head, (int[]){0, 1, 2, 3}, 4);

	list_remove(&items[1].link);
	assert_list(&head, (int[]){0, 2, 3}, 3);
	/* It is a list of its own now, so this harms nothing. */
	list_remove(&items[1].link);
	assert_list(&head, (int[]){0, 2, 3}, 3);
	assert_ptr_equal(list_pop(&head), &items[0].link);
	assert_list(&head, (int[]){2, 3}, 2);
}

static void list_splices_to_the_end(void **state)
{
	struct list a = LIST_INIT(a), b;
	struct item items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};

	(void)state;
	list_init(&b);
	list_splice(&a, &b);
	assert_list(&a, NULL, 0);
	list_append(&b, &items[0].link);
	list_append(&b, &items[1].link);
	list_splice(&a, &b);
	assert_list(&a, (int[]){0, 1}, 2);
	assert_list(&b, NULL, 0);
	list_append(&b, &items[2].link);
	list_append(&b, &items[3].link);
	list_splice(&a, &b);
	assert_list(&a, (int[]){0, 1, 2, 3}, 4);
	assert_list(&b, NULL, 0);
}

static void list_loses_nodes_while_walked(void **state)
{
	struct list head = LIST_INIT(head);
	struct item items[6];
	int seen = 0;

	(void)state;
	for (int i = 0; i < 6; i++) {
		items[i].value = i;
		list_append(&head, &items[i].link);
	}
	list_for_each_safe(node, &head) {
		assert_int_equal(list_entry(node, struct item, link)->value, seen++);
		if (seen % 2)
			list_remove(node);
	}
	assert_int_equal(seen, 6);
	assert_list(&head, (int[]){1, 3, 5}, 3);
}

/* The heap */

struct timer {
	struct heap_node node;
	int64_t key;
	unsigned order; /* of insertion */
};

static void heap_pops_in_order(void **state)
{
	static const int64_t keys[] = {5, INT64_MIN, 7, 0, INT64_MAX, -3, 5, 1};
	struct timer timers[countof(keys)];
	struct heap heap = {0};
	int64_t last = INT64_MIN;

	(void)state;
	assert_true(heap_empty(&heap));
	for (size_t i = 0; i < countof(keys); i++) {
		timers[i].node.index = HEAP_NOWHERE;
		assert_false(heap_has(&timers[i].node));
		assert_int_equal(heap_insert(&heap, &timers[i].node, keys[i]), 0);
		assert_true(heap_has(&timers[i].node));
		assert_int_equal(heap_key(&heap, &timers[i].node), keys[i]);
	}
	for (size_t i = 0; i < countof(keys); i++) {
		int64_t key = heap_least(&heap);
		struct heap_node *node = heap_pop(&heap);

		assert_true(key >= last);
		assert_int_equal(keys[container_of(node, struct timer, node) - timers], key);
		assert_false(heap_has(node));
		last = key;
	}
	assert_true(heap_empty(&heap));
	heap_destroy(&heap);
}

static void heap_keeps_ties_in_order(void **state)
{
	static struct timer timers[1000];
	struct heap heap = {0};

	(void)state;
	for (size_t i = 0; i < countof(timers); i++)
		assert_int_equal(heap_insert(&heap, &timers[i].node, (int64_t)(i % 3)), 0);
	for (size_t key = 0; key < 3; key++)
		for (size_t i = key; i < countof(timers); i += 3)
			assert_ptr_equal(heap_pop(&heap), &timers[i].node);
	assert_true(heap_empty(&heap));
	heap_destroy(&heap);
}

/* The model is an array that is searched. */
static struct timer *model_least(struct timer *timers, size_t count)
{
	struct timer *least = NULL;

	for (size_t i = 0; i < count; i++) {
		struct timer *t = &timers[i];

		if (heap_has(&t->node) &&
		    (!least || t->key < least->key || (t->key == least->key && t->order < least->order)))
			least = t;
	}
	return least;
}

static void heap_agrees_with_a_model(void **state)
{
	static struct timer timers[300];
	struct heap heap = {0};
	unsigned order = 0;
	size_t live = 0;

	(void)state;
	random_state = 1;
	for (size_t i = 0; i < countof(timers); i++)
		timers[i].node.index = HEAP_NOWHERE;
	for (size_t step = 0; step < test_many(20000); step++) {
		struct timer *t = &timers[random_below(countof(timers))], *least = model_least(timers, countof(timers));
		/* Long phases of growing and of shrinking. */
		bool growing = step / 2000 % 2 == 0;

		if (least)
			assert_int_equal(heap_least(&heap), least->key);
		if (!heap_has(&t->node) && (growing || random_below(4) == 0)) {
			t->key = (int64_t)random_below(50) - 25;
			t->order = order++;
			assert_int_equal(heap_insert(&heap, &t->node, t->key), 0);
			live++;
		} else if (heap_has(&t->node) && random_below(2)) {
			heap_remove(&heap, &t->node);
			assert_false(heap_has(&t->node));
			live--;
		} else if (least && (!growing || random_below(4) == 0)) {
			assert_ptr_equal(heap_pop(&heap), &least->node);
			live--;
		}
		assert_int_equal(heap.count, live);
	}
	while (live-- > 0) {
		struct timer *least = model_least(timers, countof(timers));

		assert_ptr_equal(heap_pop(&heap), &least->node);
	}
	assert_true(heap_empty(&heap));
	heap_destroy(&heap);
}

static void heap_gives_memory_back(void **state)
{
	enum { COUNT = 10000 };
	struct timer *timers = calloc(COUNT, sizeof(*timers));
	struct heap heap = {0};

	(void)state;
	assert_non_null(timers);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(heap_insert(&heap, &timers[i].node, (int64_t)i), 0);
	assert_true(heap.capacity >= COUNT);
	for (size_t i = 0; i < COUNT - 10; i++)
		heap_pop(&heap);
	assert_true(heap.capacity < COUNT / 50);
	for (size_t i = COUNT - 10; i < COUNT; i++)
		assert_ptr_equal(heap_pop(&heap), &timers[i].node);
	heap_destroy(&heap);
	free(timers);
}

static void heap_survives_want_of_memory(void **state)
{
	static struct timer timers[600];
	struct heap heap = {0};
	size_t in = 0;

	(void)state;
	/* Each attempt to grow fails once. */
	for (size_t i = 0; i < countof(timers); i++) {
		bool grows = heap.count == heap.capacity;

		timers[i].node.index = HEAP_NOWHERE;
		fault_arm("malloc", 1, -ENOMEM);
		int error = heap_insert(&heap, &timers[i].node, -(int64_t)i);
		assert_int_equal(fault_disarm(), grows);
		assert_int_equal(error, grows ? -ENOMEM : 0);
		if (grows) {
			assert_false(heap_has(&timers[i].node));
			assert_int_equal(heap_insert(&heap, &timers[i].node, -(int64_t)i), 0);
		}
		in++;
	}
	/* Without memory to shrink it stays as large as it is. */
	uint32_t capacity = heap.capacity;
	while (in-- > 0) {
		fault_arm("malloc", 1, -ENOMEM);
		assert_ptr_equal(heap_pop(&heap), &timers[in].node);
		fault_disarm();
	}
	assert_int_equal(heap.capacity, capacity);
	heap_destroy(&heap);
}

/* Slabs */

#define OBJECT_WORDS 12

static void count_live(void *object, void *arg)
{
	/* A live object keeps its address in its second word. */
	*(size_t *)arg += ((void **)object)[1] == object;
}

static size_t live_objects(struct slab *slab)
{
	size_t count = 0;

	slab_visit(slab, count_live, &count);
	return count;
}

static void *take(struct slab *slab)
{
	void **object = slab_alloc(slab);

	if (object)
		object[1] = object;
	return object;
}

static void give(struct slab *slab, void *object)
{
	((void **)object)[1] = NULL;
	slab_free(slab, object);
}

static void slab_hands_out_distinct_objects(void **state)
{
	static void *objects[5000];
	struct slab slab;
	size_t live = 0;

	(void)state;
	random_state = 2;
	slab_init(&slab, OBJECT_WORDS * sizeof(void *));
	for (size_t step = 0; step < test_many(200000); step++) {
		size_t i = random_below(countof(objects));

		if (objects[i]) {
			uintptr_t *words = objects[i];

			for (size_t w = 2; w < OBJECT_WORDS; w++)
				assert_int_equal(words[w], i);
			give(&slab, objects[i]);
			objects[i] = NULL;
			live--;
		} else {
			uintptr_t *words = objects[i] = take(&slab);

			assert_non_null(words);
			assert_int_equal((uintptr_t)words % 8, 0);
			/* Whoever else had this place would notice. */
			for (size_t w = 2; w < OBJECT_WORDS; w++)
				words[w] = i;
			live++;
		}
	}
	assert_true(live > 0);
	assert_int_equal(live_objects(&slab), live);
	slab_destroy(&slab);
}

static void fresh_objects_are_zero(void **state)
{
	struct slab slab;

	(void)state;
	slab_init(&slab, OBJECT_WORDS * sizeof(void *));
	for (int i = 0; i < 2000; i++) {
		uintptr_t *words = slab_alloc(&slab);

		for (size_t w = 0; w < OBJECT_WORDS; w++)
			assert_int_equal(words[w], 0);
	}
	slab_destroy(&slab);
}

static void slab_reuses_the_latest(void **state)
{
	struct slab slab;

	(void)state;
	slab_init(&slab, OBJECT_WORDS * sizeof(void *));
	void *a = take(&slab), *b = take(&slab);
	give(&slab, a);
	give(&slab, b);
	assert_ptr_equal(take(&slab), b);
	assert_ptr_equal(take(&slab), a);
	assert_int_equal(slab.chunks, 1);
	slab_destroy(&slab);
}

static void slab_gives_chunks_back(void **state)
{
	static void *objects[5000];
	struct slab slab;

	(void)state;
	slab_init(&slab, OBJECT_WORDS * sizeof(void *));
	for (size_t i = 0; i < countof(objects); i++)
		objects[i] = take(&slab);
	size_t chunks = slab.chunks;
	assert_true(chunks > 3);
	slab_trim(&slab);
	assert_int_equal(slab.chunks, chunks);
	/* One object of the first chunk stays. */
	for (size_t i = 1; i < countof(objects); i++)
		give(&slab, objects[i]);
	assert_int_equal(slab.empty, chunks - 1);
	slab_trim(&slab);
	assert_int_equal(slab.chunks, 2);
	assert_int_equal(slab.empty, 1);
	assert_int_equal(live_objects(&slab), 1);
	assert_ptr_equal(((void **)objects[0])[1], objects[0]);
	give(&slab, objects[0]);
	slab_trim(&slab);
	assert_int_equal(slab.chunks, 1);
	assert_non_null(take(&slab));
	slab_destroy(&slab);
}

static void slab_survives_want_of_memory(void **state)
{
	struct slab slab;
	size_t count = 0;

	(void)state;
	slab_init(&slab, OBJECT_WORDS * sizeof(void *));
	fault_arm("mmap", 2, -ENOMEM);
	while (take(&slab))
		count++;
	assert_int_equal(fault_disarm(), 2);
	/* The first chunk is full and of use. */
	assert_int_equal(live_objects(&slab), count);
	assert_int_equal(slab.chunks, 1);
	assert_non_null(take(&slab));
	assert_int_equal(slab.chunks, 2);
	slab_destroy(&slab);
}

/* Memory and faults */

static void memory_is_what_it_says(void **state)
{
	(void)state;
	char *zero = mem_zalloc(100), *text = mem_strndup("abcdef", 3);
	int *numbers = mem_array(10, sizeof(*numbers));

	for (int i = 0; i < 100; i++)
		assert_int_equal(zero[i], 0);
	assert_string_equal(text, "abc");
	numbers[9] = 9;
	numbers = mem_realloc_array(numbers, 1000, sizeof(*numbers));
	assert_int_equal(numbers[9], 9);
	/* The sanitizers' allocators end the process instead. */
	if (!instrument_asan() && !instrument_tsan()) {
		assert_null(mem_realloc_array(numbers, SIZE_MAX / 2, sizeof(*numbers)));
		assert_null(mem_array(SIZE_MAX / 2, sizeof(*numbers)));
	}
	mem_free(zero);
	mem_free(text);
	mem_free(numbers);
	mem_free(NULL);
}

static void exactly_one_allocation_fails(void **state)
{
	(void)state;
	for (unsigned long nth = 1; nth <= 5; nth++) {
		void *blocks[5];

		fault_arm("malloc", nth, -ENOMEM);
		blocks[0] = mem_alloc(8);
		blocks[1] = mem_zalloc(8);
		blocks[2] = mem_array(2, 8);
		blocks[3] = mem_realloc_array(NULL, 2, 8);
		blocks[4] = mem_strndup("x", 1);
		assert_int_equal(fault_disarm(), 5);
		for (unsigned long i = 0; i < 5; i++) {
			assert_int_equal(blocks[i] == NULL, i + 1 == nth);
			mem_free(blocks[i]);
		}
	}
}

static long call_that_fails(void)
{
	errno = ENOTTY;
	return -1;
}

static void system_calls_fail_on_demand(void **state)
{
	(void)state;
	assert_int_equal(SYS("one", 7), 7);
	assert_int_equal(SYS("one", call_that_fails()), -ENOTTY);

	fault_arm("one", 2, -EIO);
	assert_int_equal(SYS("one", 7), 7);
	assert_int_equal(SYS("two", 8), 8);
	assert_int_equal(SYS("one", 7), -EIO);
	assert_int_equal(SYS("one", 7), 7);
	assert_int_equal(fault_disarm(), 3);
	assert_int_equal(SYS("one", 7), 7);

	fault_arm(NULL, 2, -EPERM);
	assert_int_equal(SYS("one", 7), 7);
	assert_int_equal(SYS("two", 8), -EPERM);
	assert_int_equal(fault_disarm(), 2);

	fault_count("two");
	assert_int_equal(SYS("one", 7), 7);
	assert_int_equal(SYS("two", 8), 8);
	assert_int_equal(fault_disarm(), 1);
}

static void a_call_that_fails_on_demand_is_not_made(void **state)
{
	int made = 0;

	(void)state;
	fault_arm("one", 1, -EIO);
	assert_int_equal(SYS("one", ++made), -EIO);
	fault_disarm();
	assert_int_equal(made, 0);
}

/* Structures that begin with their size */

struct version_1 {
	size_t size;
	int a;
	int b;
};

struct version_2 {
	size_t size;
	int a;
	int b;
	long c;
};

/* Out of line: the compiler knows neither size, as with a caller that was built long ago. */
static noinline int copy(void *known, size_t known_size, const void *given)
{
	return versioned_copy(known, known_size, given);
}

static noinline int fill(void *given, const void *known, size_t known_size)
{
	return versioned_fill(given, known, known_size);
}

static void structures_grow_in_both_directions(void **state)
{
	struct version_1 old = {sizeof(old), 1, 2};
	struct version_2 new = {sizeof(new), 3, 4, 0}, known_2 = {sizeof(known_2), -1, -1, -1};
	struct version_1 known_1 = {sizeof(known_1), -1, -1};

	(void)state;
	assert_int_equal(copy(&known_2, sizeof(known_2), &old), 0);
	assert_int_equal(known_2.a, 1);
	assert_int_equal(known_2.b, 2);
	assert_int_equal(known_2.c, -1);

	assert_int_equal(copy(&known_1, sizeof(known_1), &new), 0);
	assert_int_equal(known_1.a, 3);
	assert_int_equal(known_1.b, 4);
	/* What an older library does not know, it must not be asked for. */
	new.c = 5;
	known_1 = (struct version_1){sizeof(known_1), -1, -1};
	assert_int_equal(copy(&known_1, sizeof(known_1), &new), -EINVAL);
	assert_int_equal(known_1.a, -1);
}

static void sizes_that_are_none_are_refused(void **state)
{
	static const size_t wrong[] = {0, 1, sizeof(size_t) - 1, VERSIONED_SIZE_MAX + 1, SIZE_MAX};
	/* Room enough for a size that is too large by one. */
	static struct version_1 given[VERSIONED_SIZE_MAX];
	struct version_1 known = {sizeof(known), -1, -1};

	(void)state;
	given->a = 1;
	for (size_t i = 0; i < countof(wrong); i++) {
		given->size = wrong[i];
		assert_int_equal(copy(&known, sizeof(known), given), -EINVAL);
		assert_int_equal(fill(given, &known, sizeof(known)), -EINVAL);
		assert_int_equal(known.a, -1);
		assert_int_equal(given->a, 1);
	}
	given->size = sizeof(size_t);
	assert_int_equal(copy(&known, sizeof(known), given), 0);
	assert_int_equal(known.a, -1);
}

static void fills_what_the_caller_knows(void **state)
{
	struct version_2 result = {sizeof(result), 1, 2, 3}, new = {sizeof(new), -1, -1, -1};
	struct version_1 old = {sizeof(old), -1, -1}, small = {sizeof(small), 7, 8};

	(void)state;
	assert_int_equal(fill(&old, &result, sizeof(result)), 0);
	assert_int_equal(old.size, sizeof(old));
	assert_int_equal(old.a, 1);
	assert_int_equal(old.b, 2);

	assert_int_equal(fill(&new, &small, sizeof(small)), 0);
	assert_int_equal(new.size, sizeof(new));
	assert_int_equal(new.a, 7);
	assert_int_equal(new.b, 8);
	assert_int_equal(new.c, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(list_keeps_order),
		TEST(list_splices_to_the_end),
		TEST(list_loses_nodes_while_walked),
		TEST(heap_pops_in_order),
		TEST(heap_keeps_ties_in_order),
		TEST(heap_agrees_with_a_model),
		TEST(heap_gives_memory_back),
		TEST(heap_survives_want_of_memory),
		TEST(slab_hands_out_distinct_objects),
		TEST(fresh_objects_are_zero),
		TEST(slab_reuses_the_latest),
		TEST(slab_gives_chunks_back),
		TEST(slab_survives_want_of_memory),
		TEST(memory_is_what_it_says),
		TEST(exactly_one_allocation_fails),
		TEST(system_calls_fail_on_demand),
		TEST(a_call_that_fails_on_demand_is_not_made),
		TEST(structures_grow_in_both_directions),
		TEST(sizes_that_are_none_are_refused),
		TEST(fills_what_the_caller_knows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
