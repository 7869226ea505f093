/* SPDX-License-Identifier: MIT */
/*
 * Serves the files of a directory over HTTP/1.1: keep-alive, pipelining, HEAD, ranges, If-Modified-Since.
 *
 * DESIGN. A task for each connection reads the head of a request, has http_parser take it apart in the stream's buffer,
 * answers, and reads the next. Bodies go from file to socket inside the kernel. A name is followed a step at a time,
 * and no step may be .. or a symbolic link: so it cannot lead out of the directory.
 */
#include <async.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HTTP_DATE "%a, %d %b %Y %H:%M:%S GMT"

struct request {
	char path[8192 + sizeof("index.html")]; /* decoded, without the first slash */
	bool complete, is_head, keep_alive;
};

static int on_url(http_parser *parser, const char *url, size_t size)
{
	char *path = ((struct request *)parser->data)->path, *to = path;

	for (const char *from = url + 1; from < url + size && *from != '?'; from++, to++) {
		*to = *from;
		if (*from == '%') {
			if (strspn(from + 1, "0123456789ABCDEFabcdef") < 2)
				return -1;
			*to = (char)strtoul((char[]){from[1], from[2], '\0'}, NULL, 16);
			from += 2;
		}
	}
	strcpy(to, to == path || to[-1] == '/' ? "index.html" : "");
	return *url == '/' ? 0 : -1;
}

static int on_complete(http_parser *parser)
{
	struct request *request = parser->data;

	request->complete = true;
	request->keep_alive = http_should_keep_alive(parser);
	return 0;
}

static int send_head(async_stream *stream, const struct request *request, int status, const char *more, off_t size)
{
	char date[64];

	strftime(date, sizeof(date), "Date: " HTTP_DATE, gmtime(&(time_t){time(NULL)}));
	return async_stream_printf(stream, "HTTP/1.1 %d %s\r\n%s\r\nConnection: %s\r\n%sContent-Length: %lld\r\n\r\n",
				   status, http_status_str(status), date, request->keep_alive ? "keep-alive" : "close",
				   more, (long long)size);
}

/* Returns: 206 with the range, or 416, and what says so; 200 if nothing is asked for that we understand. */
static int choose_range(const char *head, off_t size, off_t *ret_first, off_t *ret_count, char *ret_line)
{
	const char *range = strcasestr(head, "\nRange:");
	long long first, last = INT64_MAX;
	char dash, rest;
	int fields = range ? sscanf(range, "%*[^:]: bytes=%lld%c%lld%c", &first, &dash, &last, &rest) : 0;

	if (fields >= 2 && first < 0 && dash == '\r')
		first = first > -size ? size + first : 0;
	else if (fields < 2 || first < 0 || dash != '-' || last < first || (fields == 4 && rest != '\r'))
		return 200;
	if (first >= size)
		return sprintf(ret_line, "Content-Range: bytes */%lld\r\n", (long long)size), 416;
	last = last < size ? last : size - 1;
	sprintf(ret_line, "Content-Range: bytes %lld-%lld/%lld\r\n", first, last, (long long)size);
	*ret_first = first;
	*ret_count = last + 1 - first;
	return 206;
}

static int send_file(async_stream *stream, struct request *request, const char *head, int file, const struct stat *stat)
{
	const char *since = strcasestr(head, "\nIf-Modified-Since:");
	char more[256];
	size_t length = strftime(more, sizeof(more), "Last-Modified: " HTTP_DATE "\r\n", gmtime(&stat->st_mtime));
	off_t first = 0, count = stat->st_size;
	struct tm tm = {0};
	bool fresh = since && strptime(strchr(since, ':') + 1, " " HTTP_DATE, &tm) && timegm(&tm) >= stat->st_mtime;
	int status = fresh ? 304 : choose_range(head, stat->st_size, &first, &count, more + length);
	int error = send_head(stream, request, status, more, status == 416 ? 0 : count);
	if (error || request->is_head || status == 304 || status == 416)
		return error;
	/* All that the stream has is sent before the kernel is told to send the file. */
	error = async_stream_drain(stream);
	for (ssize_t sent; error == 0 && count > 0; count -= sent) {
		sent = async_sendfile(async_stream_fd(stream), file, &first, (size_t)count);
		/* 0: the file was cut short. What was promised cannot come, and the client must notice. */
		error = sent > 0 ? 0 : sent < 0 ? (int)sent : -EPIPE;
	}
	return error;
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
	static const http_parser_settings settings = {.on_url = on_url, .on_message_complete = on_complete};
	struct request request = {0};
	http_parser parser = {.data = &request};
	struct async_timeout idle = ASYNC_TIMEOUT_INIT;
	struct stat stat;
	char *head = NULL;

	async_timeout_begin(&idle, 15 * ASYNC_S);
	intptr_t size = async_timeout_end(&idle, async_stream_readuntil(stream, "\r\n\r\n", 4, &head));
	if (size <= 0 && size != -EMSGSIZE)
		return size;
	http_parser_init(&parser, HTTP_REQUEST);
	http_parser_execute(&parser, &settings, head, size > 0 ? (size_t)size : 0);
	request.is_head = parser.method == HTTP_HEAD;
	/* A request with a body is not complete here: it is the last, and refused. */
	int status = size < 0 ? 431 : parser.http_errno ? 400
		     : parser.method != HTTP_GET && !request.is_head ? 405 : request.complete ? 404 : 400;
	int file = status == 404 ? open_beneath(request.path) : -ENOENT;
	int error = file < 0 ? file : async_fstat(file, &stat);
	if (error == 0 && S_ISREG(stat.st_mode)) {
		head[size - 1] = '\0';
		error = send_file(stream, &request, head, file, &stat);
	} else if (error != -ECANCELED) {
		error = send_head(stream, &request, error == -EACCES ? 403 : status,
				  status == 405 ? "Allow: GET, HEAD\r\n" : "", 0);
	}
	int closed = file < 0 ? 0 : async_close(file);
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
	struct async_stream_options streams = {.size = sizeof(streams), .limit = 8192, .high_water = 1};
	struct async_server_options options = {.size = sizeof(options), .max_connections = 1000, .stream = &streams};
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

int main(int argc, char **argv)
{
	if (argc != 4)
		errx(2, "usage: httpd HOST PORT DIRECTORY    (PORT 0: one that is free)");
	if (chdir(argv[3]) < 0)
		err(1, "%s", argv[3]);
	intptr_t result = async_run(main_task, argv + 1);
	if (result < 0 && result != -EINTR)
		errx(1, "%s:%s: %s", argv[1], argv[2], strerror((int)-result));
	return 0;
}
