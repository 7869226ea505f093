/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Whatever is read may be garbage by the time it is used, or change meanwhile: nothing read is followed without
 * a check, reads that fail give zeros, and who walks a list bounds it. The library is found by its note in the program
 * headers of the objects that are mapped, which is there however the program was linked or stripped.
 */
#include "inspect/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <async.h>

#include "command.h"
#include "number.h"
#include "output.h"

#define PAGE 4096u
#define KERNEL_THREAD 0x00200000u /* PF_KTHREAD of the kernel */
#define HEADERS_MAX 64
#define NOTES_MAX 4096

size_t target_read_some(const struct target *target, uint64_t address, void *buffer, size_t size)
{
	struct iovec here = {buffer, size}, there = {(void *)(uintptr_t)address, size};
	ssize_t n = address ? process_vm_readv(target->pid, &here, 1, &there, 1, 0) : -1;

	return n > 0 ? (size_t)n : 0;
}

bool target_read(const struct target *target, uint64_t address, void *buffer, size_t size)
{
	return target_read_some(target, address, buffer, size) == size;
}

uint64_t target_field(const struct target *target, uint64_t object, uint32_t offset, size_t size)
{
	uint64_t value = 0;

	/* Little-endian, as every machine that the library knows. */
	return object && target_read(target, object + offset, &value, size) ? value : 0;
}

uint64_t field_of(const void *object, uint32_t offset, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, (const char *)object + offset, size);
	return value;
}

bool target_string(const struct target *target, uint64_t address, char *buffer, size_t size)
{
	size_t got = 0;

	/* The page after the string may not be there. */
	while (got < size - 1) {
		size_t in_page = PAGE - (address + got) % PAGE, want = size - 1 - got;
		size_t n = target_read_some(target, address + got, buffer + got, want < in_page ? want : in_page);

		if (n == 0)
			return false;
		if (memchr(buffer + got, 0, n))
			break;
		got += n;
	}
	buffer[size - 1] = '\0';
	for (char *c = buffer; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return true;
}

bool target_lives(const struct target *target)
{
	uint64_t loops;

	if (target->count > 0)
		return target_read(target, target->layouts[0].loops, &loops, sizeof(loops));
	return kill(target->pid, 0) == 0 || errno == EPERM;
}

/* Which process */

static bool is_core(const char *path)
{
	Elf64_Ehdr header = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, &header, sizeof(header));

	if (fd >= 0)
		close(fd);
	return n == sizeof(header) && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_type == ET_CORE;
}

static int parse_pid(const char *text, pid_t *ret_pid)
{
	uint64_t value;
	const char *wrong = number_parse(text, NUMBER_PLAIN, &value);

	if (wrong && is_core(text)) {
		complain_line("'%s' is a core file; 'gdb PROGRAM %s', then 'info tasks', shows its tasks", text, text);
		return STATUS_USAGE;
	}
	if (!wrong && (value == 0 || value > INT32_MAX))
		wrong = "is out of range";
	if (wrong) {
		complain_line("argument 1: '%s' %s; expected the id of a process", text, wrong);
		return STATUS_USAGE;
	}
	*ret_pid = (pid_t)value;
	return STATUS_DONE;
}

static int failed(const struct target *target, const char *why)
{
	complain_line("process %d %s", target->pid, why);
	return STATUS_FAILED;
}

static int not_ours(const struct target *target)
{
	char path[40], why[200];
	struct stat status;

	snprintf(path, sizeof(path), "/proc/%d", target->pid);
	if (stat(path, &status) < 0)
		return failed(target, "has ended");
	const struct passwd *owner = getpwuid(status.st_uid);
	if (status.st_uid == geteuid())
		return failed(target, "cannot be read: it has set itself not dumpable, or runs with other privileges; "
				      "root can");
	snprintf(why, sizeof(why), "belongs to another user (%s): only that user and root may look into it",
		 owner ? owner->pw_name : "unknown");
	return failed(target, why);
}

/* Its memory map can be seen, but its memory cannot be read. */
static int refused(const struct target *target, int error)
{
	char scope[8] = "", why[300];
	FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");

	if (file && !fgets(scope, sizeof(scope), file))
		*scope = '\0';
	if (file)
		fclose(file);
	if (error == ESRCH || !target_lives(target))
		return failed(target, "has ended");
	if (error == ENOSYS)
		return failed(target, "cannot be read: this kernel or container has no process_vm_readv");
	if (*scope && *scope != '0')
		snprintf(why, sizeof(why),
			 "is protected by Yama (kernel.yama.ptrace_scope is %c): run the command as root, or "
			 "'sysctl kernel.yama.ptrace_scope=0', or have the program call prctl(PR_SET_PTRACER)",
			 *scope);
	else
		snprintf(why, sizeof(why), "cannot be read: %s; root may, with the capability CAP_SYS_PTRACE",
			 strerror(error));
	return failed(target, why);
}

/* A process without memory of its own has nothing to show. */
static int check_kind(const struct target *target)
{
	char path[40], line[600], state;
	unsigned flags;

	snprintf(path, sizeof(path), "/proc/%d/stat", target->pid);
	FILE *file = fopen(path, "re");
	const char *end = file && fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;

	if (file)
		fclose(file);
	if (!end)
		return failed(target, "does not exist");
	if (sscanf(end + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
		return failed(target, "cannot be understood: its status in /proc is strange");
	if (state == 'Z' || state == 'X')
		return failed(target, "has ended (it is a zombie: its parent has not asked for its status)");
	if (flags & KERNEL_THREAD)
		return failed(target, "is a thread of the kernel, not a program");
	return STATUS_DONE;
}

/* The library in it */

/* Returns 0, or the version if it is another one. */
static uint32_t take_layout(struct target *target, uint64_t descriptor)
{
	struct async_layout_note note;
	struct async_layout layout = {0};
	uint64_t word = descriptor + offsetof(struct async_layout_note, table);

	if (!target_read(target, descriptor, &note, sizeof(note)))
		return 0;
	if (note.version != ASYNC_LAYOUT_VERSION)
		return note.version;
	uint64_t table = word + (uint64_t)(int64_t)note.table;
	uint32_t size = TARGET_U32(target, table, offsetof(struct async_layout, size));

	/* A later release has more fields, an earlier one fewer. */
	if (size < offsetof(struct async_layout, list_next) ||
	    !target_read(target, table, &layout, size < sizeof(layout) ? size : sizeof(layout)))
		return 0;
	if (layout.magic != ASYNC_LAYOUT_MAGIC || layout.version != note.version)
		return 0;
	layout.library[sizeof(layout.library) - 1] = '\0';
	if (target->count < TARGET_LAYOUTS_MAX)
		target->layouts[target->count++] = layout;
	return 0;
}

static size_t aligned(size_t size)
{
	return (size + 3) & ~(size_t)3;
}

static uint32_t look_for_note(struct target *target, uint64_t address, uint64_t size)
{
	char notes[NOTES_MAX];
	size_t at = 0, got = target_read_some(target, address, notes, size < NOTES_MAX ? size : NOTES_MAX);
	uint32_t other = 0;

	while (at + sizeof(Elf64_Nhdr) <= got) {
		Elf64_Nhdr note;

		memcpy(&note, notes + at, sizeof(note));
		size_t name = at + sizeof(note), descriptor = name + aligned(note.n_namesz);
		size_t next = descriptor + aligned(note.n_descsz);

		if (note.n_namesz > NOTES_MAX || note.n_descsz > NOTES_MAX || next > got)
			break;
		if (note.n_type == ASYNC_LAYOUT_NOTE && note.n_namesz == sizeof(ASYNC_LAYOUT_OWNER) &&
		    memcmp(notes + name, ASYNC_LAYOUT_OWNER, note.n_namesz) == 0) {
			uint32_t version = take_layout(target, address + descriptor);

			other = version ? version : other;
		}
		at = next;
	}
	return other;
}

/* `start` is where the beginning of an object is mapped. Returns 0, the version of a layout that is not ours, or
 * -1: an object of 32 bits. */
static int64_t look_into_object(struct target *target, uint64_t start)
{
	Elf64_Ehdr header;
	Elf64_Phdr segments[HEADERS_MAX];
	uint64_t bias = start;
	uint32_t other = 0;

	if (!target_read(target, start, &header, sizeof(header)) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		return 0;
	if (header.e_ident[EI_CLASS] != ELFCLASS64)
		return -1;
	size_t count = header.e_phnum < HEADERS_MAX ? header.e_phnum : HEADERS_MAX;
	if (header.e_phentsize != sizeof(Elf64_Phdr) ||
	    !target_read(target, start + header.e_phoff, segments, count * sizeof(segments[0])))
		return 0;
	for (size_t i = 0; i < count; i++)
		if (segments[i].p_type == PT_LOAD && segments[i].p_offset == 0)
			bias = start - segments[i].p_vaddr;
	for (size_t i = 0; i < count; i++) {
		if (segments[i].p_type != PT_NOTE)
			continue;
		uint32_t version = look_for_note(target, bias + segments[i].p_vaddr, segments[i].p_memsz);
		other = version ? version : other;
	}
	return other;
}

static int look_into_objects(struct target *target, FILE *maps)
{
	char line[4400];
	uint64_t start, offset, inode;
	bool readable = false, narrow = false;
	uint32_t other = 0;
	char word[4];
	int error = ESRCH;

	while (fgets(line, sizeof(line), maps)) {
		/* Only files have an inode, and only their beginning is an object's. */
		if (sscanf(line, "%lx-%*x r%*3c %lx %*x:%*x %lu", &start, &offset, &inode) != 3 || offset || !inode)
			continue;
		struct iovec here = {word, sizeof(word)}, there = {(void *)(uintptr_t)start, sizeof(word)};
		if (process_vm_readv(target->pid, &here, 1, &there, 1, 0) < 0) {
			error = errno;
			continue;
		}
		readable = true;
		int64_t found = look_into_object(target, start);
		if (found < 0)
			narrow = true;
		else if (found > 0)
			other = (uint32_t)found;
	}
	if (!readable)
		return refused(target, error);
	if (target->count > 0)
		return STATUS_DONE;
	if (other) {
		complain_line("process %d uses libasync with layout %u; this asyncctl %s knows layout %u: use the "
			      "asyncctl of that release",
			      target->pid, other, async_version(), (unsigned)ASYNC_LAYOUT_VERSION);
		return STATUS_FAILED;
	}
	return failed(target, narrow ? "is a program of 32 bits, which libasync does not support"
				     : "does not use libasync");
}

int target_open(struct target *target, const char *text)
{
	char path[40];
	int status = parse_pid(text, &target->pid);

	target->count = 0;
	if (status == STATUS_DONE)
		status = check_kind(target);
	if (status != STATUS_DONE)
		return status;
	snprintf(path, sizeof(path), "/proc/%d/maps", target->pid);
	FILE *maps = fopen(path, "re");
	if (!maps)
		return errno == ENOENT || errno == ESRCH ? failed(target, "has ended") : not_ours(target);
	status = look_into_objects(target, maps);
	fclose(maps);
	return status;
}
