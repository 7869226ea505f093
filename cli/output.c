/* SPDX-License-Identifier: MIT */
/*
 * DESIGN: stdio is not used for results. Its errors come late and once, it knows nothing of a reader that does not
 * read, and it wants more stack than a small task has. Before each write the descriptor is polled together with
 * the stop descriptor, so that Ctrl-C works while a full pipe holds the command.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"
#include "stop.h"

#define AFTER_STOP_MS 300

static struct {
	pthread_mutex_t lock;
	char buffer[4096]; /* a pipe that polls writable takes as much without blocking */
	size_t used;
	int error;
} output = {.lock = PTHREAD_MUTEX_INITIALIZER};

void output_open(void)
{
	/* Opened the wrong way round, so that using them still fails with EBADF. Nothing else may get these
	 * numbers: results would be written into it. */
	static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};

	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
			_exit(1);
	}
	signal(SIGPIPE, SIG_IGN);
}

/* Waits until standard output can be written. Returns: 0 or -errno. */
static int wait_writable(void)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = STDOUT_FILENO, .events = POLLOUT}, {.fd = stop_fd(), .events = POLLIN}};
		bool stopping = stop_requested();
		int ready = poll(fds, stopping ? 1 : 2, stopping ? AFTER_STOP_MS : -1);

		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready > 0 && fds[0].revents)
			return 0;
		if (ready == 0)
			return -EINTR;
	}
}

static int write_all(const char *text, size_t size)
{
	while (size) {
		int error = wait_writable();
		ssize_t written = error < 0 ? -1 : write(STDOUT_FILENO, text, size);

		if (error < 0)
			return error;
		if (written < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (written > 0) {
			text += written;
			size -= (size_t)written;
		}
	}
	return 0;
}

static void flush_locked(void)
{
	if (output.used && !output.error) {
		progress_hide();
		output.error = write_all(output.buffer, output.used);
		if (output.error)
			stop_request(STOP_OUTPUT);
	}
	output.used = 0;
}

void output_flush(void)
{
	pthread_mutex_lock(&output.lock);
	flush_locked();
	pthread_mutex_unlock(&output.lock);
}

void output_printf(const char *format, ...)
{
	va_list list;
	size_t room;
	int length;

	pthread_mutex_lock(&output.lock);
	for (int attempt = 0; attempt < 2; attempt++) {
		room = sizeof(output.buffer) - output.used;
		va_start(list, format);
		length = vsnprintf(output.buffer + output.used, room, format, list);
		va_end(list);
		if (length >= 0 && (size_t)length < room) {
			output.used += (size_t)length;
			break;
		}
		flush_locked();
	}
	pthread_mutex_unlock(&output.lock);
}

bool output_finish(void)
{
	output_flush();
	if (!output.error)
		return true;
	if (output.error != -EINTR)
		complain_line("cannot write to standard output: %s", strerror(-output.error));
	return false;
}

static void write_stderr(const char *text, size_t size)
{
	progress_hide();
	while (size) {
		ssize_t written = write(STDERR_FILENO, text, size);

		/* Nobody is left who could be told. */
		if (written < 0 && errno != EINTR)
			return;
		if (written > 0) {
			text += written;
			size -= (size_t)written;
		}
	}
}

static void vnote_line(const char *prefix, const char *format, va_list list)
{
	char line[1024];
	int start = snprintf(line, sizeof(line), "%s", prefix);
	int length = vsnprintf(line + start, sizeof(line) - (size_t)start, format, list);
	size_t end = (size_t)start + (length > 0 ? (size_t)length : 0);

	if (end > sizeof(line) - 1)
		end = sizeof(line) - 1;
	line[end++] = '\n';
	write_stderr(line, end);
}

void note_line(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vnote_line("", format, list);
	va_end(list);
}

void complain_line(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vnote_line("asyncctl: ", format, list);
	va_end(list);
}

static void json_separate(struct json *json)
{
	if (json->separate)
		output_printf(", ");
	json->separate = true;
}

void json_open(struct json *json, char bracket)
{
	json_separate(json);
	output_printf("%c", bracket);
	json->separate = false;
}

void json_close(struct json *json, char bracket)
{
	output_printf("%c", bracket);
	json->separate = true;
}

/* The length of the UTF-8 sequence at `text`, 0 if it is none. */
static size_t utf8_length(const unsigned char *text)
{
	size_t length = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;

	if (text[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] >= 0xa0) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] >= 0x90))
		return 0;
	return length;
}

static void write_escaped(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		size_t length = utf8_length(p);

		if (*p == '"' || *p == '\\')
			output_printf("\\%c", *p);
		else if (*p < 0x20)
			output_printf("\\u%04x", *p);
		else if (length)
			output_printf("%.*s", (int)length, (const char *)p);
		else
			output_printf("\\ufffd");
		p += length ? length : 1;
	}
}

void json_string(struct json *json, const char *text)
{
	json_separate(json);
	output_printf("\"");
	write_escaped(text);
	output_printf("\"");
}

void json_name(struct json *json, const char *name)
{
	json_string(json, name);
	output_printf(": ");
	json->separate = false;
}

void json_uint(struct json *json, uint64_t value)
{
	json_separate(json);
	output_printf("%llu", (unsigned long long)value);
}

void json_real(struct json *json, double value, int digits)
{
	if (!isfinite(value)) {
		json_null(json);
		return;
	}
	json_separate(json);
	output_printf("%.*f", digits, value);
}

void json_bool(struct json *json, bool value)
{
	json_separate(json);
	output_printf(value ? "true" : "false");
}

void json_null(struct json *json)
{
	json_separate(json);
	output_printf("null");
}
