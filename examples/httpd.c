/* SPDX-License-Identifier: MIT */
/*
 * Serves the files of a directory over HTTP/1.1: keep-alive, pipelining, HEAD, ranges, conditions.
 *
 * DESIGN. A task for each connection reads the head of a request, has it taken apart in the stream's buffer, answers,
 * and reads the next. Bodies go from file to socket inside the kernel. A name is followed a step at a time, and no step
 * may be .. or a symbolic link: so it cannot lead out of the directory. A client has limited time to ask, and to take
 * the answer; and when all places are taken, those who do neither make room.
 */
#include <async.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "http_conditions.h"

/* What has to be sent within a time, and so much may be unsent while the next request is looked at. */
#define PROGRESS 65536

static struct {
	int64_t connections;
	async_time idle, send, still;
} limits = {1000, 15 * ASYNC_S, 30 * ASYNC_S, ASYNC_S};

/* Sends what the stream holds and then a part of a file, unless the client takes too long to take it. */
static int send_within_limit(async_stream *stream, int file, off_t first, off_t count)
{
	struct async_timeout limit = ASYNC_TIMEOUT_INIT;
	ssize_t sent, moved = 0;
	int error = async_timeout_begin(&limit, limits.send);

	if (error)
		return error;
	for (error = async_stream_drain(stream); error == 0 && count > 0; count -= sent) {
		sent = async_sendfile(async_stream_fd(stream), file, &first, (size_t)count);
		/* 0: the file was cut short. What was promised cannot come, and the client must notice. */
		error = sent > 0 ? 0 : sent < 0 ? (int)sent : -EPIPE;
		moved += sent;
		if (moved >= PROGRESS)
			moved = async_timeout_reschedule(&limit, async_loop_time(NULL) + limits.send);
	}
	return (int)async_timeout_end(&limit, error);
}

static int send_head(async_stream *stream, const struct request *request, int status, const char *more, off_t size)
{
	char date[64];

	strftime(date, sizeof(date), "Date: " HTTP_DATE, gmtime(&(time_t){time(NULL)}));
	return async_stream_printf(stream, "HTTP/1.1 %d %s\r\n%s\r\nConnection: %s\r\n%sContent-Length: %lld\r\n\r\n",
				   status, http_status_str(status), date, request->keep_alive ? "keep-alive" : "close",
				   more, (long long)size);
}

static int send_file(async_stream *stream, const struct request *request, bool is_head, int file,
		     const struct stat *stat)
{
	struct version version;
	off_t first = 0, count = stat->st_size;
	char fields[ANSWER_FIELDS_MAX];

	describe_version(stat, &version);
	int status = check_conditions(request, &version);
	if (status == 200 && !is_head)
		status = choose_range(request, &version, &first, &count);
	write_fields(status, &version, first, count, fields);
	int error = send_head(stream, request, status, fields, status >= 400 ? 0 : count);
	if (error || is_head || status == 304 || status >= 400)
		return error;
	return send_within_limit(stream, file, first, count);
}

static int open_beneath(char *path)
{
	char *rest;
	int fd = AT_FDCWD, directory = fd, flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;

	for (char *name = strtok_r(path, "/", &rest); name; name = strtok_r(NULL, "/", &rest), directory = fd) {
		fd = strcmp(name, "..") ? async_openat(directory, name, flags, 0) : -ENOENT;
		if (directory >= 0)
			close(directory);
		if (fd < 0)
			break;
	}
	return fd;
}

/* Returns: 1 if more may follow, 0, an error. */
static intptr_t answer_next(async_stream *stream)
{
	struct async_timeout idle = ASYNC_TIMEOUT_INIT;
	struct request request = {0};
	http_parser parser;
	struct stat stat;
	char *head = NULL;
	intptr_t size = async_timeout_begin(&idle, limits.idle);

	if (size == 0)
		size = async_timeout_end(&idle, async_stream_readuntil(stream, "\r\n\r\n", 4, &head));
	/* Who has all that it asked for, and asks no more, is told goodbye. */
	if (size == -ETIMEDOUT && async_stream_unsent(stream) == 0 && async_stream_buffered(stream) == 0)
		return 0;
	if (size <= 0 && size != -EMSGSIZE)
		return size;
	int status = size < 0 ? 431 : parse_request(head, (size_t)size, &parser, &request);
	int file = status == 0 ? open_beneath(request.path) : -ENOENT;
	int error = file < 0 ? file : async_fstat(file, &stat);
	if (error == 0 && S_ISREG(stat.st_mode))
		error = send_file(stream, &request, parser.method == HTTP_HEAD, file, &stat);
	else if (error != -ECANCELED)
		error = send_head(stream, &request, status ? status : error == -EACCES ? 403 : 404,
				  status == 405 ? "Allow: GET, HEAD\r\n" : "", 0);
	int closed = file < 0 ? 0 : async_close(file);
	if (error == 0 && (!request.keep_alive || async_stream_unsent(stream) > PROGRESS))
		error = send_within_limit(stream, -1, 0, 0);
	return error ? error : closed ? closed : request.keep_alive;
}

static intptr_t serve(async_stream *stream, void *arg)
{
	intptr_t result = 1;

	(void)arg;
	while (result > 0)
		result = answer_next(stream);
	return result;
}

static intptr_t main_task(void *arg)
{
	/* With this high_water a drain waits until everything is sent. */
	struct async_stream_options streams = {.size = sizeof(streams), .limit = HEAD_MAX, .high_water = 1};
	struct async_server_options options = {.size = sizeof(options), .stream = &streams,
					       .max_connections = (size_t)limits.connections,
					       .evict_after = limits.still};
	struct async_timeout grace = ASYNC_TIMEOUT_INIT;
	struct sockaddr_in6 address; /* IPv4 has its port in the same place */
	socklen_t size = sizeof(address);
	char **names = arg;
	async_server *server;
	intptr_t error = async_start_server(names[0], names[1], serve, NULL, &options, &server);

	if (error)
		return error;
	async_server_address(server, 0, (struct sockaddr *)&address, &size);
	dprintf(STDOUT_FILENO, "listening on %s:%d\n", names[0], ntohs(address.sin6_port));
	/* SIGINT cancels this task, which ends the wait as well. */
	int number = async_signal_wait((int[]){SIGTERM}, 1);
	async_timeout_begin(&grace, 2 * ASYNC_S);
	error = async_timeout_end(&grace, async_server_close(server));
	return number < 0 ? number : error == -ETIMEDOUT ? 0 : error;
}

static void usage(void)
{
	errx(2, "usage: httpd [-c CONNECTIONS] [-i IDLE] [-s SEND] [-e STILL] HOST PORT DIRECTORY\n"
		"       PORT 0: one that is free; -c: how many are served at once (default 1000)\n"
		"       seconds: -i: until a request has come (15); -s: until 64 KiB of an answer are taken (30);\n"
		"       -e: until one that stands still makes room, if others wait (1)");
}

/* A number above 0, in parts of 1 / `unit`. */
static int64_t read_limit(int option, const char *text, int64_t unit)
{
	char *end;
	double value = strtod(text, &end) * (double)unit;

	if (end == text || *end || !(value >= 1 && value <= 1e15))
		errx(2, "-%c: '%s' is refused; expected a number above 0", option, text);
	return (int64_t)value;
}

int main(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "c:i:s:e:")) != -1;) {
		int64_t *limit = option == 'c' ? &limits.connections : option == 'i' ? &limits.idle
				 : option == 's' ? &limits.send : &limits.still;

		if (option == '?')
			usage();
		*limit = read_limit(option, optarg, option == 'c' ? 1 : ASYNC_S);
	}
	argv += optind;
	if (argc - optind != 3)
		usage();
	if (chdir(argv[2]) < 0)
		err(1, "%s", argv[2]);
	intptr_t result = async_run(main_task, argv);
	if (result < 0 && result != -EINTR)
		errx(1, "%s:%s: %s", argv[0], argv[1], strerror((int)-result));
	return 0;
}
