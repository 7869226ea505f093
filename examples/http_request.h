/* SPDX-License-Identifier: MIT */
/*
 * Takes the head of an HTTP request apart, for httpd. What two programs could read differently is refused: else what is
 * one request for us might be two for a proxy before us.
 */
#ifndef EXAMPLES_HTTP_REQUEST_H
#define EXAMPLES_HTTP_REQUEST_H

#include <ctype.h>
#include <http_parser.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX 8192
#define HEX_DIGITS "0123456789ABCDEFabcdef"

enum field { HOST, RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, FIELDS };

struct request {
	char path[HEAD_MAX + sizeof("index.html")]; /* decoded, without the first slash */
	const char *values[FIELDS];                 /* within the head; NULL: not there */
	size_t sizes[FIELDS];
	int field; /* whose value comes next; FIELDS: none that we know, -1: it has come */
	bool complete, keep_alive;
};

static int on_url(http_parser *parser, const char *url, size_t size)
{
	char *path = ((struct request *)parser->data)->path, *to = path;
	struct http_parser_url parts = {0};

	if (http_parser_parse_url(url, size, parser->method == HTTP_CONNECT, &parts))
		return -1;
	/* There may be a scheme and a host before it; the query behind it is for nobody here. */
	const char *from = url + parts.field_data[UF_PATH].off, *end = from + parts.field_data[UF_PATH].len;
	if (from < end && *from == '/')
		from++;
	for (; from < end; from++, to++) {
		*to = *from;
		if (*from == '%') {
			if (end - from < 3 || strspn(from + 1, HEX_DIGITS) < 2)
				return -1;
			*to = (char)strtoul((char[]){from[1], from[2], '\0'}, NULL, 16);
			from += 2;
		}
		if (*to == '\0')
			return -1;
	}
	strcpy(to, to == path || to[-1] == '/' ? "index.html" : "");
	return 0;
}

static int on_field(http_parser *parser, const char *name, size_t size)
{
	static const char *const names[FIELDS] = {
		"Host", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"};
	struct request *request = parser->data;
	int field = 0;

	while (field < FIELDS && (strlen(names[field]) != size || strncasecmp(names[field], name, size)))
		field++;
	request->field = field;
	return 0;
}

static int on_value(http_parser *parser, const char *value, size_t size)
{
	struct request *request = parser->data;
	int field = request->field;

	/* A value that goes on in another line, and a field that is there twice, are read differently by others. */
	if (field < 0 || (field < FIELDS && request->values[field]))
		return -1;
	request->field = -1;
	while (size > 0 && isblank(value[size - 1]))
		size--;
	if (field < FIELDS) {
		request->values[field] = value;
		request->sizes[field] = size;
	}
	return 0;
}

static int on_complete(http_parser *parser)
{
	struct request *request = parser->data;

	request->complete = true;
	request->keep_alive = http_should_keep_alive(parser);
	/* Whatever comes behind it in what is the head for us is an error. */
	http_parser_pause(parser, 1);
	return 0;
}

/* Whether a field has a name that ends in a space, which some take for the name without it. */
static bool has_spaced_name(const char *head, size_t size)
{
	bool in_name = false; /* not in the first line, which has none */

	for (size_t i = 1; i < size; i++) {
		in_name = in_name || head[i - 1] == '\n';
		if (head[i] != ':' || !in_name)
			continue;
		if (isblank(head[i - 1]))
			return true;
		in_name = false;
	}
	return false;
}

static bool is_host(const char *text)
{
	return text[strcspn(text, " \t\"#/<>?@\\^`{|}")] == '\0';
}

/* Takes a head apart, in which the values are given an end. Returns: 0, or the status with which it is refused. */
static int parse_request(char *head, size_t size, http_parser *parser, struct request *request)
{
	static const http_parser_settings settings = {.on_url = on_url, .on_header_field = on_field,
						      .on_header_value = on_value, .on_message_complete = on_complete};

	*request = (struct request){.field = FIELDS};
	/* An empty line before a request is nothing; more of them are no request. */
	if (memchr(head, '\0', size) || has_spaced_name(head, size) || (size >= 4 && memcmp(head, "\r\n\r\n", 4) == 0))
		return 400;
	http_parser_init(parser, HTTP_REQUEST);
	parser->data = request;
	bool whole = http_parser_execute(parser, &settings, head, size) == size;
	if (!whole || (parser->http_errno != HPE_OK && parser->http_errno != HPE_PAUSED))
		return request->keep_alive = false, 400;
	for (int i = 0; i < FIELDS; i++)
		if (request->values[i])
			head[request->values[i] - head + (ptrdiff_t)request->sizes[i]] = '\0';
	if (parser->http_major != 1)
		return request->keep_alive = false, 505;
	if (parser->method != HTTP_GET && parser->method != HTTP_HEAD)
		return 405;
	/* One with a body is not complete here. */
	if (!request->complete || (parser->http_minor > 0 && !request->values[HOST]) ||
	    (request->values[HOST] && !is_host(request->values[HOST])))
		return request->keep_alive = false, 400;
	return 0;
}

#endif
