/* SPDX-License-Identifier: MIT */
/*
 * What a reactor knows of each descriptor, indexed by its number.
 *
 * Entries come in chunks that never move and are freed with the table; the directory doubles. Only numbers of
 * open descriptors get an entry, so the table is as large as the process's limit on open files lets it be:
 * about 130 bytes for each number up to the highest used, in whole chunks.
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

/* What waits is served in order, in each direction; QUEUE_POLL and QUEUE_CALL are not. */
enum queue {
	QUEUE_POLL, /* and what is received out of band: those who want ordinary data do not stand behind that */
	QUEUE_READ,
	QUEUE_WRITE,
	QUEUE_CALL, /* what is with a worker, calls on files, and what pauses */
	QUEUES,
};

struct fd_entry {
	struct list queue[QUEUES]; /* pending operations, oldest first */
	struct list link;          /* in a list of the backend */
	struct list pausing;       /* epoll: among those with operations that pause */
	int fd;
	int twin;                  /* see terminal_twin in transfer.c; < 0: none */
	uint8_t kind;              /* enum fd_kind */
	bool direct;               /* a file with O_DIRECT, where no flag keeps a call from waiting for the disk */
	bool watched;              /* epoll: registered */
	bool exclusive;            /* epoll: for one wait, see OP_EXCLUSIVE */
	bool tells_end;            /* epoll: a read that brings less than it could has brought all there was */
	bool drained;              /* epoll: and it has: there is nothing until the next event */
};

struct fd_table {
	struct fd_entry **chunks;
	size_t n_chunks;
};

void fd_entry_init(struct fd_entry *e, int fd);

/* The entry of an open descriptor, identified. 0, -EBADF, -ENOMEM. */
int fd_table_get(struct fd_table *table, int fd, struct fd_entry **ret_entry);
/* The entry if there is one, or NULL. */
struct fd_entry *fd_table_find(const struct fd_table *table, int fd);
/* For walking: the first entry at or after `*fd`, which moves behind it; NULL at the end. */
struct fd_entry *fd_table_next(const struct fd_table *table, int *fd);
void fd_table_free(struct fd_table *table);

static inline enum queue queue_of(const struct op *op)
{
	static const uint8_t queues[] = {
		[OP_POLL] = QUEUE_POLL,     [OP_READ] = QUEUE_READ,    [OP_WRITE] = QUEUE_WRITE,
		[OP_READV] = QUEUE_READ,    [OP_WRITEV] = QUEUE_WRITE,
		[OP_RECV] = QUEUE_READ,     [OP_SEND] = QUEUE_WRITE,   [OP_RECVMSG] = QUEUE_READ,
		[OP_SENDMSG] = QUEUE_WRITE, [OP_ACCEPT] = QUEUE_READ,  [OP_CONNECT] = QUEUE_WRITE,
		[OP_CALL] = QUEUE_CALL,
	};

	return op_is_out_of_band(op) ? QUEUE_POLL : queues[op->code];
}

static inline bool op_is_read(const struct op *op)
{
	return op->code == OP_READ || op->code == OP_READV;
}

static inline bool op_is_write(const struct op *op)
{
	return op->code == OP_WRITE || op->code == OP_WRITEV;
}

/* Whether a worker may carry it out where the descriptor is a file. */
static inline bool op_suits_worker(const struct op *op)
{
	return op_is_read(op) || op_is_write(op) || op->code == OP_CALL;
}

/* Finds out anew what the descriptor is. 0 or -EBADF. */
int fd_entry_identify(struct fd_entry *e);
/* Forgets what the descriptor is. */
void fd_entry_reset(struct fd_entry *e);

#endif
