/* SPDX-License-Identifier: MIT */
/*
 * Another process, as a place to read memory from. Nothing is run in it, and it is not stopped: it may be blocked,
 * stopped or busy.
 */
#ifndef CLI_INSPECT_TARGET_H
#define CLI_INSPECT_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <async/layout.h>

/* A program with a static library can load another one that has its own. */
#define TARGET_LAYOUTS_MAX 8

struct target {
	pid_t pid;
	size_t count;
	struct async_layout layouts[TARGET_LAYOUTS_MAX];
};

/* Finds the process that `text` names and the library in it. Returns: STATUS_DONE, or another status after the reason
 * was given on stderr. */
int target_open(struct target *target, const char *text);

/* True if all of it could be read. */
bool target_read(const struct target *target, uint64_t address, void *buffer, size_t size);
/* How many bytes of it could be read, from its beginning. */
size_t target_read_some(const struct target *target, uint64_t address, void *buffer, size_t size);
/* Reads a string, cut to `size` bytes with the final NUL. What is not printable becomes '?'. False: unreadable. */
bool target_string(const struct target *target, uint64_t address, char *buffer, size_t size);

/* True unless the process has ended, or runs another program now. */
bool target_lives(const struct target *target);

/* A field of up to 8 bytes that stands `offset` bytes behind `object`; 0 if it cannot be read. */
uint64_t target_field(const struct target *target, uint64_t object, uint32_t offset, size_t size);
#define TARGET_U64(target, object, offset) target_field(target, object, offset, 8)
#define TARGET_U32(target, object, offset) ((uint32_t)target_field(target, object, offset, 4))
#define TARGET_U16(target, object, offset) ((uint16_t)target_field(target, object, offset, 2))
#define TARGET_U8(target, object, offset) ((uint8_t)target_field(target, object, offset, 1))

/* The same in memory that was read. */
uint64_t field_of(const void *object, uint32_t offset, size_t size);

#endif
