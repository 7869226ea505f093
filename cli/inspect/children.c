/* SPDX-License-Identifier: MIT */
#include "inspect/children.h"

#include <async.h>

/* More is not believed. */
#define CHILDREN_MAX (UINT64_C(1) << 24)
#define BLOCK 16384

bool future_view_get(const struct snapshot *snapshot, struct loop_view *loop, uint64_t address,
		     struct future_view *ret_future)
{
	const struct async_layout *layout = loop->layout;
	const struct target *target = snapshot->target;

	*ret_future = (struct future_view){.address = address};
	if (!address)
		return false;
	ret_future->task = snapshot_find(snapshot, address);
	if (ret_future->task)
		return true;
	if (TARGET_U64(target, address, layout->future_loop) != loop->address ||
	    TARGET_U8(target, address, layout->future_state) != 0)
		return false;
	ret_future->class = loop_view_future_class(target, loop, TARGET_U64(target, address, layout->future_class));
	return ret_future->class && !ret_future->class->is_task;
}

struct visit {
	const struct snapshot *snapshot;
	struct loop_view *loop;
	const struct class_view *class;
	bool (*visit)(const struct future_view *child, void *arg);
	void *arg;
};

static bool visit_one(const struct visit *visit, uint64_t address)
{
	struct future_view child;

	return !future_view_get(visit->snapshot, visit->loop, address, &child) || visit->visit(&child, visit->arg);
}

static void visit_list(const struct visit *visit, uint64_t object)
{
	const struct target *target = visit->snapshot->target;
	const struct async_layout_children *children = &visit->class->children;
	uint64_t element = TARGET_U64(target, object, children->first);

	for (uint64_t i = 0; element && i <= visit->loop->created && i < CHILDREN_MAX; i++) {
		if (!visit_one(visit, TARGET_U64(target, element, children->future)))
			return;
		element = TARGET_U64(target, element, children->next);
	}
}

static bool visit_element(const struct visit *visit, const char *element)
{
	/* The other cases of a select leave the field as the user did. */
	if (visit->class->on == ASYNC_LAYOUT_ON_SELECT &&
	    field_of(element, visit->loop->layout->case_kind, 4) != ASYNC_SELECT_FUTURE)
		return true;
	return visit_one(visit, field_of(element, visit->class->children.future, 8));
}

static void visit_array(const struct visit *visit, uint64_t array, uint64_t count)
{
	uint32_t stride = visit->class->children.stride;
	uint64_t in_block = stride ? BLOCK / stride : 0;
	char block[BLOCK];

	for (uint64_t i = 0; in_block > 0 && i < count && i < CHILDREN_MAX; i += in_block) {
		uint64_t n = count - i < in_block ? count - i : in_block;

		if (!target_read(visit->snapshot->target, array + i * stride, block, n * stride))
			return;
		for (uint64_t k = 0; k < n; k++)
			if (!visit_element(visit, block + k * stride))
				return;
	}
}

/* So that what is read of an element lies within it. */
static bool is_sane(const struct visit *visit)
{
	const struct async_layout_children *children = &visit->class->children;

	return children->stride <= BLOCK && children->future + 8u <= children->stride &&
	       (visit->class->on != ASYNC_LAYOUT_ON_SELECT || visit->loop->layout->case_kind + 4u <= children->stride);
}

void children_visit(const struct snapshot *snapshot, struct loop_view *loop, const struct class_view *class,
		    uint64_t object, bool (*visit)(const struct future_view *child, void *arg), void *arg)
{
	const struct target *target = snapshot->target;
	const struct async_layout_children *children = &class->children;
	const struct visit all = {snapshot, loop, class, visit, arg};

	switch ((enum async_layout_children_kind)children->kind) {
	case ASYNC_LAYOUT_CHILD:
		visit_one(&all, TARGET_U64(target, object, children->first));
		break;
	case ASYNC_LAYOUT_ARRAY:
		if (is_sane(&all))
			visit_array(&all, object + children->first, TARGET_U64(target, object, children->count));
		break;
	case ASYNC_LAYOUT_POINTER:
		if (is_sane(&all))
			visit_array(&all, TARGET_U64(target, object, children->first),
				    TARGET_U64(target, object, children->count));
		break;
	case ASYNC_LAYOUT_LIST:
		visit_list(&all, object);
		break;
	case ASYNC_LAYOUT_NO_CHILDREN:
		break;
	}
}

static bool count_one(const struct future_view *child, void *arg)
{
	(void)child;
	++*(size_t *)arg;
	return true;
}

size_t children_count(const struct snapshot *snapshot, struct loop_view *loop, const struct class_view *class,
		      uint64_t object)
{
	size_t count = 0;

	children_visit(snapshot, loop, class, object, count_one, &count);
	return count;
}
