/* SPDX-License-Identifier: MIT */
#ifndef CORE_HANDLE_H
#define CORE_HANDLE_H

#include <async/loop.h>

size_t handle_size(void);

/* As async_handle_new. `waker`: it stands for an outside event that can wake the loop, so that waiting for it is no
 * deadlock. */
int handle_prepare(async_loop *loop, async_callback *fn, void *arg, bool waker, async_handle **ret_handle);

/* Makes ready what was posted, in the order of posting. */
void handle_take_inbox(struct async_loop *loop);

#endif
