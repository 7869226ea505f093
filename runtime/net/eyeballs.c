/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. All attempts belong to one task: their sockets are connected without waiting, and one select waits for all of
 * them and for the time of the next attempt. So there is nothing to cancel but the select. How an attempt stands is
 * asked by connecting once more, which the kernel answers with the outcome.
 */
#include "net/eyeballs.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <async/io.h>
#include <async/loop.h>
#include <async/select.h>
#include <async/socket.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/own_fd.h"
#include "io/socket.h"

struct race {
	const struct addrinfo **order, *local;
	struct async_select_case *cases; /* an attempt each, and at last the time of the next one */
	size_t count, begun, running;
	async_time delay;
	int error; /* what will be said if none connects */
};

static const struct addrinfo *next_of(const struct addrinfo *list, int family, bool same)
{
	while (list && (list->ai_family == family) != same)
		list = list->ai_next;
	return list;
}

void eyeballs_order(const struct addrinfo *list, const struct addrinfo **ret_order)
{
	int family = list->ai_family;
	const struct addrinfo *same = list, *other = next_of(list, family, false);

	while (same || other) {
		if (same) {
			*ret_order++ = same;
			same = next_of(same->ai_next, family, true);
		}
		if (other) {
			*ret_order++ = other;
			other = next_of(other->ai_next, family, false);
		}
	}
}

/* These say that this machine cannot reach such addresses at all, and nothing about the peer. */
static bool says_little(int error)
{
	return error == -ENETUNREACH || error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL;
}

static void note_failure(struct race *race, int error)
{
	if (race->error == 0 || says_little(race->error) || !says_little(error))
		race->error = error;
}

static int bind_local(int fd, int family, const struct addrinfo *local)
{
	int error = -EADDRNOTAVAIL, on = 1;

	/* A port is chosen only when the peer is known: then many connections can share one. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	for (; local && error; local = local->ai_next)
		if (local->ai_family == family)
			error = (int)SYS("bind", bind(fd, local->ai_addr, local->ai_addrlen));
	return error;
}

/* 0, -EINPROGRESS, or why it failed. */
static int try_connect(int fd, const struct addrinfo *address)
{
	int error = (int)SYS("connect", connect(fd, address->ai_addr, address->ai_addrlen));

	switch (error) {
	case 0:
	case -EISCONN: return socket_is_its_own_peer(fd, address->ai_addr) ? -ECONNREFUSED : 0;
	case -EALREADY:
	case -EINTR: return -EINPROGRESS;
	default: return error;
	}
}

/* Looks how attempt `i` stands: its descriptor, -EINPROGRESS, or why it failed and was closed. */
static int look(struct race *race, size_t i)
{
	struct async_select_case *attempt = &race->cases[i];
	int fd = attempt->fd, error = try_connect(fd, race->order[i]);

	if (error == -EINPROGRESS)
		return error;
	attempt->kind = ASYNC_SELECT_NEVER;
	race->running--;
	if (error == 0)
		return fd;
	(void)!async_close(fd);
	return error;
}

static int begin(struct race *race, size_t i)
{
	const struct addrinfo *address = race->order[i];
	int fd = own_socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK, address->ai_protocol), on = 1;

	if (fd < 0)
		return fd;
	/* What is written in small parts shall not wait for an acknowledgement. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	int error = race->local ? bind_local(fd, address->ai_family, race->local) : 0;
	if (error) {
		(void)!async_close(fd);
		return error;
	}
	race->cases[i] = (struct async_select_case)ASYNC_CASE_POLL(fd, POLLOUT);
	race->running++;
	return look(race, i);
}

/* Begins attempts until one does not fail at once. A descriptor, -EINPROGRESS, or the error if all have failed. */
static int begin_next(struct race *race)
{
	struct async_select_case *next = &race->cases[race->count];

	next->kind = ASYNC_SELECT_NEVER;
	while (race->begun < race->count) {
		int fd = begin(race, race->begun++);

		if (fd < 0 && fd != -EINPROGRESS) {
			note_failure(race, fd);
			continue;
		}
		if (race->begun < race->count)
			*next = (struct async_select_case)ASYNC_CASE_DEADLINE(async_loop_time(NULL) + race->delay);
		return fd;
	}
	return race->running > 0 ? -EINPROGRESS : race->error;
}

static int run_race(struct race *race)
{
	int fd = begin_next(race);

	while (fd == -EINPROGRESS) {
		intptr_t which = async_select(race->cases, race->count + 1);

		if (which < 0)
			return (int)which;
		if ((size_t)which < race->count) {
			fd = look(race, (size_t)which);
			if (fd >= 0 || fd == -EINPROGRESS)
				continue;
			note_failure(race, fd);
		}
		fd = begin_next(race);
	}
	return fd;
}

static void close_losers(struct race *race)
{
	for (size_t i = 0; i < race->begun; i++)
		if (race->cases[i].kind == ASYNC_SELECT_POLL)
			(void)!async_close(race->cases[i].fd);
}

int eyeballs_connect(const struct addrinfo *list, const struct addrinfo *local, async_time delay)
{
	struct race race = {.local = local, .delay = delay};
	int fd = -ENOMEM;

	for (const struct addrinfo *address = list; address; address = address->ai_next)
		race.count++;
	race.order = mem_array(race.count, sizeof(*race.order));
	race.cases = mem_zalloc((race.count + 1) * sizeof(*race.cases));
	if (race.order && race.cases) {
		eyeballs_order(list, race.order);
		fd = run_race(&race);
		close_losers(&race);
	}
	mem_free(race.order);
	mem_free(race.cases);
	return fd;
}
