/* SPDX-License-Identifier: MIT */
#include "introspect/safe_text.h"

void text_init(struct safe_text *text, char *start, size_t size)
{
	*text = (struct safe_text){.start = start, .size = size};
	start[0] = '\0';
}

static void add_char(struct safe_text *text, char character)
{
	if (text->length + 1 >= text->size)
		return;
	text->start[text->length++] = character;
	text->start[text->length] = '\0';
}

void text_add(struct safe_text *text, const char *string)
{
	while (*string)
		add_char(text, *string++);
}

void text_add_name(struct safe_text *text, const char *name)
{
	for (; *name; name++)
		add_char(text, (unsigned char)*name < ' ' || *name == 0x7f ? '?' : *name);
}

static void add_digits(struct safe_text *text, uint64_t number, unsigned base, int least)
{
	char digits[20];
	int count = 0;

	do {
		digits[count++] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number > 0 || count < least);
	while (count > 0)
		add_char(text, digits[--count]);
}

void text_add_number(struct safe_text *text, uint64_t number)
{
	add_digits(text, number, 10, 1);
}

void text_add_hex(struct safe_text *text, uint64_t number)
{
	text_add(text, "0x");
	add_digits(text, number, 16, 1);
}

void text_add_seconds(struct safe_text *text, int64_t ns)
{
	uint64_t ms = ns > 0 ? (uint64_t)ns / 1000000 : 0;

	text_add_number(text, ms / 1000);
	add_char(text, '.');
	add_digits(text, ms % 1000, 10, 3);
	text_add(text, " s");
}
