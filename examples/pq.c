/* SPDX-License-Identifier: MIT */
/*
 * Queries to PostgreSQL, concurrently over a few connections, with libpq's non-blocking calls.
 *
 * DESIGN. libpq has a state machine for each connection and says what it waits for; here a task does the waiting, with
 * async_poll. So connecting and querying are functions that return when they are done. The pool is a stack of
 * connections and a semaphore that counts them: who finds none waits until somebody gives one back.
 */
#include <async.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CONNECTIONS 4

struct query {
	const char *sql;
	size_t number;
	bool done;
};

static struct async_semaphore idle = ASYNC_SEMAPHORE_INIT(CONNECTIONS);
static PGconn *pool[CONNECTIONS]; /* NULL: not connected yet, or not any more */
static size_t pool_size = CONNECTIONS;

/* PQconnectdb for tasks. Returns: 0; -ENOTCONN with the reason in PQerrorMessage, -ENOMEM, -ECANCELED. */
static int connect_to_server(PGconn **connection)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	if (PQstatus(*connection) == CONNECTION_OK)
		return 0;
	PQfinish(*connection);
	*connection = PQconnectStart("");
	if (!*connection)
		return -ENOMEM;
	while (PQstatus(*connection) != CONNECTION_BAD && state != PGRES_POLLING_OK) {
		/* The descriptor is another one when libpq tries the next address. */
		int events = async_poll(PQsocket(*connection), state == PGRES_POLLING_READING ? POLLIN : POLLOUT);

		if (events < 0)
			return events;
		state = PQconnectPoll(*connection);
	}
	return PQsetnonblocking(*connection, 1) == 0 ? 0 : -ENOTCONN;
}

/* Sends what libpq has buffered and reads until it has a whole result. Reads while it sends: the server may be
 * doing the same, and would wait for us. Returns: 0; -EIO with the reason in PQerrorMessage, -ECANCELED. */
static int wait_for_result(PGconn *connection)
{
	int unsent;

	while ((unsent = PQflush(connection)) != 0 || PQisBusy(connection)) {
		int events = unsent < 0 ? -EIO : async_poll(PQsocket(connection), unsent ? POLLIN | POLLOUT : POLLIN);

		if (events < 0)
			return events;
		if ((events & ~POLLOUT) && !PQconsumeInput(connection))
			return -EIO;
	}
	return 0;
}

/* Returns: 0; 1 if the query failed, -ENOTSUP if it wants a COPY. */
static int print_result(const struct query *query, PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
		printf("%zu: %s\n", query->number, PQcmdStatus(result));
		return 0;
	case PGRES_TUPLES_OK:
	case PGRES_EMPTY_QUERY:
		break;
	case PGRES_FATAL_ERROR:
		fprintf(stderr, "pq: query %zu: %s", query->number, PQresultErrorMessage(result));
		return 1;
	default:
		fprintf(stderr, "pq: query %zu: only results in rows can be shown\n", query->number);
		return -ENOTSUP;
	}
	for (int row = 0; row < PQntuples(result); row++) {
		printf("%zu:", query->number);
		for (int column = 0; column < PQnfields(result); column++)
			printf("%c%s", column ? '|' : ' ', PQgetvalue(result, row, column));
		printf("\n");
	}
	return 0;
}

/* PQexec for tasks: sends the query and takes all its results. Returns: 0; 1 if it failed, and the connection is as
 * good as before; -EIO with the reason in PQerrorMessage, -ENOTSUP, -ECANCELED: it is in the middle of something. */
static int execute(const struct query *query, PGconn *connection)
{
	PGresult *result;
	int failed = 0;
	int error = PQsendQuery(connection, query->sql) ? wait_for_result(connection) : -EIO;

	while (error == 0 && (result = PQgetResult(connection))) {
		error = print_result(query, result);
		PQclear(result);
		failed |= error > 0;
		if (error >= 0)
			error = wait_for_result(connection);
	}
	return error ? error : failed;
}

/* A job: PQcancel makes a connection of its own and blocks. */
static intptr_t cancel_at_server(void *cancel)
{
	char reason[256];

	return PQcancel(cancel, reason, sizeof(reason)) ? 0 : -EIO;
}

/* The server works on a query even when nobody listens any more, so it is told. */
static void abandon(const struct query *query, PGconn *connection)
{
	PGcancel *cancel = PQgetCancel(connection);

	if (!cancel || async_to_thread(cancel_at_server, cancel) < 0)
		fprintf(stderr, "pq: query %zu: goes on at the server\n", query->number);
	PQfreeCancel(cancel);
}

/* A task. Its failure concerns no other query. */
static intptr_t run_query(void *arg)
{
	struct query *query = arg;
	int error = async_semaphore_acquire(&idle);

	if (error)
		return error;
	PGconn *connection = pool[--pool_size];
	error = connect_to_server(&connection);
	if (error == 0)
		error = execute(query, connection);
	query->done = error == 0;
	if (error == -EIO || error == -ENOTCONN)
		fprintf(stderr, "pq: query %zu: %s", query->number, PQerrorMessage(connection));
	if (error == -ECANCELED && PQtransactionStatus(connection) == PQTRANS_ACTIVE)
		abandon(query, connection);
	if (error < 0) {
		PQfinish(connection);
		connection = NULL;
	}
	pool[pool_size++] = connection;
	async_semaphore_release(&idle);
	return error == -ECANCELED ? error : 0;
}

static void stop(void *task) { async_cancel(task, "SIGTERM"); }

/* `arg` is an array that ends with a query without text. */
static intptr_t main_task(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;
	intptr_t error = async_loop_add_signal_handler(async_get_running_loop(), SIGTERM, stop, async_current_task());

	if (error == 0)
		error = async_group_begin(&group);
	if (error)
		return error;
	for (struct query *query = arg; query->sql && error == 0; query++)
		error = async_group_spawn(&group, run_query, query, NULL);
	error = async_group_end(&group, error);
	while (pool_size > 0)
		PQfinish(pool[--pool_size]);
	return error;
}

int main(int argc, char **argv)
{
	/* libpq is not used to the 64 KiB that a task has by default. */
	struct async_options options = {.size = sizeof(options), .stack_size = (size_t)256 << 10};
	struct query queries[argc];
	int failed = 0;

	if (argc < 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: pq QUERY...\n"
				"Sends the queries to PostgreSQL, %d at a time; PGHOST and the like say where.\n",
			CONNECTIONS);
		return 2;
	}
	for (int i = 0; i < argc; i++)
		queries[i] = (struct query){.sql = argv[i + 1], .number = (size_t)i + 1};
	intptr_t result = async_run_with(main_task, queries, &options);
	for (int i = 0; i < argc - 1; i++)
		failed |= !queries[i].done;
	if (result < 0)
		fprintf(stderr, "pq: stopped: %s\n", strerror((int)-result));
	return result == -EINTR ? 130 : result < 0 || failed;
}
