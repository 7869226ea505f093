/* SPDX-License-Identifier: MIT */
/*
 * What a reactor knows of each descriptor, indexed by its number.
 *
 * Entries come in chunks that never move and are freed with the table; the directory doubles. Only numbers of
 * open descriptors get an entry, so the table is as large as the process's limit on open files lets it be:
 * about 110 bytes for each number up to the highest used, in whole chunks.
 *
 * A program may close(2) a descriptor without a word and get its number again for something else, so an entry
 * is a hint: whoever relies on it must be able to bear its being out of date, or identify again.
 */
#ifndef REACTOR_FD_TABLE_H
#define REACTOR_FD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "reactor/op.h"

enum fd_kind {
	FD_UNKNOWN,
	FD_PIPE,     /* and FIFOs */
	FD_SOCKET,
	FD_TERMINAL,
	FD_FILE,     /* regular files, directories, block devices: never wait for an event, may wait for a disk */
	FD_OTHER,    /* character devices, eventfd, timerfd, inotify, ... */
};

/* One queue for each op_code, and one for what is with a worker. */
enum { QUEUE_WORKER = OP_WRITE + 1, QUEUES };

struct fd_entry {
	struct list queue[QUEUES]; /* pending operations, oldest first */
	struct list link;          /* in a list of the backend */
	int fd;
	int twin;                  /* see terminal_twin in transfer.c; < 0: none */
	uint8_t kind;              /* enum fd_kind */
	bool watched;              /* epoll: registered */
};

struct fd_table {
	struct fd_entry **chunks;
	size_t n_chunks;
};

/* The entry of an open descriptor, identified. 0, -EBADF, -ENOMEM. */
int fd_table_get(struct fd_table *table, int fd, struct fd_entry **ret_entry);
/* The entry if there is one, or NULL. */
struct fd_entry *fd_table_find(const struct fd_table *table, int fd);
/* For walking: the first entry at or after `*fd`, which moves behind it; NULL at the end. */
struct fd_entry *fd_table_next(const struct fd_table *table, int *fd);
void fd_table_free(struct fd_table *table);

/* Finds out anew what the descriptor is. 0 or -EBADF. */
int fd_entry_identify(struct fd_entry *e);
/* Forgets what the descriptor is. */
void fd_entry_reset(struct fd_entry *e);

#endif
