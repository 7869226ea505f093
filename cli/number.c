/* SPDX-License-Identifier: MIT */
#include "number.h"

#include <ctype.h>
#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits with single `_` between them. Moves `*text` behind them. */
static const char *parse_digits(const char **text, uint64_t *ret_value)
{
	const char *p = *text;
	uint64_t value = 0;

	if (!is_digit(*p))
		return "is not a whole number";
	for (;; p++) {
		if (*p == '_' && is_digit(p[1]))
			continue;
		if (!is_digit(*p))
			break;
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return "is too large";
	}
	*text = p;
	*ret_value = value;
	return NULL;
}

static const char *check_start(const char *text)
{
	if (!*text)
		return "is empty";
	if (*text == '-' && is_digit(text[1]))
		return "is negative";
	return NULL;
}

static const char *apply_suffix(const char *text, enum number_suffix suffix, uint64_t *value)
{
	static const char letters[] = "kmg";
	const char *letter = strchr(letters, tolower((unsigned char)*text));

	if (!*text)
		return NULL;
	if (suffix == NUMBER_PLAIN || !letter || text[1])
		return "is not a whole number";
	for (const char *power = letters; power <= letter; power++)
		if (__builtin_mul_overflow(*value, (uint64_t)suffix, value))
			return "is too large";
	return NULL;
}

const char *number_parse(const char *text, enum number_suffix suffix, uint64_t *ret_value)
{
	uint64_t value;
	const char *wrong = check_start(text);

	if (!wrong)
		wrong = parse_digits(&text, &value);
	if (!wrong)
		wrong = apply_suffix(text, suffix, &value);
	if (!wrong)
		*ret_value = value;
	return wrong;
}

/* Adds the digits behind the decimal point, whose last one counts at least a nanosecond or nothing. */
static const char *parse_fraction(const char **text, async_time unit, uint64_t *value)
{
	uint64_t scale = (uint64_t)unit / 10;
	const char *p = *text;

	if (!is_digit(*p))
		return "is not a time";
	for (;; p++) {
		if (*p == '_' && is_digit(p[1]))
			continue;
		if (!is_digit(*p))
			break;
		*value += scale * (uint64_t)(*p - '0');
		scale /= 10;
	}
	*text = p;
	return NULL;
}

static async_time time_unit(const char *name)
{
	static const struct {
		const char *name;
		async_time length;
	} units[] = {{"", ASYNC_S},  {"us", ASYNC_US},    {"ms", ASYNC_MS},
		     {"s", ASYNC_S}, {"m", 60 * ASYNC_S}, {"h", 3600 * ASYNC_S}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(name, units[i].name) == 0)
			return units[i].length;
	return 0;
}

const char *number_parse_time(const char *text, async_time *ret_value)
{
	async_time unit = time_unit(text + strspn(text, "0123456789_."));
	uint64_t value = 0;
	const char *wrong = check_start(text);

	if (wrong)
		return wrong;
	if (!unit || parse_digits(&text, &value))
		return "is not a time";
	/* What is below this has room for a fraction. */
	if (__builtin_mul_overflow(value, (uint64_t)unit, &value) || value > (uint64_t)INT64_MAX)
		return "is too large";
	if (*text == '.') {
		text++;
		wrong = parse_fraction(&text, unit, &value);
	}
	if (wrong || time_unit(text) != unit)
		return "is not a time";
	if (value > (uint64_t)INT64_MAX)
		return "is too large";
	*ret_value = (async_time)value;
	return NULL;
}
