/* SPDX-License-Identifier: MIT */
/*
 * The inside of a server.
 *
 * It has a part in each of its loops, and a part has a listener for each address. What parts share is atomic; all else
 * of a part belongs to the thread of its loop. They talk by posting `news`: whoever gets it looks what has changed.
 * The first part is that of the loop that started the server; the threads of the others end before it does.
 */
#ifndef NET_SERVER_H
#define NET_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include <async/event.h>
#include <async/server.h>
#include <async/task.h>

#include "base/list.h"
#include "core/loop.h"
#include "io/stream_linger.h"
#include "net/listen.h"

enum server_state {
	SERVER_OPEN,
	SERVER_CLOSING,  /* accepts no more */
	SERVER_ABORTING, /* and cancels its connections */
};

struct server_part;

struct connection {
	struct list link;
	struct server_part *part;
	int fd;               /* -1: not accepted yet */
	async_stream *stream; /* NULL: not opened yet */
	async_task *task;     /* borrowed: it is alive while this is */
	bool has_place;       /* counts among those of the server */
	bool evicted;
	bool lingers; /* its function has returned */
	async_time since, still_since; /* see evict.c */
	uint64_t moved;
	char name[ASYNC_TASK_NAME_MAX];
};

/* A listening socket, of one loop, and the task that accepts from it. */
struct listener {
	struct server_part *part;
	int fd;                  /* -1 once it is closed */
	async_task *task;        /* borrowed; NULL once it has ended */
	struct connection *next; /* that is about to be accepted; NULL: none */
};

struct server_part {
	struct async_server *server;
	async_loop *loop;
	struct listener *listeners; /* as many as the server has addresses */
	size_t accepting;           /* their tasks that have not ended */
	struct list connections;    /* that are served */
	unsigned aborts;            /* of the server's that were carried out */
	bool short_of;              /* descriptors or memory: it was reported, and none was accepted since */
	struct async_event room;    /* set for a moment when a place may be free */
	struct async_event ended;   /* nothing of this part is left */
	async_handle *news;

	/* Of the further loops. */
	async_task *main;
	pthread_t thread;
	bool has_thread;
	atomic_bool over; /* the loop is closed, or never ran */
};

struct async_server {
	struct loop_hook hook;
	async_connection_fn *fn;
	void *arg;
	struct async_server_options options; /* without pointers */
	struct async_stream_options stream_options;
	struct linger_limits linger;
	struct unix_path path;
	size_t listener_count, part_count;
	bool shares_listeners; /* with others who wait for the same connections */
	size_t waiting;       /* tasks in serve_forever, close and abort */
	bool failed_to_start; /* nobody waits, or knows it: it frees itself */
	struct async_event ended;
	atomic_int state; /* enum server_state, which only rises */
	atomic_uint aborts; /* that were asked for: each cancels the connections once */
	atomic_int error; /* with which a listener failed first */
	atomic_size_t connections, paused;
	atomic_uint_least64_t accepted, evicted;
	atomic_bool crowded; /* a listener waits for a place, and no part has made room since it said so */
	struct server_part parts[];
};

static inline enum server_state server_state(const async_server *server)
{
	return (enum server_state)atomic_load_explicit(&server->state, memory_order_acquire);
}

/* Raises the state and tells every part; what is asked for again is told again. Any thread. */
void server_raise(async_server *server, enum server_state state);
/* Tells every part to look what has changed. Any thread. */
void server_tell(async_server *server);
/* Takes or gives back one of `max_connections`. Any thread. */
bool server_take_place(async_server *server);
void server_give_place(async_server *server);

/* Creates the tasks that accept. 0 or -errno: some may exist all the same. */
int part_begin(struct server_part *part);
/* Does what the server's state asks for. In the part's thread. */
void part_look(struct server_part *part);
/* Something of the part has ended. */
void part_settle(struct server_part *part);
/* Waits until a place may be free, and makes one if the options say so. 0; -EAGAIN: nobody wants it; -errno. */
int await_room(struct listener *listener);
/* A part's share in making room, if a listener of any part wants it. */
void part_make_room(struct server_part *part);
/* Frees what the part's tasks have left behind. */
void part_discard(struct server_part *part);

/* A further part: its loop, its tasks and its thread (0 or -errno: what was begun is to be ended all the same); waiting
 * for the end of the thread, which the state brings about; and freeing the loop, when no other part can post to
 * it any more. */
int loop_part_make(struct server_part *part, const struct async_options *options);
int loop_part_start(struct server_part *part);
void loop_part_join(struct server_part *part);
void loop_part_free(struct server_part *part);

/* True if the running task serves a connection of this server. */
bool server_serves_here(const async_server *server);

#endif
