/* SPDX-License-Identifier: MIT */
/* Says whether a file is due, and which part of it, for httpd. Numbers of sections are those of RFC 9110. */
#ifndef EXAMPLES_HTTP_CONDITIONS_H
#define EXAMPLES_HTTP_CONDITIONS_H

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "http_request.h"

#define ANSWER_FIELDS_MAX 320
#define HTTP_DATE "%a, %d %b %Y %H:%M:%S GMT"

/* Of a file, as it is now. */
struct version {
	char tag[64], date[32];
	time_t modified;
	off_t size;
	bool strong; /* what was changed a moment ago may be changed again in the same second: 8.8.2.2 */
};

static void describe_version(const struct stat *stat, struct version *version)
{
	version->modified = stat->st_mtime;
	version->size = stat->st_size;
	version->strong = time(NULL) - stat->st_mtime > 1;
	snprintf(version->tag, sizeof(version->tag), "%s\"%llx.%lx-%llx\"", version->strong ? "" : "W/",
		 (long long)stat->st_mtime, stat->st_mtim.tv_nsec, (long long)stat->st_size);
	strftime(version->date, sizeof(version->date), HTTP_DATE, gmtime(&stat->st_mtime));
}

/* In any of the forms of 5.6.7. */
static bool parse_date(const char *text, time_t *ret_time)
{
	static const char *const forms[] = {HTTP_DATE, "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"};

	for (size_t i = 0; text && i < 3; i++) {
		struct tm tm = {0};
		const char *end = strptime(text, forms[i], &tm);
		if (end && !*end)
			return *ret_time = timegm(&tm), true;
	}
	return false;
}

/* Whether a list of tags has the one of this version. */
static bool has_tag(const char *list, const struct version *version, bool strong)
{
	const char *opaque = strchr(version->tag, '"');

	if (strcmp(list, "*") == 0)
		return true;
	for (const char *at = list; (at = strstr(at, opaque)); at++)
		if (!strong || (version->strong && (at < list + 2 || at[-1] != '/' || at[-2] != 'W')))
			return true;
	return false;
}

/* 13.2.2. Returns: 200, 304, 412. */
static int check_conditions(const struct request *request, const struct version *version)
{
	const char *const *values = request->values;
	time_t when;

	if (values[IF_MATCH] ? !has_tag(values[IF_MATCH], version, true)
			     : parse_date(values[IF_UNMODIFIED_SINCE], &when) && version->modified > when)
		return 412;
	if (values[IF_NONE_MATCH] ? has_tag(values[IF_NONE_MATCH], version, false)
				  : parse_date(values[IF_MODIFIED_SINCE], &when) && version->modified <= when)
		return 304;
	return 200;
}

/* Digits and nothing else; what is too large is the largest. */
static bool parse_position(const char **text, off_t *ret_position)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	*ret_position = strtoll(*text, &end, 10);
	*text = end;
	return true;
}

/* 14.2. Returns: 206 with the range, 416, or 200: all, because none is asked for, or none that we understand, or the
 * part that the client has is of another version (13.1.5). */
static int choose_range(const struct request *request, const struct version *version, off_t *ret_first,
			off_t *ret_count)
{
	const char *range = request->values[RANGE], *condition = request->values[IF_RANGE];
	off_t first = 0, last = INT64_MAX, size = version->size;

	if (!range || strncasecmp(range, "bytes=", 6) != 0)
		return 200;
	if (condition && (!version->strong || (strcmp(condition, version->tag) && strcmp(condition, version->date))))
		return 200;
	range += 6;
	bool suffix = *range == '-';
	if ((!suffix && !parse_position(&range, &first)) || *range++ != '-')
		return 200;
	if ((suffix || *range) && (!parse_position(&range, &last) || *range || last < first))
		return 200;
	if (suffix) {
		if (last > 0 && size == 0)
			return 200;
		first = last < size ? size - last : 0;
		last = INT64_MAX;
	}
	if (first >= size)
		return 416;
	*ret_first = first;
	*ret_count = (last < size ? last : size - 1) + 1 - first;
	return 206;
}

/* What an answer says of the file, and of the range in it. */
static void write_fields(int status, const struct version *version, off_t first, off_t count,
			 char fields[ANSWER_FIELDS_MAX])
{
	long long size = version->size, from = first, to = first + count - 1;
	int used = sprintf(fields, "ETag: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n", version->tag,
			   version->date);

	if (status == 206)
		sprintf(fields + used, "Content-Range: bytes %lld-%lld/%lld\r\n", from, to, size);
	else if (status == 416)
		sprintf(fields + used, "Content-Range: bytes */%lld\r\n", size);
}

#endif
