/* SPDX-License-Identifier: MIT */
/* The further loops of a server: each in a thread of its own, which ends with its part. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include <async/loop.h>

#include "base/fault.h"
#include "base/thread_guard.h"
#include "compose/cancel_all.h"
#include "net/server.h"

static intptr_t await_part(void *arg)
{
	struct server_part *part = arg;

	/* Only the server ends it: its tasks are at work. */
	while (!async_event_is_set(&part->ended))
		(void)!async_event_wait(&part->ended);
	return 0;
}

static void *run_part(void *arg)
{
	struct server_part *part = arg;
	async_loop *loop = part->loop;
	struct thread_guard guard;
	intptr_t result;

	thread_guard_enter(&guard, "the loop of a server");
	/* A stop is for the program's own loops. */
	do
		result = async_loop_run_until_complete(loop, async_ref(part->main));
	while (result == -EINTR && !async_done(part->main));
	if (result < 0) {
		int none = 0;

		loop_report(loop, "a loop of a server failed, and the server closes", NULL, result);
		atomic_compare_exchange_strong(&part->server->error, &none, (int)result);
		server_raise(part->server, SERVER_CLOSING);
	}
	async_release(part->main);
	/* What the functions of connections have left behind. */
	loop_cancel_all(loop);
	async_loop_close(loop);
	atomic_store(&part->over, true);
	async_handle_post(part->server->parts[0].news);
	thread_guard_leave(&guard);
	return NULL;
}

int loop_part_make(struct server_part *part, const struct async_options *options)
{
	const async_loop *first = part->server->parts[0].loop;
	int error = async_loop_new(options, &part->loop);

	return error ? error : async_loop_set_error_handler(part->loop, first->error_handler, first->error_handler_arg);
}

/* Signals belong to the program's own threads. */
static int start_thread(struct server_part *part)
{
	char name[16];
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = fault("pthread_create");
	if (!error)
		error = pthread_create(&part->thread, NULL, run_part, part);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error)
		return -EAGAIN;
	part->has_thread = true;
	snprintf(name, sizeof(name), "server-%u", (unsigned)(part - part->server->parts));
	pthread_setname_np(part->thread, name);
	return 0;
}

int loop_part_start(struct server_part *part)
{
	int error = part_begin(part);

	if (error)
		return error;
	part->main = async_loop_create_task(part->loop, await_part, part, NULL);
	if (async_done(part->main))
		return (int)async_result(part->main);
	atomic_store(&part->over, false);
	error = start_thread(part);
	if (!error)
		return 0;
	atomic_store(&part->over, true);
	async_release(part->main);
	return error;
}

void loop_part_join(struct server_part *part)
{
	if (part->has_thread)
		pthread_join(part->thread, NULL);
	part->has_thread = false;
}

void loop_part_free(struct server_part *part)
{
	async_loop_free(part->loop);
}
