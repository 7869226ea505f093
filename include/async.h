/* SPDX-License-Identifier: MIT */
/* The short name of <async/async.h>, which is there for programs that find another library's async.h before this. */
#ifndef ASYNC_H
#define ASYNC_H

#include <async/async.h>

#endif
