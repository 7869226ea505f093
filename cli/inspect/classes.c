/* SPDX-License-Identifier: MIT */
/* The kinds of waits and futures of a program, each read once. */
#include "inspect/snapshot.h"

#include <string.h>

static struct class_view *find_class(struct loop_view *loop, uint64_t address)
{
	for (size_t i = 0; i < loop->classes_count; i++)
		if (loop->classes[i].address == address)
			return &loop->classes[i];
	return NULL;
}

static struct class_view *add_class(const struct target *target, struct loop_view *loop, uint64_t address,
				    uint64_t name)
{
	struct class_view *class = &loop->classes[loop->classes_count];

	if (loop->classes_count == CLASS_VIEWS_MAX || !target_string(target, name, class->name, sizeof(class->name)))
		return NULL;
	class->address = address;
	loop->classes_count++;
	return class;
}

static void read_children(const struct target *target, uint64_t address, struct class_view *class)
{
	if (!target_read(target, address, &class->children, sizeof(class->children)))
		memset(&class->children, 0, sizeof(class->children));
}

const struct class_view *loop_view_wait_class(const struct target *target, struct loop_view *loop, uint64_t address)
{
	const struct async_layout *layout = loop->layout;
	struct class_view *class = address ? find_class(loop, address) : NULL;

	if (class || !address)
		return class;
	class = add_class(target, loop, address, TARGET_U64(target, address, layout->wait_class_name));
	if (!class)
		return NULL;
	class->on = TARGET_U16(target, address, layout->wait_class_on);
	class->detail = TARGET_U16(target, address, layout->wait_class_detail);
	read_children(target, address + layout->wait_class_children, class);
	return class;
}

const struct class_view *loop_view_future_class(const struct target *target, struct loop_view *loop, uint64_t address)
{
	const struct async_layout *layout = loop->layout;
	struct class_view *class = address ? find_class(loop, address) : NULL;

	if (class || !address)
		return class;
	class = add_class(target, loop, address, TARGET_U64(target, address, layout->future_class_name));
	if (!class)
		return NULL;
	class->is_task = TARGET_U8(target, address, layout->future_class_is_task);
	read_children(target, address + layout->future_class_children, class);
	return class;
}
