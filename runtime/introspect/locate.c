/* SPDX-License-Identifier: MIT */
#include "introspect/locate.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own_fd.h"
#include "core/loop.h"
#include "introspect/peek.h"
#include "introspect/safe_text.h"
#include "introspect/source.h"
#include "introspect/symbol.h"

/* A line of /proc/self/maps, read piece by piece: a path can be longer than a handler's stack should be used for. */
struct mapping {
	uintptr_t start, end, offset;
	char path[256]; /* its end, if it is longer */
};

struct maps {
	int fd;
	size_t length, at;
	char buffer[512];
};

static int next_char(struct maps *maps)
{
	if (maps->at == maps->length) {
		ssize_t got = SYS("read", read(maps->fd, maps->buffer, sizeof(maps->buffer)));

		if (got <= 0)
			return -1;
		maps->length = (size_t)got;
		maps->at = 0;
	}
	return (unsigned char)maps->buffer[maps->at++];
}

/* A hexadecimal number and the character behind it. */
static uintptr_t next_number(struct maps *maps)
{
	uintptr_t number = 0;
	int c;

	while ((c = next_char(maps)) > ' ' && c != '-')
		number = number * 16 + (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	return number;
}

static void skip_word(struct maps *maps)
{
	while (next_char(maps) > ' ')
		;
}

static bool next_mapping(struct maps *maps, struct mapping *mapping)
{
	size_t length = 0;
	int c;

	mapping->start = next_number(maps);
	mapping->end = next_number(maps);
	skip_word(maps);
	mapping->offset = next_number(maps);
	skip_word(maps);
	skip_word(maps);
	while ((c = next_char(maps)) == ' ')
		;
	for (; c >= 0 && c != '\n'; c = next_char(maps)) {
		if (length == sizeof(mapping->path) - 1)
			memmove(mapping->path, mapping->path + 1, --length);
		mapping->path[length++] = (char)c;
	}
	mapping->path[length] = '\0';
	return c == '\n';
}

/* Of the file whose first page is mapped at `start`: what addresses in it are counted from. */
static uintptr_t load_base(uintptr_t start)
{
	ElfW(Ehdr) header;

	if (!PEEK(&header, (void *)start) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		return 0;
	return header.e_type == ET_EXEC ? 0 : start;
}

static bool find(struct maps *maps, uintptr_t address, struct mapping *mapping, uintptr_t *ret_base)
{
	uintptr_t first = 0;

	while (next_mapping(maps, mapping)) {
		if (mapping->offset == 0)
			first = mapping->start;
		if (address < mapping->start || address >= mapping->end)
			continue;
		*ret_base = load_base(first);
		return mapping->path[0] == '/';
	}
	return false;
}

/* Whether it is in a file, and where there. */
static bool look_up(const void *address, struct mapping *mapping, uintptr_t *ret_base)
{
	struct maps maps = {.fd = own_open("/proc/self/maps", O_RDONLY, 0)};

	if (maps.fd < 0)
		return false;
	bool found = find(&maps, (uintptr_t)address, mapping, ret_base);
	close(maps.fd);
	return found;
}

static void add_place(struct safe_text *text, const struct mapping *mapping, uintptr_t offset)
{
	text_add_name(text, mapping->path);
	text_add(text, "+");
	text_add_hex(text, offset);
}

const char *locate_code(const void *address, char *buffer, size_t size)
{
	struct mapping mapping;
	struct safe_text text;
	uintptr_t base;

	text_init(&text, buffer, size);
	if (look_up(address, &mapping, &base))
		add_place(&text, &mapping, (uintptr_t)address - base);
	else
		text_add_hex(&text, (uintptr_t)address);
	return buffer;
}

const char *locate_function(const void *address, char *buffer, size_t size)
{
	struct mapping mapping;
	struct safe_text text;
	char name[128], source[160];
	uintptr_t base;

	if (!look_up(address, &mapping, &base) ||
	    !symbol_find(mapping.path, (uintptr_t)address - base, name, sizeof(name)))
		return locate_code(address, buffer, size);
	text_init(&text, buffer, size);
	text_add_name(&text, name);
	text_add(&text, " (");
	if (source_find(address, source, sizeof(source))) {
		text_add(&text, source);
		text_add(&text, ", ");
	}
	add_place(&text, &mapping, (uintptr_t)address - base);
	text_add(&text, ")");
	return buffer;
}

__attribute__((constructor)) static void register_locator(void)
{
	loop_locate_code = locate_function;
}
