/* SPDX-License-Identifier: MIT */
/*
 * One operation on a descriptor, owned by whoever asked for it.
 *
 * The owner fills in the upper half and submits; until the operation has completed, the kernel may use the
 * buffer, and the structure must stay where it is. It completes exactly once: at once inside reactor_submit,
 * at once inside reactor_cancel, or later through `complete`, on the stack that calls reactor_wait.
 */
#ifndef REACTOR_OP_H
#define REACTOR_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "worker/pool.h"

enum op_code {
	OP_POLL,  /* `events` holds: the result is what holds */
	OP_READ,  /* read(2) at the current position */
	OP_WRITE, /* write(2) at the current position, never a SIGPIPE; may write a part */
};

enum op_state {
	OP_IDLE,    /* the owner's */
	OP_PENDING, /* the reactor's */
	OP_ARRIVED, /* the reactor's: the result is set, `complete` is about to be called */
};

struct op {
	/* Filled in by the owner. */
	uint8_t code; /* enum op_code */
	int fd;
	short events;
	void *buffer; /* OP_WRITE only reads it */
	size_t size;  /* what exceeds 2 GiB - 4 KiB is not transferred, as with read(2) */
	void (*complete)(struct op *op); /* may submit again, and may free the operation */

	/* Set by the reactor. */
	uint8_t state;     /* enum op_state */
	uint8_t phase;     /* the backend's: where the operation is */
	bool cancelling;   /* withdrawal was asked for */
	bool closing;      /* the descriptor is being closed: ends with -EBADF instead of -ECANCELED */
	bool holds_time;   /* will end by itself, so a virtual clock must not jump past it */
	int64_t result;    /* >= 0, or -errno */
	struct list link;  /* among the operations of its descriptor, or of those that arrived */
	struct job job;    /* epoll: what a file needs a worker for */
};

#endif
