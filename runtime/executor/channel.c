/* SPDX-License-Identifier: MIT */
/* The manager's end of the socket to a worker: a request and its response, in as many pieces as it takes. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/memory.h"
#include "executor/process_pool.h"

void channel_reset(struct channel *channel)
{
	mem_free(channel->result);
	channel->result = NULL;
	channel->request.size = 0;
	channel->sent = sizeof(channel->request);
	channel->received = 0;
}

void channel_begin(struct channel *channel, uint64_t id)
{
	struct executor_job *job = channel->job;

	channel_reset(channel);
	channel->request = (struct process_request){
		.id = id, .fn = job->fn, .arg = job->arg, .fpenv = job->fpenv};
	channel->bytes = "";
	if (!job->fn) {
		struct process_job *mine = process_job_of(job);

		channel->request.process_fn = mine->fn;
		channel->request.size = mine->size;
		if (mine->size > 0)
			channel->bytes = mine->bytes;
	}
	channel->sent = 0;
}

static bool would_wait(long error)
{
	return error == -EAGAIN || error == -EINTR;
}

int channel_write(struct channel *channel)
{
	const size_t header = sizeof(channel->request);

	while (channel_sending(channel)) {
		size_t of_header = channel->sent < header ? channel->sent : header;
		size_t of_bytes = channel->sent - of_header;
		struct iovec parts[] = {
			{(char *)&channel->request + of_header, header - of_header},
			{(char *)channel->bytes + of_bytes, channel->request.size - of_bytes},
		};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
		long sent = SYS("sendmsg", sendmsg(channel->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));

		if (sent < 0)
			return would_wait(sent) ? 0 : (int)sent;
		channel->sent += (size_t)sent;
	}
	return 0;
}

/* The size of the bytes is known. Without memory they are received all the same, and thrown away. */
static int prepare_result(struct channel *channel)
{
	const struct process_response *response = &channel->response;

	if (channel->state != CHANNEL_BUSY || channel_sending(channel) || response->id != channel->request.id)
		return -EPROTO;
	if (response->size > (channel->request.process_fn && response->value >= 0 ? ASYNC_PROCESS_BYTES_MAX : 0))
		return -EPROTO;
	if (channel->request.process_fn && channel->response.value >= 0)
		channel->result = mem_alloc(sizeof(*channel->result) + channel->response.size);
	return 0;
}

int channel_read(struct channel *channel)
{
	const size_t header = sizeof(channel->response);
	char waste[4096];

	for (;;) {
		size_t got = channel->received, left = header - got;
		char *to = (char *)&channel->response + got;

		if (got >= header) {
			left = channel->response.size - (got - header);
			if (left == 0)
				return 1;
			to = channel->result ? channel->result->bytes + (got - header) : waste;
			if (!channel->result && left > sizeof(waste))
				left = sizeof(waste);
		}
		long received = SYS("recv", recv(channel->fd, to, left, MSG_DONTWAIT));
		if (received < 0)
			return would_wait(received) ? 0 : (int)received;
		if (received == 0)
			return -EPIPE;
		channel->received += (size_t)received;
		int error = channel->received == header ? prepare_result(channel) : 0;
		if (error)
			return error;
	}
}

intptr_t channel_result(struct channel *channel)
{
	struct async_process_result *result = channel->result;

	if (channel->response.value < 0 || !channel->request.process_fn)
		return channel->response.value;
	if (!result)
		return -ENOMEM;
	result->value = channel->response.value;
	result->size = channel->response.size;
	channel->result = NULL;
	return (intptr_t)result;
}
