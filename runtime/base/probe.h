/* SPDX-License-Identifier: MIT */
/*
 * Probes of user space (USDT) for perf, bpftrace and SystemTap, where <sys/sdt.h> is there at build time: a nop in the
 * code and a note beside it, which such a tool turns into a breakpoint. See async_debugging(7).
 */
#ifndef BASE_PROBE_H
#define BASE_PROBE_H

#if __has_include(<sys/sdt.h>)

#define SDT_USE_VARIADIC 1
#include <sys/sdt.h>

#define PROBE(...) STAP_PROBEV(libasync, __VA_ARGS__)

#else

#define PROBE(...) ((void)0)

#endif

#endif
