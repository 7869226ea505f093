/* SPDX-License-Identifier: MIT */
/* One task that looks after all three pipes of a child, so that neither side can wait for the other for ever. */
#include <errno.h>
#include <limits.h>
#include <poll.h>

#include <async/io.h>
#include <async/process.h>
#include <async/select.h>

#include "base/memory.h"

#define FIRST_ROOM 4096

struct reading {
	struct async_process_output output;
	size_t room, limit;
};

static int end_pipe(async_process *process, int which)
{
	return async_close(async_process_take_fd(process, which));
}

static int make_room(struct reading *reading)
{
	size_t room = reading->room ? reading->room * 2 : FIRST_ROOM;

	/* One byte for the NUL. */
	if (reading->output.size + 1 < reading->room)
		return 0;
	char *data = mem_realloc_array(reading->output.data, room, 1);
	if (!data)
		return -ENOMEM;
	reading->output.data = data;
	reading->room = room;
	return 0;
}

static int read_some(async_process *process, int which, struct reading *reading)
{
	int error = make_room(reading);

	if (error)
		return error;
	struct async_process_output *output = &reading->output;
	ssize_t n = async_read(async_process_fd(process, which), output->data + output->size,
			       reading->room - output->size - 1);
	if (n < 0)
		return (int)n;
	output->size += (size_t)n;
	output->data[output->size] = '\0';
	if (output->size > reading->limit)
		return -EMSGSIZE;
	return n == 0 ? end_pipe(process, which) : 0;
}

static int write_some(async_process *process, const char **input, size_t *size)
{
	/* A pipe that is ready has room for that much. */
	size_t part = *size < PIPE_BUF ? *size : PIPE_BUF;
	ssize_t n = part ? async_write(async_process_fd(process, 0), *input, part) : 0;

	if (n < 0 && n != -EPIPE)
		return (int)n;
	/* A child that does not read it has what it needs. */
	*size = n < 0 ? 0 : *size - (size_t)n;
	*input += n < 0 ? 0 : n;
	return *size == 0 ? end_pipe(process, 0) : 0;
}

static int transfer(async_process *process, const char *input, size_t size, struct reading readings[3])
{
	for (;;) {
		struct async_select_case cases[3];
		int open = 0, error;

		for (int i = 0; i < 3; i++) {
			int fd = async_process_fd(process, i);

			cases[i] = (struct async_select_case){.kind = fd < 0 ? ASYNC_SELECT_NEVER : ASYNC_SELECT_POLL,
							      .fd = fd,
							      .events = i == 0 ? POLLOUT : POLLIN};
			open += fd >= 0;
		}
		if (open == 0)
			return 0;
		intptr_t which = async_select(cases, 3);
		if (which < 0)
			return (int)which;
		if (which == 0)
			error = write_some(process, &input, &size);
		else
			error = read_some(process, (int)which, &readings[which]);
		if (error)
			return error;
	}
}

int async_process_communicate(async_process *process, const void *input, size_t size, size_t limit,
			      struct async_process_output *ret_output, struct async_process_output *ret_errors)
{
	struct async_process_output *ret[3] = {NULL, ret_output, ret_errors};
	struct reading readings[3] = {{.limit = limit}, {.limit = limit}, {.limit = limit}};

	if (!process || (size && !input))
		return -EINVAL;
	int status = transfer(process, input, size, readings);
	if (status == 0)
		status = async_process_wait(process);
	for (int i = 1; i < 3; i++) {
		if (status >= 0 && ret[i])
			*ret[i] = readings[i].output;
		else
			mem_free(readings[i].output.data);
	}
	return status;
}
