/* SPDX-License-Identifier: MIT */
#ifndef CORE_OPTIONS_H
#define CORE_OPTIONS_H

#include <async/options.h>

/* The options of a loop: those given (NULL: none), what the environment of the program says, and the defaults. Returns
 * 0, -EINVAL or -ENOSYS. */
int options_read(const struct async_options *given, struct async_options *ret_options);

#endif
