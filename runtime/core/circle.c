/* SPDX-License-Identifier: MIT */
#include "core/circle.h"

#include <string.h>

#include "core/loop.h"

/* Places where the way divides and that are not done with. Beyond so many a circle is not looked for. */
#define BRANCHES_MAX 16

/* What every look may follow, so that short circles are always found, and what each switch of the loop adds. */
#define STEPS_FREE 16
#define STEPS_PER_SWITCH 2

/* An object whose futures are followed one after the other. */
struct branch {
	const char *object;
	const struct async_layout_children *children;
	const char *element; /* the next one; NULL: none is left */
	size_t left;         /* elements of an array from there on */
};

struct walk {
	struct branch branches[BRANCHES_MAX];
	size_t depth;
	bool given_up;
};

static const void *pointer_at(const char *object, size_t offset)
{
	const void *pointer;

	memcpy(&pointer, object + offset, sizeof(pointer));
	return pointer;
}

static void enter(struct walk *walk, const void *object, const struct async_layout_children *children)
{
	struct branch branch = {.object = object, .children = children, .left = 1};

	if (walk->depth == BRANCHES_MAX) {
		walk->given_up = true;
		return;
	}
	branch.element = branch.object + children->first;
	if (children->kind == ASYNC_LAYOUT_POINTER || children->kind == ASYNC_LAYOUT_LIST)
		branch.element = pointer_at(branch.object, children->first);
	if (children->kind == ASYNC_LAYOUT_ARRAY || children->kind == ASYNC_LAYOUT_POINTER)
		memcpy(&branch.left, branch.object + children->count, sizeof(branch.left));
	if (branch.left == 0)
		branch.element = NULL;
	walk->branches[walk->depth++] = branch;
}

/* The next future of the branch, which goes on to the one after it. */
static const async_future *take(struct branch *branch)
{
	const struct async_layout_children *children = branch->children;
	const char *element = branch->element;

	if (children->kind == ASYNC_LAYOUT_LIST)
		branch->element = pointer_at(element, children->next);
	else
		branch->element = --branch->left ? element + children->stride : NULL;
	return pointer_at(element, children->kind == ASYNC_LAYOUT_CHILD ? 0 : children->future);
}

/* The next future anywhere, NULL at the end of all ways. A branch is left with its last one, so that a chain of
 * objects with one future each is no deeper than one. */
static const async_future *next(struct walk *walk)
{
	while (walk->depth > 0) {
		struct branch *branch = &walk->branches[walk->depth - 1];
		const async_future *future = branch->element ? take(branch) : NULL;

		if (!branch->element)
			walk->depth--;
		if (future)
			return future;
	}
	return NULL;
}

/* Where the way goes on from a pending future; NULL if it ends or divides there. */
static const async_future *follow(struct walk *walk, const async_future *future)
{
	if (!future->class->is_task) {
		if (future->class->children.kind)
			enter(walk, future, &future->class->children);
		return NULL;
	}
	const struct task *task = (const struct task *)future;
	if (task->state != TASK_PARKED)
		return NULL;
	if (wait_forwards(task->wait_class))
		return task->wait_object;
	if (task->wait_class->on == ASYNC_LAYOUT_ON_GROUP)
		enter(walk, task->wait_object, &task->wait_class->children);
	return NULL;
}

bool circle_found(const struct task *task, async_future *future)
{
	struct async_loop *loop = task->future.loop;
	uint64_t earned = loop->switches * STEPS_PER_SWITCH, spent = loop->circle_steps;
	uint64_t left = STEPS_FREE + (earned > spent ? earned - spent : 0);
	struct walk walk = {.depth = 0};
	const async_future *at = future;
	uint64_t steps = 0;

	for (; at && at != &task->future && !walk.given_up && steps < left; steps++) {
		const async_future *onward = future_done(at) ? NULL : follow(&walk, at);

		at = onward ? onward : next(&walk);
	}
	loop->circle_steps += steps > STEPS_FREE ? steps - STEPS_FREE : 0;
	return at == &task->future;
}
