/* SPDX-License-Identifier: MIT */
/* Names of functions from .symtab, or .dynsym where that was stripped, for a machine without libdw. */
#include "inspect/stacks.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Executable ranges of a process; more are not looked at. */
#define RANGES_MAX 512

struct range {
	uint64_t start, end, offset;
	char *path;
	const char *file; /* mapped when first needed; NULL: could not be */
	size_t size;
	bool tried;
};

struct symbols {
	const struct target *target;
	struct range ranges[RANGES_MAX];
	size_t count;
};

struct symbols *symbols_open(const struct target *target)
{
	struct symbols *symbols = calloc(1, sizeof(*symbols));
	char path[64], line[4400], name[4096];

	snprintf(path, sizeof(path), "/proc/%d/maps", target->pid);
	FILE *maps = symbols ? fopen(path, "re") : NULL;
	if (!maps)
		return symbols;
	symbols->target = target;
	while (symbols->count < RANGES_MAX && fgets(line, sizeof(line), maps)) {
		struct range *range = &symbols->ranges[symbols->count];

		if (sscanf(line, "%lx-%lx %*2cx%*c %lx %*s %*s %4095[^\n]", &range->start, &range->end, &range->offset,
			   name) == 4)
			range->path = strdup(name);
		symbols->count += range->path != NULL;
	}
	fclose(maps);
	return symbols;
}

void symbols_close(struct symbols *symbols)
{
	for (size_t i = 0; symbols && i < symbols->count; i++) {
		free(symbols->ranges[i].path);
		if (symbols->ranges[i].file)
			munmap((void *)(uintptr_t)symbols->ranges[i].file, symbols->ranges[i].size);
	}
	free(symbols);
}

/* By the process's own view, which another root or a file that was replaced does not change. */
static void map_file(const struct target *target, struct range *range)
{
	char path[96];
	struct stat status;

	range->tried = true;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", target->pid, range->start, range->end);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = open(range->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &status) == 0 && status.st_size >= (off_t)sizeof(Elf64_Ehdr)) {
		void *file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

		range->file = file == MAP_FAILED ? NULL : file;
		range->size = (size_t)status.st_size;
	}
	close(fd);
}

static const void *part(const struct range *range, uint64_t offset, uint64_t size)
{
	return offset <= range->size && size <= range->size - offset ? range->file + offset : NULL;
}

/* Where the file says that the byte at `offset` is loaded. */
static uint64_t address_in_file(const struct range *range, const Elf64_Ehdr *header, uint64_t offset)
{
	const Elf64_Phdr *segment = part(range, header->e_phoff, header->e_phnum * sizeof(Elf64_Phdr));

	for (unsigned i = 0; segment && i < header->e_phnum; i++, segment++)
		if (segment->p_type == PT_LOAD && offset >= segment->p_offset &&
		    offset < segment->p_offset + segment->p_filesz)
			return offset - segment->p_offset + segment->p_vaddr;
	return offset;
}

static const char *name_in(const struct range *range, const Elf64_Shdr *table, const Elf64_Shdr *strings,
			   uint64_t address)
{
	const Elf64_Sym *symbol = part(range, table->sh_offset, table->sh_size);
	const char *names = part(range, strings->sh_offset, strings->sh_size);

	if (!symbol || !names || strings->sh_size == 0 || names[strings->sh_size - 1])
		return NULL;
	for (uint64_t i = 0; i < table->sh_size / sizeof(*symbol); i++, symbol++)
		if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_name < strings->sh_size &&
		    address >= symbol->st_value && address < symbol->st_value + symbol->st_size)
			return names + symbol->st_name;
	return NULL;
}

static const char *name_of(const struct range *range, uint64_t offset)
{
	const Elf64_Ehdr *header = part(range, 0, sizeof(*header));

	if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return NULL;
	const Elf64_Shdr *sections = part(range, header->e_shoff, header->e_shnum * sizeof(Elf64_Shdr));
	uint64_t address = address_in_file(range, header, offset);
	const char *name = NULL;
	for (unsigned i = 0; sections && i < header->e_shnum && !name; i++)
		if ((sections[i].sh_type == SHT_SYMTAB || sections[i].sh_type == SHT_DYNSYM) &&
		    sections[i].sh_link < header->e_shnum)
			name = name_in(range, &sections[i], &sections[sections[i].sh_link], address);
	return name;
}

bool symbols_cover(const struct symbols *symbols, uint64_t address)
{
	for (size_t i = 0; symbols && i < symbols->count; i++)
		if (address >= symbols->ranges[i].start && address < symbols->ranges[i].end)
			return true;
	return false;
}

bool symbols_find(struct symbols *symbols, uint64_t pc, struct frame_view *frame)
{
	*frame = (struct frame_view){.pc = pc};
	for (size_t i = 0; i < symbols->count; i++) {
		struct range *range = &symbols->ranges[i];

		if (pc < range->start || pc >= range->end)
			continue;
		if (!range->tried)
			map_file(symbols->target, range);
		frame->object = range->path;
		frame->offset = pc - range->start + range->offset;
		if (range->file)
			frame->function = name_of(range, frame->offset);
		return true;
	}
	return false;
}
