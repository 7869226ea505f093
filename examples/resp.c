/* SPDX-License-Identifier: MIT */
/*
 * A cache that speaks Redis's protocol, RESP2.
 *
 * DESIGN. A task for each connection answers its commands in order. None waits between reading and writing the table,
 * so a command is atomic without a lock. What a stream is given is sent when its task waits for input: many commands in
 * one packet are answered in one. An entry that expires has a timer of the loop; if the table is full, the oldest goes.
 */
#include <async.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#define ENTRIES_MAX 1000000
#define WORDS_MAX 1024      /* of a command */
#define COMMAND_MAX 8388608 /* bytes in all words */
#define IS(name, condition) (strcasecmp(words[0].data, name) == 0 && (condition))

struct word {
	char *data; /* with a NUL behind it that does not count, and room for a number */
	size_t size;
};

struct entry {
	struct word key, value;
	async_handle *timer; /* NULL: it does not expire */
	async_time expires;
	UT_hash_handle hh;
};

static struct entry *table;

static void forget(void *arg)
{
	struct entry *entry = arg;

	HASH_DEL(table, entry);
	async_handle_cancel(entry->timer);
	async_handle_release(entry->timer);
	free(entry->key.data);
	free(entry->value.data);
	free(entry);
}

/* 0: never; less: at once. */
static void expire(struct entry *entry, long long seconds)
{
	async_time delay = (seconds < INT32_MAX ? seconds : INT32_MAX) * ASYNC_S;

	async_handle_cancel(entry->timer);
	async_handle_release(entry->timer);
	entry->timer = NULL;
	entry->expires = async_loop_time(NULL) + delay;
	if (seconds < 0)
		forget(entry);
	else if (seconds && async_loop_call_later(async_get_running_loop(), delay, forget, entry, &entry->timer) < 0)
		errx(1, "out of memory");
}

static struct entry *find(const struct word *key)
{
	struct entry *entry;

	HASH_FIND(hh, table, key->data, key->size, entry);
	return entry;
}

/* Takes what it keeps of key and value. */
static struct entry *put(struct word *key, struct word *value)
{
	struct entry *entry = find(key);

	if (!entry) {
		if (HASH_COUNT(table) == ENTRIES_MAX)
			forget(table);
		if (!(entry = calloc(1, sizeof(*entry))))
			errx(1, "out of memory");
		entry->key = *key;
		key->data = NULL;
		HASH_ADD_KEYPTR(hh, table, entry->key.data, entry->key.size, entry);
	}
	free(entry->value.data);
	entry->value = *value;
	value->data = NULL;
	return entry;
}

static bool number(const struct word *word, long long *ret_number)
{
	char *end;

	*ret_number = strtoll(word->data, &end, 10);
	return word->size > 0 && end == word->data + word->size && *ret_number < INT64_MAX && *ret_number > INT64_MIN;
}

static int send_line(async_stream *stream, const char *line) { return async_stream_printf(stream, "%s\r\n", line); }

static int send_number(async_stream *stream, long long n) { return async_stream_printf(stream, ":%lld\r\n", n); }

/* NULL is sent as what there is not. */
static int send_word(async_stream *stream, const struct word *word)
{
	char head[32];
	int size = snprintf(head, sizeof(head), "$%zd\r\n", word ? (ssize_t)word->size : -1);
	struct iovec parts[3] = {{head, (size_t)size}};

	if (word) {
		parts[1] = (struct iovec){word->data, word->size};
		parts[2] = (struct iovec){(char *)"\r\n", 2};
	}
	return async_stream_writev(stream, parts, word ? 3 : 1);
}

static int execute_numbers(async_stream *stream, struct word *words, size_t count, struct entry *entry)
{
	bool set = IS("SET", count == 5 && strcasecmp(words[3].data, "EX") == 0), expiry = IS("EXPIRE", count == 3);
	const struct word *text = set ? &words[4] : expiry ? &words[2] : entry ? &entry->value : NULL;
	long long n = 0;

	if (!set && !expiry && !IS("INCR", count == 2))
		return async_stream_printf(stream, "-ERR unknown command or wrong number of arguments: '%.64s'\r\n",
					   words[0].data);
	if (text && (!number(text, &n) || (set && n < 1)))
		return send_line(stream, "-ERR value is not an integer or out of range");
	if (set) {
		expire(put(&words[1], &words[2]), n);
		return send_line(stream, "+OK");
	}
	if (expiry && entry)
		expire(entry, n > 0 ? n : -1);
	if (expiry)
		return send_number(stream, entry != NULL);
	words[0].size = (size_t)sprintf(words[0].data, "%lld", n + 1);
	put(&words[1], &words[0]);
	return send_number(stream, n + 1);
}

static int execute(async_stream *stream, struct word *words, size_t count)
{
	struct entry *entry = count > 1 ? find(&words[1]) : NULL;
	long long n = 0;
	int error;

	if (IS("GET", count == 2))
		return send_word(stream, entry ? &entry->value : NULL);
	if (IS("MGET", count > 1)) {
		error = async_stream_printf(stream, "*%zu\r\n", count - 1);
		for (size_t i = 1; i < count && error == 0; i++)
			error = send_word(stream, (entry = find(&words[i])) ? &entry->value : NULL);
		return error;
	}
	if (IS("SET", count == 3) || IS("MSET", count > 2 && count % 2 == 1)) {
		for (size_t i = 1; i < count; i += 2)
			expire(put(&words[i], &words[i + 1]), 0);
		return send_line(stream, "+OK");
	}
	if (IS("DEL", count > 1)) {
		for (size_t i = 1; i < count; i++)
			if ((entry = find(&words[i])) && ++n)
				forget(entry);
		return send_number(stream, n);
	}
	if (IS("TTL", count == 2)) {
		n = !entry ? -2 : !entry->timer ? -1 : (entry->expires - async_loop_time(NULL) + ASYNC_S / 2) / ASYNC_S;
		return send_number(stream, n);
	}
	if (IS("PING", count == 1))
		return send_line(stream, "+PONG");
	if (IS("PING", count == 2) || IS("ECHO", count == 2))
		return send_word(stream, &words[1]);
	if (IS("CONFIG", count == 3))
		return async_stream_printf(stream, "*2\r\n$%zu\r\n%s\r\n$0\r\n\r\n", strlen(words[2].data),
					   words[2].data);
	if (IS("COMMAND", true))
		return send_line(stream, "*0");
	if (IS("INFO", true))
		return async_stream_printf(stream, "$28\r\n# Keyspace\r\nkeys:%09u\r\n\r\n", HASH_COUNT(table));
	return execute_numbers(stream, words, count, entry);
}

/* Words as "*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n" or, as one types them, in a line.
 * Returns: 1; 0 at the end; -EPROTO, and what reading gives. `*count` words are to be freed on every return. */
static intptr_t read_command(async_stream *stream, struct word *words, size_t *count)
{
	char *line, *rest;
	ssize_t got = async_stream_readline(stream, &line);

	if (got <= 0 || line[got - 1] != '\n')
		return got < 0 ? got : 0;
	line[got - 1] = '\0';
	for (char *word = *line == '*' ? NULL : strtok_r(line, " \r", &rest); word && *count < WORDS_MAX;
	     word = strtok_r(NULL, " \r", &rest)) {
		size_t size = strlen(word);
		char *data = malloc(size + 32);
		if (!data)
			return -ENOMEM;
		words[(*count)++] = (struct word){memcpy(data, word, size + 1), size};
	}
	size_t left = COMMAND_MAX, wanted = *line == '*' ? strtoul(line + 1, NULL, 10) : 0;
	if (wanted > WORDS_MAX)
		return -EPROTO;
	while (*count < wanted) {
		if ((got = async_stream_readline(stream, &line)) <= 0)
			return got;
		size_t size = line[0] == '$' && line[got - 1] == '\n' ? strtoul(line + 1, NULL, 10) : SIZE_MAX;
		if (size > left)
			return -EPROTO;
		left -= size;
		char *data = malloc(size + 32);
		if (!data)
			return -ENOMEM;
		words[(*count)++] = (struct word){data, size};
		if ((got = async_stream_readexactly(stream, data, size + 2)) != (ssize_t)size + 2)
			return got < 0 ? got : 0;
		data[size] = '\0';
	}
	return 1;
}

/* Runs for each connection, as a task of its own. */
static intptr_t serve(async_stream *stream, void *arg)
{
	struct word words[WORDS_MAX];
	intptr_t result = 1;
	int error = 0;

	(void)arg;
	while (result > 0 && error == 0) {
		size_t count = 0;

		result = read_command(stream, words, &count);
		if (result > 0 && count > 0)
			error = execute(stream, words, count);
		else if (result == -EPROTO || result == -EMSGSIZE)
			result = send_line(stream, "-ERR Protocol error");
		while (count > 0)
			free(words[--count].data);
		if (error == 0 && result > 0)
			error = async_stream_drain(stream);
	}
	return error ? error : result;
}

static intptr_t main_task(void *arg)
{
	struct sockaddr_in6 address; /* IPv4 has its port in the same place */
	socklen_t size = sizeof(address);
	char **names = arg;
	async_server *server;
	intptr_t error = async_start_server(names[0], names[1], serve, NULL, NULL, &server);

	if (error)
		return error;
	async_server_address(server, 0, (struct sockaddr *)&address, &size);
	dprintf(STDOUT_FILENO, "listening on %s:%d\n", names[0], ntohs(address.sin6_port));
	/* SIGINT cancels this task, which ends the wait as well. */
	int number = async_signal_wait((int[]){SIGTERM}, 1);
	error = async_server_abort(server);
	while (table)
		forget(table);
	return number < 0 ? number : error;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		errx(2, "usage: resp HOST PORT    (PORT 0: one that is free)");
	intptr_t result = async_run(main_task, argv + 1);
	if (result < 0 && result != -EINTR)
		errx(1, "%s:%s: %s", argv[1], argv[2], strerror((int)-result));
	return 0;
}
