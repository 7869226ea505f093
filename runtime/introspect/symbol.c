/* SPDX-License-Identifier: MIT */
#include "introspect/symbol.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own_fd.h"

/* A file that is mapped. It may be anything: nothing in it is believed before it is checked. */
struct image {
	const char *bytes;
	size_t size;
};

static const void *part(const struct image *image, size_t offset, size_t size)
{
	return offset <= image->size && size <= image->size - offset ? image->bytes + offset : NULL;
}

static bool find_in(const struct image *image, const ElfW(Shdr) *table, const ElfW(Shdr) *strings, uintptr_t address,
		    char *name, size_t size)
{
	const ElfW(Sym) *symbol = part(image, table->sh_offset, table->sh_size);
	const char *names = part(image, strings->sh_offset, strings->sh_size);

	if (!symbol || !names || strings->sh_size == 0 || names[strings->sh_size - 1])
		return false;
	for (size_t i = 0; i < table->sh_size / sizeof(*symbol); i++, symbol++) {
		if ((symbol->st_info & 0xf) != STT_FUNC || symbol->st_name >= strings->sh_size ||
		    address < symbol->st_value || address - symbol->st_value >= symbol->st_size)
			continue;
		strncpy(name, names + symbol->st_name, size - 1);
		name[size - 1] = '\0';
		return true;
	}
	return false;
}

static bool find(const struct image *image, uintptr_t address, char *name, size_t size)
{
	const ElfW(Ehdr) *header = part(image, 0, sizeof(*header));

	if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return false;
	const ElfW(Shdr) *sections = part(image, header->e_shoff, header->e_shnum * sizeof(ElfW(Shdr)));
	for (size_t i = 0; sections && i < header->e_shnum; i++)
		if ((sections[i].sh_type == SHT_SYMTAB || sections[i].sh_type == SHT_DYNSYM) &&
		    sections[i].sh_link < header->e_shnum &&
		    find_in(image, &sections[i], &sections[sections[i].sh_link], address, name, size))
			return true;
	return false;
}

bool symbol_find(const char *path, uintptr_t address, char *name, size_t size)
{
	int fd = own_open(path, O_RDONLY, 0);
	struct stat status;
	bool found = false;

	if (fd < 0)
		return false;
	if (fstat(fd, &status) == 0 && status.st_size > 0) {
		void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		struct image image = {bytes, (size_t)status.st_size};

		if (bytes != MAP_FAILED) {
			found = find(&image, address, name, size);
			munmap(bytes, image.size);
		}
	}
	close(fd);
	return found;
}
