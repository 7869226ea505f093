/* SPDX-License-Identifier: MIT */
/* Compiled, not run, as C11 and as C++20: the public headers beside those of others that own ASYNC_* names. */
#if __has_include(<openssl/async.h>)
#include <openssl/async.h>
#include <openssl/asyncerr.h>
#endif
#if __has_include(<spandsp.h>)
#include <spandsp.h>
#endif
#include <linux/serial.h>
#include <linux/tty.h>
#include <linux/tty_flags.h>

#include <async.h>

/* Initialisers are macros: nobody knows whether they are valid until somebody uses them. */
struct async_options options_are_initialised(void);

struct async_options options_are_initialised(void)
{
	struct async_options options = ASYNC_OPTIONS_INIT;

	return options;
}
