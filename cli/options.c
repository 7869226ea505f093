/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "number.h"
#include "output.h"

#define CHOICES_MAX 64
#define HELP_COLUMN 34

static const struct option help_option = {.name = "help", .help = "show this help"};

static void complain(const struct option *option, const char *text, const char *wrong, const char *expected)
{
	complain_line("--%s: '%s' %s; expected %s", option->name, text, wrong, expected);
}

bool option_flag(const struct option *option, const char *text, void *target)
{
	(void)option, (void)text;
	*(bool *)target = true;
	return true;
}

bool option_string(const struct option *option, const char *text, void *target)
{
	if (text && !*text) {
		complain_line("--%s: '' is empty; expected --%s=%s", option->name, option->name, option->argument);
		return false;
	}
	*(const char **)target = text ? text : "";
	return true;
}

/* Writes a size the way it may be typed. */
static const char *format_size(int64_t bytes, char *buffer, size_t size)
{
	const char *unit = "";

	for (const char *next = "k\0M\0G"; bytes && bytes % 1024 == 0 && *unit != 'G'; next += 2) {
		bytes /= 1024;
		unit = next;
	}
	snprintf(buffer, size, "%lld%s", (long long)bytes, unit);
	return buffer;
}

static bool parse_number(const struct option *option, const char *text, enum number_suffix suffix, void *target)
{
	char expected[100], low[24], high[24];
	uint64_t value;
	const char *wrong = number_parse(text, suffix, &value);

	if (!wrong && (value < (uint64_t)option->minimum || value > (uint64_t)option->maximum))
		wrong = "is out of range";
	if (!wrong) {
		*(uint64_t *)target = value;
		return true;
	}
	if (suffix == NUMBER_BYTES)
		snprintf(expected, sizeof(expected), "a size from %s to %s bytes",
			 format_size(option->minimum, low, sizeof(low)),
			 format_size(option->maximum, high, sizeof(high)));
	else
		snprintf(expected, sizeof(expected), "a whole number from %lld to %lld", (long long)option->minimum,
			 (long long)option->maximum);
	complain(option, text, wrong, expected);
	return false;
}

bool option_count(const struct option *option, const char *text, void *target)
{
	return parse_number(option, text, NUMBER_COUNT, target);
}

bool option_size(const struct option *option, const char *text, void *target)
{
	return parse_number(option, text, NUMBER_BYTES, target);
}

bool option_time(const struct option *option, const char *text, void *target)
{
	char expected[100];
	async_time value;
	const char *wrong = number_parse_time(text, &value);

	if (!wrong && (value < option->minimum || value > option->maximum))
		wrong = "is out of range";
	if (!wrong) {
		*(async_time *)target = value;
		return true;
	}
	snprintf(expected, sizeof(expected), "a time from %g s to %g s such as 500ms, 2s or 0.5",
		 (double)option->minimum / (double)ASYNC_S, (double)option->maximum / (double)ASYNC_S);
	complain(option, text, wrong, expected);
	return false;
}

/* The number of insertions, deletions and replacements between two words, of which `b` is cut to 31 letters. */
static size_t distance(const char *a, const char *b)
{
	size_t row[32], length = strnlen(b, 31);

	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 1; j <= length; j++) {
			size_t best = diagonal + (a[i] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[length];
}

void complain_choice(const char *what, const char *text, const char *const *choices)
{
	char list[400] = "", hint[80] = "";
	size_t used = 0, nearest = 3;

	for (size_t i = 0; choices[i] && used < sizeof(list); i++) {
		size_t d = distance(text, choices[i]);

		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", choices[i]);
		if (d < nearest && d < strlen(choices[i])) {
			nearest = d;
			snprintf(hint, sizeof(hint), " (did you mean '%s'?)", choices[i]);
		}
	}
	complain_line("%s: '%s' is unknown; expected one of: %s%s", what, text, list, hint);
}

bool option_choice(const struct option *option, const char *text, void *target)
{
	char what[40];

	for (int i = 0; option->choices[i]; i++) {
		if (strcmp(text, option->choices[i]) == 0) {
			*(int *)target = i;
			return true;
		}
	}
	snprintf(what, sizeof(what), "--%s", option->name);
	complain_choice(what, text, option->choices);
	return false;
}

static void complain_unknown(const struct option *options, const char *text, size_t length)
{
	const char *names[CHOICES_MAX];
	char dashed[CHOICES_MAX][24], given[64];
	size_t count = 0;

	for (const struct option *option = options; option && option->name && count < CHOICES_MAX - 2; option++)
		snprintf(dashed[count++], sizeof(dashed[0]), "--%s", option->name);
	snprintf(dashed[count++], sizeof(dashed[0]), "--%s", help_option.name);
	for (size_t i = 0; i < count; i++)
		names[i] = dashed[i];
	names[count] = NULL;
	snprintf(given, sizeof(given), "%.*s", (int)length, text);
	complain_choice("option", given, names);
}

/* Parses the option at argv[i]. Returns: the index of the last word it took, or OPTIONS_…. */
static int parse_one(const struct option *options, void *settings, int argc, char **argv, int i)
{
	const char *text = argv[i], *equals = strchr(text, '=');
	size_t length = equals ? (size_t)(equals - text) : strlen(text);
	const struct option *option = options;

	if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0)
		return OPTIONS_HELP;
	for (; option && option->name; option++)
		if (length == strlen(option->name) + 2 && strncmp(text, "--", 2) == 0 &&
		    strncmp(text + 2, option->name, length - 2) == 0)
			break;
	if (!option || !option->name) {
		complain_unknown(options, text, length);
		return OPTIONS_WRONG;
	}
	if (!option->argument && equals) {
		complain_line("--%s: '%s' is not expected; the option takes no value", option->name, equals + 1);
		return OPTIONS_WRONG;
	}
	bool next = option->argument && !option->optional && !equals;
	if (next && ++i >= argc) {
		complain_line("--%s: the value is missing; expected --%s=%s", option->name, option->name,
			      option->argument);
		return OPTIONS_WRONG;
	}
	if (!option->parse(option, equals ? equals + 1 : next ? argv[i] : NULL, (char *)settings + option->offset))
		return OPTIONS_WRONG;
	return i;
}

int options_parse(const struct option *options, void *settings, int argc, char **argv)
{
	int count = 0;
	bool ended = false;

	for (int i = 0; i < argc; i++) {
		const char *text = argv[i];
		/* A negative number is a wrong argument, which is a clearer message than an unknown option. */
		bool negative = text[0] == '-' && text[1] >= '0' && text[1] <= '9';

		if (ended || text[0] != '-' || !text[1] || negative) {
			argv[count++] = argv[i];
		} else if (strcmp(text, "--") == 0) {
			ended = true;
		} else {
			i = parse_one(options, settings, argc, argv, i);
			if (i < 0)
				return i;
		}
	}
	return count;
}

static void describe_one(const struct option *option)
{
	char left[80];

	snprintf(left, sizeof(left), "  --%s%s%s%s%s", option->name, option->optional ? "[" : "",
		 option->argument ? "=" : "", option->argument ? option->argument : "", option->optional ? "]" : "");
	output_printf("%-*s%s%s\n", HELP_COLUMN, left, strlen(left) >= HELP_COLUMN ? " " : "", option->help);
}

void options_describe(const struct option *options)
{
	output_printf("\nOptions:\n");
	for (const struct option *option = options; option && option->name; option++)
		describe_one(option);
	describe_one(&help_option);
}
