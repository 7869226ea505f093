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

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include "base/list.h"
#include "worker/pool.h"

enum op_code {
	OP_POLL,  /* `events` holds: the result is what holds. `flags` may be OP_EXCLUSIVE */
	OP_READ,  /* read(2) at the current position */
	OP_WRITE, /* write(2) at the current position, never a SIGPIPE; may write a part */
	/* The same with several buffers: `buffer` is a struct msghdr that has parts and nothing else. */
	OP_READV,
	OP_WRITEV,
	/* The calls of sockets. With MSG_DONTWAIT they complete at once, with -EAGAIN where they would have waited. */
	OP_RECV,
	OP_SEND,
	OP_RECVMSG, /* `buffer` is the struct msghdr, `size` the room for its address */
	OP_SENDMSG,
	OP_ACCEPT,  /* `buffer` gets the address, or is NULL, `size` is its room; `flags` as of accept4(2) */
	OP_CONNECT,
	OP_CALL, /* on a file: `buffer` is a struct call; `fd` < 0 where it is on none */
};

/*
 * The result of a try that would have to wait for something of which the kernel tells nothing: room in the backlog of
 * a Unix socket, or in the queue of a Unix datagram socket that the sender is not connected to. It is tried again
 * after a pause, twice as long each time.
 */
#define OP_NO_EVENT (-ERESTART)
#define OP_PAUSE_MIN 500000   /* ns */
#define OP_PAUSE_MAX 32000000 /* ns */

/*
 * Of those who wait so for one open file, in whatever loop or process, an event wakes one that sleeps, in turns.
 * Whoever is woken must do what there is to be done.
 */
#define OP_EXCLUSIVE 1

enum op_state {
	OP_IDLE,    /* the owner's */
	OP_PENDING, /* the reactor's */
	OP_ARRIVED, /* the reactor's: the result is set, `complete` is about to be called */
};

struct fd_entry;

struct op {
	/* Filled in by the owner. */
	uint8_t code; /* enum op_code */
	int fd;
	short events;
	int flags;    /* of the calls of sockets */
	void *buffer; /* what sends only reads it */
	size_t size;  /* what exceeds 2 GiB - 4 KiB is not transferred, as with read(2) */
	socklen_t *length; /* OP_ACCEPT: the size of the address, room on entry */
	void (*complete)(struct op *op); /* may submit again, and may free the operation */

	/* Set by the reactor. */
	uint8_t state;     /* enum op_state */
	uint8_t phase;     /* the backend's: where the operation is */
	uint8_t pauses;    /* how often it was tried in vain though it seemed ready */
	bool cancelling;   /* withdrawal was asked for */
	bool closing;      /* the descriptor is being closed: ends with -EBADF instead of -ECANCELED */
	bool seemed_ready; /* the last try followed readiness */
	bool connecting;   /* OP_CONNECT: has been begun, what is awaited is its outcome */
	bool holds_time;   /* will end by itself, so a virtual clock must not jump past it */
	int64_t result;    /* >= 0, or -errno */
	uint64_t sequence; /* of its submission */
	struct fd_entry *entry;
	struct list link;  /* among the operations of its descriptor, or of those that arrived */
	struct job job;    /* what a file needs a worker for */
	struct timespec pause; /* the backend's: how long it pauses, or until when */
};

/* Fills in the upper half but for `complete`: what few codes need is 0. The reactor sets the lower half; clearing it
 * here would cost as much as switching to another task. */
static inline void op_init(struct op *op, enum op_code code, int fd, void *buffer, size_t size)
{
	op->code = (uint8_t)code;
	op->fd = fd;
	op->events = 0;
	op->flags = 0;
	op->buffer = buffer;
	op->size = size;
	op->length = NULL;
	op->state = OP_IDLE;
}

/* How long it pauses this time, ns. */
static inline int64_t op_next_pause(struct op *op)
{
	int64_t pause = (int64_t)OP_PAUSE_MIN << op->pauses;

	if (pause >= OP_PAUSE_MAX)
		return OP_PAUSE_MAX;
	op->pauses++;
	return pause;
}

/* Of a receive that takes nothing from the ordinary data: the error queue, or what is urgent. */
static inline bool op_is_out_of_band(const struct op *op)
{
	return (op->code == OP_RECV || op->code == OP_RECVMSG) && op->flags & (MSG_ERRQUEUE | MSG_OOB);
}

#endif
