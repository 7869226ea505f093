/* SPDX-License-Identifier: MIT */
/* What a worker process does: reads a request, calls the function, writes the response, until the channel closes. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "context/exceptions.h"
#include "context/fpenv.h"
#include "executor/process_pool.h"

struct async_reply {
	char *bytes;
	size_t size, capacity;
};

int async_reply_write(async_reply *reply, const void *bytes, size_t size)
{
	if (!reply || (!bytes && size > 0))
		return -EINVAL;
	if (size > ASYNC_PROCESS_BYTES_MAX - reply->size)
		return -EMSGSIZE;
	if (size > reply->capacity - reply->size) {
		size_t twice = 2 * reply->capacity, needed = reply->size + size;
		size_t capacity = twice > needed ? twice : needed;
		char *grown = mem_realloc_array(reply->bytes, capacity, 1);

		if (!grown)
			return -ENOMEM;
		reply->bytes = grown;
		reply->capacity = capacity;
	}
	if (size > 0)
		memcpy(reply->bytes + reply->size, bytes, size);
	reply->size += size;
	return 0;
}

/* Nobody is left who could use this process. No handlers of exit(3) and no buffers: they are the parent's. */
static _Noreturn void leave(int status)
{
	_exit(status);
}

static void read_all(int fd, void *buffer, size_t size)
{
	while (size > 0) {
		long got = SYS("recv", recv(fd, buffer, size, MSG_WAITALL));

		if (got == -EINTR)
			continue;
		if (got <= 0)
			leave(got < 0);
		buffer = (char *)buffer + got;
		size -= (size_t)got;
	}
}

static void write_all(int fd, const void *bytes, size_t size)
{
	while (size > 0) {
		long sent = SYS("send", send(fd, bytes, size, MSG_NOSIGNAL));

		if (sent == -EINTR)
			continue;
		if (sent < 0)
			leave(1);
		bytes = (const char *)bytes + sent;
		size -= (size_t)sent;
	}
}

/* Without memory the bytes must leave the channel all the same. */
static void waste(int fd, size_t size)
{
	char buffer[4096];

	for (size_t left = size; left > 0;) {
		size_t piece = left < sizeof(buffer) ? left : sizeof(buffer);

		read_all(fd, buffer, piece);
		left -= piece;
	}
}

static intptr_t serve(int fd, const struct process_request *request, async_reply *reply)
{
	if (!request->process_fn)
		return FENCED_VALUE(request->fn(request->arg));
	void *bytes = mem_alloc(request->size > 0 ? request->size : 1);
	if (!bytes) {
		waste(fd, request->size);
		return -ENOMEM;
	}
	read_all(fd, bytes, request->size);
	intptr_t value = FENCED_VALUE(request->process_fn(bytes, request->size, reply));
	mem_free(bytes);
	return value;
}

_Noreturn void process_worker_run(struct process_pool *pool, size_t slot, int fd)
{
	char name[2 * PROCESS_NAME_MAX];

	snprintf(name, sizeof(name), "%s-%zu", pool->name, slot);
	prctl(PR_SET_NAME, name);
	/* The fork server may have died before the request for the signal. */
	if (SYS("prctl", prctl(PR_SET_PDEATHSIG, SIGKILL)) < 0 || getppid() != pool->server)
		leave(1);
	if (pool->initializer && FENCED_VALUE(pool->initializer(pool->initializer_arg)) < 0)
		leave(1);
	job_set_cancel_flag(&pool->cancelled[slot]);
	for (;;) {
		async_reply reply = {0};
		struct process_request request;

		read_all(fd, &request, sizeof(request));
		uint32_t own = fpenv_exchange(request.fpenv);
		struct process_response response = {.id = request.id, .value = serve(fd, &request, &reply)};
		fpenv_exchange(own);
		if (response.value >= 0)
			response.size = reply.size;
		/* What a job printed is there before its result. */
		fflush(stdout);
		write_all(fd, &response, sizeof(response));
		write_all(fd, reply.bytes, response.size);
		mem_free(reply.bytes);
	}
}
