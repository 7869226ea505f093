/* SPDX-License-Identifier: MIT */
#include <async/connection.h>

#include <netdb.h>

#include <async/io.h>
#include <async/resolve.h>
#include <async/socket.h>

#include "base/own_fd.h"
#include "base/versioned.h"
#include "net/eyeballs.h"

#define ATTEMPT_DELAY_DEFAULT (250 * ASYNC_MS)
#define ATTEMPT_DELAY_MIN (10 * ASYNC_MS)
#define ATTEMPT_DELAY_MAX (2 * ASYNC_S)

static int read_options(const struct async_connection_options *given, struct async_connection_options *ret_options)
{
	struct async_connection_options options = ASYNC_CONNECTION_OPTIONS_INIT;
	int error = given ? versioned_copy(&options, sizeof(options), given) : 0;

	if (error)
		return error;
	if (options.attempt_delay == 0)
		options.attempt_delay = ATTEMPT_DELAY_DEFAULT;
	if (options.attempt_delay < ATTEMPT_DELAY_MIN || options.attempt_delay > ATTEMPT_DELAY_MAX)
		return -EINVAL;
	*ret_options = options;
	return 0;
}

/* A socket that is connected, or why there is none. */
static int connect_by_name(const char *host, const char *service, const struct async_connection_options *options)
{
	struct addrinfo hints = {.ai_family = options->family, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list, *local = NULL;

	if (!service)
		return -EINVAL;
	int fd = async_resolve(host, service, &hints, &list);
	if (fd < 0)
		return fd;
	if (options->local_host || options->local_service) {
		/* Without a host: any address, where otherwise it would be the loopback. */
		hints.ai_flags = AI_PASSIVE;
		fd = async_resolve(options->local_host, options->local_service, &hints, &local);
	}
	if (fd == 0)
		fd = eyeballs_connect(list, local, options->attempt_delay);
	if (local)
		freeaddrinfo(local);
	freeaddrinfo(list);
	return fd;
}

int async_create_connection(const char *host, const char *service, const struct async_connection_options *given)
{
	struct async_connection_options options;
	int error = read_options(given, &options);

	return error ? error : connect_by_name(host, service, &options);
}

/* The stream over a socket that is connected, or the error instead of it. */
static int open_stream(int fd, const struct async_connection_options *options, async_stream **ret_stream)
{
	if (fd < 0)
		return fd;
	int error = async_stream_open(fd, options->stream, ret_stream);
	if (error)
		(void)!async_close(fd);
	return error;
}

int async_open_connection(const char *host, const char *service, const struct async_connection_options *given,
			  async_stream **ret_stream)
{
	struct async_connection_options options;
	int error = ret_stream ? read_options(given, &options) : -EINVAL;

	return error ? error : open_stream(connect_by_name(host, service, &options), &options, ret_stream);
}

static int connect_to_path(const char *path)
{
	struct sockaddr_un address;
	int size = async_unix_address(path, &address);
	int fd = size < 0 ? size : own_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return fd;
	int error = async_connect(fd, (struct sockaddr *)&address, (socklen_t)size);
	if (error == 0)
		return fd;
	(void)!async_close(fd);
	return error;
}

int async_open_unix_connection(const char *path, const struct async_connection_options *given,
			       async_stream **ret_stream)
{
	struct async_connection_options options;
	int error = ret_stream ? read_options(given, &options) : -EINVAL;

	return error ? error : open_stream(connect_to_path(path), &options, ret_stream);
}
