/* SPDX-License-Identifier: MIT */
#ifndef IO_STREAM_LINGER_H
#define IO_STREAM_LINGER_H

#include <async/stream.h>

struct linger_limits {
	async_time time;    /* at most, once all has been sent; 0: does not linger */
	async_time timeout; /* until something comes */
	size_t size;        /* of what is dropped */
};

/*
 * Before a stream over a socket is closed: sends what was written and says that this was all, and drops what the peer
 * sends until that ends too, so that the peer gets everything. Returns at once where there is no unread input.
 * 0 however it ended, or -ECANCELED.
 */
int stream_linger(async_stream *stream, const struct linger_limits *limits);

#endif
