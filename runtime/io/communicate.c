/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. One task looks after all three pipes of a child, so that neither side can wait for the other for ever. How
 * far it has come stays with the process: whoever is interrupted, by a limit of time or of size, can go on.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#include <async/io.h>
#include <async/select.h>

#include "base/clock.h"
#include "base/memory.h"
#include "io/process.h"

#define FIRST_ROOM 4096

struct reading {
	struct async_process_output output;
	size_t room;
};

struct process_talk {
	struct reading readings[3];
	bool under_way;       /* a task is in it */
	bool ended;           /* the child; then reading on has a deadline */
	async_time deadline;
	size_t size, written; /* of the input */
	char input[];
};

void process_talk_free(struct process_talk *talk)
{
	if (!talk)
		return;
	for (int i = 0; i < 3; i++)
		mem_free(talk->readings[i].output.data);
	mem_free(talk);
}

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

static int read_some(async_process *process, int which, size_t limit)
{
	struct reading *reading = &process->talk->readings[which];
	struct async_process_output *output = &reading->output;
	int error = make_room(reading);

	if (error)
		return error;
	ssize_t n = async_read(process->fds[which], output->data + output->size, reading->room - output->size - 1);
	if (n < 0)
		return (int)n;
	output->size += (size_t)n;
	output->data[output->size] = '\0';
	if (output->size > limit)
		return -EMSGSIZE;
	return n == 0 ? end_pipe(process, which) : 0;
}

static int write_some(async_process *process)
{
	struct process_talk *talk = process->talk;
	size_t left = talk->size - talk->written;
	/* A pipe that is ready has room for that much. */
	size_t part = left < PIPE_BUF ? left : PIPE_BUF;
	ssize_t n = part ? async_write(process->fds[0], talk->input + talk->written, part) : 0;

	if (n < 0 && n != -EPIPE)
		return (int)n;
	/* A child that does not read it has what it needs. */
	talk->written = n < 0 ? talk->size : talk->written + (size_t)n;
	return talk->written == talk->size ? end_pipe(process, 0) : 0;
}

/* The child has ended. Whoever else has the pipes gets the grace. */
static void begin_grace(async_process *process)
{
	process->talk->ended = true;
	process->talk->deadline = clock_add(async_loop_time(NULL), process->pipe_grace);
}

/* Reads no more than there is now: whoever else has the pipe may write on and on. */
static int read_rest(async_process *process, int which, size_t limit)
{
	const size_t *size = &process->talk->readings[which].output.size;
	int there = 0, error = 0;

	if (ioctl(process->fds[which], FIONREAD, &there) < 0)
		return -errno;
	for (size_t end = *size + (size_t)there; !error && *size < end;)
		error = read_some(process, which, limit);
	return error;
}

static int end_grace(async_process *process, size_t limit)
{
	int error = 0;

	for (int i = 0; i < 3 && !error; i++) {
		if (i > 0 && process->fds[i] >= 0)
			error = read_rest(process, i, limit);
		if (!error && process->fds[i] >= 0)
			error = end_pipe(process, i);
	}
	return error;
}

/* The three pipes, and behind them the end of the child, or the end of the grace. Returns how many pipes are open. */
static int set_cases(const async_process *process, struct async_select_case cases[4])
{
	int open = 0;

	for (int i = 0; i < 4; i++)
		cases[i] = (struct async_select_case){.kind = ASYNC_SELECT_NEVER};
	for (int i = 0; i < 3; i++) {
		if (process->fds[i] < 0)
			continue;
		cases[i] = (struct async_select_case)ASYNC_CASE_POLL(process->fds[i], i == 0 ? POLLOUT : POLLIN);
		open++;
	}
	if (process->talk->ended)
		cases[3] = (struct async_select_case)ASYNC_CASE_DEADLINE(process->talk->deadline);
	else if (process->pipe_grace != ASYNC_FOREVER)
		cases[3] = (struct async_select_case)ASYNC_CASE_POLL(process->exit_fd, POLLIN);
	return open;
}

static int transfer(async_process *process, size_t limit)
{
	struct async_select_case cases[4];
	int error = 0;

	/* An earlier call may have had a higher limit. */
	for (int i = 1; i < 3; i++)
		if (process->talk->readings[i].output.size > limit)
			error = -EMSGSIZE;
	while (!error && set_cases(process, cases) > 0) {
		/* The end of the child first: pipes that somebody fills are always ready. */
		intptr_t which = async_select_from(cases, 4, 3);

		if (which < 0)
			error = (int)which;
		else if (which == 0)
			error = write_some(process);
		else if (which < 3)
			error = read_some(process, (int)which, limit);
		else if (!process->talk->ended)
			begin_grace(process);
		else
			error = end_grace(process, limit);
	}
	return error;
}

/* Goes on with what was begun, or begins. */
static int begin(async_process *process, const void *input, size_t size)
{
	struct process_talk *talk = process->talk;

	if (talk)
		return talk->under_way ? -EBUSY : size ? -EALREADY : 0;
	talk = size > SIZE_MAX - sizeof(*talk) ? NULL : mem_zalloc(sizeof(*talk) + size);
	if (!talk)
		return -ENOMEM;
	talk->size = size;
	if (size)
		memcpy(talk->input, input, size);
	process->talk = talk;
	return 0;
}

static void give(struct reading *reading, struct async_process_output *ret_output)
{
	if (!ret_output)
		return;
	*ret_output = reading->output;
	reading->output.data = NULL;
}

int async_process_communicate(async_process *process, const void *input, size_t size, size_t limit,
			      struct async_process_output *ret_output, struct async_process_output *ret_errors)
{
	if (!process || (size && !input))
		return -EINVAL;
	int error = process_check(process);
	if (!error)
		error = begin(process, input, size);
	if (error)
		return error;
	struct process_talk *talk = process->talk;
	talk->under_way = true;
	int status = transfer(process, limit);
	if (status == 0)
		status = async_process_wait(process);
	talk->under_way = false;
	if (status < 0)
		return status;
	process->talk = NULL;
	give(&talk->readings[1], ret_output);
	give(&talk->readings[2], ret_errors);
	process_talk_free(talk);
	return status;
}
