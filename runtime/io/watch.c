/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. A watch is a poll operation that is begun again before each service: so the callback is made once an
 * iteration for as long as the descriptor is ready, and readiness is asked for when everybody has had the chance to
 * use it up.
 * What is removed while the kernel or the ready queue has it is freed when it comes back from there.
 */
#include <async/reader.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "base/fault.h"
#include "base/memory.h"
#include "context/exceptions.h"
#include "core/loop.h"
#include "io/fd.h"

enum direction {
	WATCH_READER,
	WATCH_WRITER,
	DIRECTIONS,
};

enum watch_state {
	WATCH_IDLE,    /* is begun at the next service */
	WATCH_WAITING, /* in the reactor */
	WATCH_READY,   /* in the ready queue */
};

struct watch {
	struct list link; /* among all of its loop */
	struct list idle;
	struct watches *watches;
	struct op op;
	struct entry entry;
	async_callback *fn;
	void *arg;
	uint8_t state; /* enum watch_state */
	uint8_t direction;
	bool replaced; /* since it became ready: what is ready is the other callback's */
	bool removed;
};

struct watches {
	struct loop_hook hook;
	struct async_loop *loop;
	struct list all, idle;
	/* By descriptor and direction; as large as the limit on open files makes descriptors. */
	struct watch **slots;
	size_t n_slots;
};

static size_t slot_of(int fd, enum direction direction)
{
	return (size_t)fd * DIRECTIONS + direction;
}

static void free_watch(struct watch *watch)
{
	list_remove(&watch->link);
	list_remove(&watch->idle);
	mem_free(watch);
}

/* A loop that is embedded shows that it wants service before it can wait. */
static void want_service(struct async_loop *loop)
{
	if (loop->poll_fd >= 0)
		loop_notify(loop);
}

static void set_idle(struct watch *watch)
{
	watch->state = WATCH_IDLE;
	list_append(&watch->watches->idle, &watch->idle);
	want_service(watch->watches->loop);
}

static void run_watch(struct entry *entry)
{
	struct watch *watch = container_of(entry, struct watch, entry);

	if (watch->removed) {
		free_watch(watch);
		return;
	}
	set_idle(watch);
	if (watch->replaced)
		watch->replaced = false;
	else
		/* Last, as it may remove the watch. */
		FENCED(watch->fn(watch->arg));
}

/* Whoever calls frees it, now or when it comes back. */
static void take_out(struct watch *watch)
{
	watch->removed = true;
	watch->watches->slots[slot_of(watch->op.fd, watch->direction)] = NULL;
	watch->watches->loop->wakers--;
}

static void remove_watch(struct watch *watch)
{
	take_out(watch);
	if (watch->state == WATCH_IDLE ||
	    (watch->state == WATCH_WAITING && reactor_cancel(watch->watches->loop->reactor, &watch->op)))
		free_watch(watch);
}

/* The operation has its result. */
static void arrived(struct watch *watch)
{
	struct async_loop *loop = watch->watches->loop;
	int64_t result = watch->op.result;

	if (result >= 0) {
		watch->state = WATCH_READY;
		ready_append(&loop->ready, &watch->entry);
		return;
	}
	take_out(watch);
	if (!watch->op.closing)
		loop_report(loop, "a descriptor with a reader or writer cannot be watched any more", NULL, result);
	free_watch(watch);
}

static void on_complete(struct op *op)
{
	struct watch *watch = container_of(op, struct watch, op);

	if (!watch->removed) {
		fd_completed(watch->watches->loop, op);
		arrived(watch);
		return;
	}
	/* A loop that closes has put it into the ready queue. */
	if (watch->state == WATCH_READY)
		return;
	fd_completed(watch->watches->loop, op);
	free_watch(watch);
}

static void begin_idle(struct async_loop *loop, struct loop_hook *hook)
{
	struct watches *watches = container_of(hook, struct watches, hook);
	struct list begun = LIST_INIT(begun), *node;
	struct reactor *reactor;

	/* Without a reactor the loop cannot wait either, and says why. */
	if (list_empty(&watches->idle) || loop_reactor(loop, &reactor) < 0)
		return;
	list_splice(&begun, &watches->idle);
	while ((node = list_pop(&begun))) {
		struct watch *watch = list_entry(node, struct watch, idle);

		watch->state = WATCH_WAITING;
		if (reactor_submit(reactor, &watch->op))
			arrived(watch);
	}
}

static void close_watches(struct async_loop *loop, struct loop_hook *hook)
{
	struct watches *watches = container_of(hook, struct watches, hook);

	list_for_each_safe(node, &watches->all) {
		struct watch *watch = list_entry(node, struct watch, link);

		if (!watch->removed)
			take_out(watch);
		list_remove(node);
		if (watch->state == WATCH_IDLE) {
			free_watch(watch);
		} else if (watch->state == WATCH_WAITING) {
			/* The queue is emptied after the reactor has let go. */
			watch->state = WATCH_READY;
			ready_append(&loop->ready, &watch->entry);
		}
	}
	list_remove(&hook->link);
	mem_free(watches->slots);
	mem_free(watches);
}

static struct watches *find_watches(struct async_loop *loop)
{
	struct loop_hook *hook = loop_find_hook(loop, close_watches);

	return hook ? container_of(hook, struct watches, hook) : NULL;
}

/* Made when a loop first watches a descriptor; NULL without memory. */
static struct watches *make_watches(struct async_loop *loop)
{
	struct watches *watches = find_watches(loop);

	if (watches || !(watches = mem_zalloc(sizeof(*watches))))
		return watches;
	watches->hook = (struct loop_hook){.turn = begin_idle, .close = close_watches};
	watches->loop = loop;
	list_init(&watches->all);
	list_init(&watches->idle);
	loop_add_hook(loop, &watches->hook);
	return watches;
}

static int make_room(struct watches *watches, size_t slot)
{
	size_t n = watches->n_slots ? watches->n_slots : 64;

	if (slot < watches->n_slots)
		return 0;
	while (n <= slot)
		n *= 2;
	struct watch **slots = mem_realloc_array(watches->slots, n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = watches->n_slots; i < n; i++)
		slots[i] = NULL;
	watches->slots = slots;
	watches->n_slots = n;
	return 0;
}

static struct watch *find_watch(const struct watches *watches, int fd, enum direction direction)
{
	size_t slot = fd < 0 ? SIZE_MAX : slot_of(fd, direction);

	return watches && slot < watches->n_slots ? watches->slots[slot] : NULL;
}

static int new_watch(struct watches *watches, int fd, enum direction direction, struct watch **ret_watch)
{
	int error = make_room(watches, slot_of(fd, direction));
	struct watch *watch = error ? NULL : mem_zalloc(sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->watches = watches;
	watch->direction = (uint8_t)direction;
	watch->op = (struct op){
		.code = OP_POLL,
		.fd = fd,
		.events = direction == WATCH_READER ? POLLIN : POLLOUT,
		.complete = on_complete,
	};
	watch->entry.kind = ENTRY_CALLBACK;
	watch->entry.run = run_watch;
	watches->slots[slot_of(fd, direction)] = watch;
	watches->loop->wakers++;
	list_append(&watches->all, &watch->link);
	set_idle(watch);
	*ret_watch = watch;
	return 0;
}

static int add(async_loop *loop, int fd, enum direction direction, async_callback *fn, void *arg)
{
	int error = loop && fn ? loop_check(loop) : -EINVAL;

	if (error)
		return error;
	int flags = (int)SYS("fcntl", fcntl(fd, F_GETFD));
	if (flags < 0)
		return flags;
	struct watches *watches = make_watches(loop);
	if (!watches)
		return -ENOMEM;
	struct watch *watch = find_watch(watches, fd, direction);
	if (watch)
		watch->replaced = watch->state == WATCH_READY;
	else if ((error = new_watch(watches, fd, direction, &watch)))
		return error;
	watch->fn = fn;
	watch->arg = arg;
	return 0;
}

static int remove_from(async_loop *loop, int fd, enum direction direction)
{
	int error = loop ? loop_check(loop) : -EINVAL;

	if (error)
		return error;
	struct watch *watch = find_watch(find_watches(loop), fd, direction);
	if (watch)
		remove_watch(watch);
	return watch != NULL;
}

int async_loop_add_reader(async_loop *loop, int fd, async_callback *fn, void *arg)
{
	return add(loop, fd, WATCH_READER, fn, arg);
}

int async_loop_add_writer(async_loop *loop, int fd, async_callback *fn, void *arg)
{
	return add(loop, fd, WATCH_WRITER, fn, arg);
}

int async_loop_remove_reader(async_loop *loop, int fd)
{
	return remove_from(loop, fd, WATCH_READER);
}

int async_loop_remove_writer(async_loop *loop, int fd)
{
	return remove_from(loop, fd, WATCH_WRITER);
}
