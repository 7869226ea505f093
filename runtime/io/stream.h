/* SPDX-License-Identifier: MIT */
/*
 * The inside of a stream.
 *
 * It stays where it is until nothing refers to it: no operation of its own is with the reactor, and no task is in one
 * of its reads. Those who wait in a drain refer to nothing: what they are woken with is their result.
 */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include <async/stream.h>

#include "base/list.h"
#include "core/loop.h"
#include "io/bytes.h"
#include "io/fd.h"
#include "reactor/op.h"

enum stream_state {
	STREAM_OPEN,
	STREAM_CLOSING, /* async_stream_close waits until everything is sent */
	STREAM_ABORTED, /* nobody has it any more; freed when nothing refers to it */
};

enum stream_output {
	OUTPUT_NONE, /* the descriptor is not open for writing */
	OUTPUT_OPEN,
	OUTPUT_ENDING, /* async_stream_write_eof; ends when everything is sent */
	OUTPUT_ENDED,
};

/* The streams of a loop. */
struct streams {
	struct loop_hook hook;
	struct async_loop *loop;
	struct list all;
	struct list dirty; /* with something to send that was not submitted yet */
};

/* A task in async_stream_close. */
struct stream_closer {
	struct task *task;
	bool aborted; /* meanwhile: the stream may be gone */
};

struct async_stream {
	struct list link; /* among all of its loop */
	struct streams *streams;
	int fd;           /* -1 once writing has ended on what was open for writing alone */
	uint8_t state;    /* enum stream_state */
	uint8_t output;   /* enum stream_output */
	bool keep_fd, is_socket, readable;
	bool eof;         /* the kernel said so */
	bool lingers;     /* its read is to end when all is sent */
	bool writing;     /* `op` is with the reactor, and `sending` is the kernel's */
	uint64_t moved;   /* bytes that came or went: whether the peer does anything */

	struct fd_wait *reading; /* of the task that is in a read */
	struct bytes input;      /* read ahead. Once empty, a caller may still look at it until the next read */
	size_t limit;
	size_t read_size;        /* to ask for: what was had in full is asked for twice as large */
	int read_error;          /* for every later read */

	int write_error;         /* for every later write */
	struct op op;
	struct bytes sending, pending; /* in the reactor; appended since */
	uint64_t offered_slice;        /* in which the kernel was offered something directly: a value of `switches` */
	struct list dirty;
	struct list drainers;
	size_t high_water, low_water;
	struct stream_closer *closer;
};

/* Whether this thread may use the stream now: 0, -EINVAL (NULL), -EPERM, -ESHUTDOWN. */
int stream_check(const async_stream *stream);

/* Submits what was written, unless an operation is under way: that goes on with it. */
void stream_flush(async_stream *stream);
/* Wakes those who wait in a drain, with this as its result. */
void stream_wake_drainers(async_stream *stream, int result);
/* Drops what was not sent; what the kernel has goes when the kernel lets go. */
void stream_drop_output(async_stream *stream);

/* Something that referred to the stream does not any more: ends what waited for that. May free the stream. */
void stream_settle(async_stream *stream);
/* Closes the descriptor, unless it is kept. 0 or -errno. */
int stream_close_fd(async_stream *stream);

#endif
