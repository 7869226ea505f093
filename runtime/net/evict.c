/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Connections that stand still make room for those that wait. While a listener waits for a place it looks at
 * the connections of its part again and again: one that shows the same as the last time stands still since then. So
 * nothing is noted while there is room, and the first eviction comes no sooner than `evict_after` after that.
 *
 * The other parts are asked as well, and look at theirs; but whoever finds one first has answered.
 */
#include <errno.h>
#include <poll.h>

#include <async/timeout.h>

#include "base/fault.h"
#include "io/stream.h"
#include "net/server.h"

/* How often it is looked while `evict_after` passes. */
#define LOOKS 4

/* Whether its task waits since it was looked last, and nothing went through its stream. A task that waits for something
 * else now has run between. */
static bool stands_still(struct connection *connection)
{
	struct async_task_stats stats = {.size = sizeof(stats)};
	/* None once it is closed, which may take a while, too. */
	uint64_t moved = connection->stream ? connection->stream->moved : 0;
	async_time since = -1;

	if (async_task_get_stats(connection->task, &stats) == 0 && stats.state == ASYNC_TASK_WAITING)
		since = stats.since;
	/* What is dropped at the end is no reason to stay. */
	bool waits = since >= 0 && (since == connection->since || connection->lingers);
	bool still = waits && moved == connection->moved;
	connection->since = since;
	connection->moved = moved;
	return still;
}

/* The one that has stood still longest, of those that have done so long enough; NULL: none. */
static struct connection *find_still(struct server_part *part)
{
	async_time now = loop_now(part->loop), longest = now - part->server->options.evict_after;
	struct connection *found = NULL;

	list_for_each(node, &part->connections) {
		struct connection *connection = list_entry(node, struct connection, link);

		if (!stands_still(connection))
			connection->still_since = now;
		if (connection->evicted || connection->still_since > longest)
			continue;
		longest = connection->still_since - 1;
		found = connection;
	}
	return found;
}

void part_make_room(struct server_part *part)
{
	async_server *server = part->server;

	if (!atomic_load(&server->crowded) || server_state(server) != SERVER_OPEN)
		return;
	struct connection *found = find_still(part);
	if (!found || !atomic_exchange(&server->crowded, false))
		return;
	found->evicted = true;
	atomic_fetch_add_explicit(&server->evicted, 1, memory_order_relaxed);
	async_cancel(found->task, "another connection waits for the place");
}

/* What comes next is a burst's next, which need not be there. */
static bool somebody_waits(const struct listener *listener)
{
	struct pollfd fd = {.fd = listener->fd, .events = POLLIN};

	return SYS("poll", poll(&fd, 1, 0)) > 0;
}

int await_room(struct listener *listener)
{
	struct server_part *part = listener->part;
	async_server *server = part->server;
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;
	async_time after = server->options.evict_after;

	if (after == 0)
		return async_event_wait(&part->room);
	if (!somebody_waits(listener))
		return -EAGAIN;
	/* What belongs to this part goes first. */
	atomic_store(&server->crowded, true);
	part_make_room(part);
	if (server->part_count > 1 && atomic_load(&server->crowded))
		server_tell(server);
	int error = async_timeout_begin(&scope, after / LOOKS + 1);
	if (!error)
		error = (int)async_timeout_end(&scope, async_event_wait(&part->room));
	atomic_store(&server->crowded, false);
	return error == -ETIMEDOUT ? 0 : error;
}
