/* SPDX-License-Identifier: MIT */
#ifndef INTROSPECT_TRACE_H
#define INTROSPECT_TRACE_H

#include <async/trace.h>

/* The memory that reading needs, so that a signal handler can read. Returns 0 or -ENOMEM. */
int trace_read_prepare(void);
/* As async_trace_read. `in_signal`: the process is about to end; nothing is called that a handler may not call. */
int trace_read(async_trace_visitor *visit, void *arg, bool in_signal);
/* As async_trace_write. */
int trace_write_json(int fd, bool in_signal);

#endif
