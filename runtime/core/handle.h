/* SPDX-License-Identifier: MIT */
#ifndef CORE_HANDLE_H
#define CORE_HANDLE_H

#include <async/loop.h>

size_t handle_size(void);

/* As async_handle_new. `waker`: it stands for an outside event that can wake the loop, so that waiting for it is no
 * deadlock. */
int handle_prepare(async_loop *loop, async_callback *fn, void *arg, bool waker, async_handle **ret_handle);

/* One call from another thread, in two steps, of which the second cannot fail. `destroy` (may be NULL) gets `arg` if
 * the loop closes before the call, be it when it is freed, or if one that is not posted is released. NULL without
 * memory. */
async_handle *handle_new_remote(async_loop *loop, async_callback *fn, void *arg, async_destroy *destroy);
void handle_post_remote(async_handle *handle);

/* Makes ready what was posted, in the order of posting. */
void handle_take_inbox(struct async_loop *loop);

#endif
