/* SPDX-License-Identifier: MIT */
/* A cache that speaks Redis's protocol, RESP2. A task for each connection answers its commands in order. None waits
 * between looking into the table and changing it, so there is no lock. What a stream is given is sent when its task
 * waits for input, so that answers go together. */
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

#define TABLE_MAX 67108864  /* bytes in all entries */
#define COMMAND_MAX 8388608 /* bytes in all words of a command */
#define WORDS_MAX 1024
#define NEVER INT64_MAX
#define IS(name, words_wanted) (count == (words_wanted) && strcasecmp(words[0].iov_base, name) == 0)

struct entry {
	async_time expires; /* then it is not found any more, and goes when its key is put or it is the oldest */
	struct iovec value; /* as each word of a command: with a NUL behind it that does not count */
	UT_hash_handle hh;
	char bytes[]; /* key and value */
};

static struct entry *table; /* in the order in which they were put */
static size_t table_size;

static void forget(struct entry *entry)
{
	table_size -= sizeof(*entry) + entry->hh.keylen + entry->value.iov_len + 1;
	HASH_DEL(table, entry);
	free(entry);
}

static struct entry *find(const struct iovec *key)
{
	struct entry *entry;

	HASH_FIND(hh, table, key->iov_base, key->iov_len, entry);
	return entry && entry->expires > async_loop_time(NULL) ? entry : NULL;
}

static void put(const struct iovec *key, const struct iovec *value, async_time expires)
{
	size_t size = sizeof(struct entry) + key->iov_len + value->iov_len + 1;
	struct entry *old, *entry = malloc(size);

	if (!entry)
		errx(1, "out of memory");
	*entry = (struct entry){expires, {entry->bytes + key->iov_len, value->iov_len}, .hh = {0}};
	memcpy(entry->bytes, key->iov_base, key->iov_len);
	memcpy(entry->value.iov_base, value->iov_base, value->iov_len + 1);
	HASH_FIND(hh, table, key->iov_base, key->iov_len, old);
	if (old)
		forget(old);
	HASH_ADD_KEYPTR(hh, table, entry->bytes, key->iov_len, entry);
	for (table_size += size; table_size > TABLE_MAX;)
		forget(table);
}

static bool number(const struct iovec *word, long least, long most, long *ret_number)
{
	char *end, *start = word->iov_base;

	*ret_number = strtol(start, &end, 10);
	return end > start && end == start + word->iov_len && least <= *ret_number && *ret_number <= most;
}

/* NULL is sent as what there is not. Waits if much is unsent: many large values are not all in memory. */
static int send_value(async_stream *stream, const struct iovec *value)
{
	int error = async_stream_printf(stream, value ? "$%zu\r\n" : "$-1\r\n", value ? value->iov_len : 0);

	if (error == 0 && value)
		error = async_stream_writev(stream, (struct iovec[]){*value, {(char *)"\r\n", 2}}, 2);
	return error ? error : async_stream_drain(stream);
}

static int execute(async_stream *stream, const struct iovec *words, size_t count)
{
	struct entry *entry = count > 1 ? find(&words[1]) : NULL;
	async_time now = async_loop_time(NULL);
	long n = 0;

	if (IS("PING", 1))
		return async_stream_printf(stream, "+PONG\r\n");
	if (IS("PING", 2) || IS("ECHO", 2))
		return send_value(stream, &words[1]);
	if (IS("COMMAND", count))
		return async_stream_printf(stream, "*0\r\n");
	if (IS("CONFIG", 3))
		return async_stream_printf(stream, "*2\r\n$0\r\n\r\n$0\r\n\r\n");
	if (IS("GET", 2) || (IS("MGET", count) && count > 1)) {
		int error = IS("GET", 2) ? 0 : async_stream_printf(stream, "*%zu\r\n", count - 1);
		for (size_t i = 1; i < count && error == 0; i++)
			error = send_value(stream, (entry = find(&words[i])) ? &entry->value : NULL);
		return error;
	}
	bool expiring = IS("SET", 5) && strcasecmp(words[3].iov_base, "EX") == 0 && number(&words[4], 1, INT32_MAX, &n);
	if (expiring || IS("SET", 3) || (IS("MSET", count) && count > 2 && count % 2 == 1)) {
		for (size_t i = 1; i < (expiring ? 3 : count); i += 2)
			put(&words[i], &words[i + 1], expiring ? now + n * ASYNC_S : NEVER);
		return async_stream_printf(stream, "+OK\r\n");
	}
	if (IS("INCR", 2) && (!entry || number(&entry->value, INT64_MIN + 1, INT64_MAX - 1, &n))) {
		char digits[24];
		struct iovec value = {digits, (size_t)sprintf(digits, "%ld", ++n)};
		put(&words[1], &value, entry ? entry->expires : NEVER);
	} else if (IS("DEL", count) && count > 1) {
		for (size_t i = 1; i < count; i++)
			if ((entry = find(&words[i])) && ++n)
				forget(entry);
	} else if (IS("EXPIRE", 3) && number(&words[2], INT32_MIN, INT32_MAX, &n)) {
		if (entry)
			entry->expires = now + n * ASYNC_S;
		n = entry != NULL;
	} else if (IS("TTL", 2)) {
		n = !entry ? -2 : entry->expires == NEVER ? -1 : (entry->expires - now + ASYNC_S / 2) / ASYNC_S;
	} else {
		return async_stream_printf(stream, "-ERR unknown command, or not its arguments or value\r\n");
	}
	return async_stream_printf(stream, ":%ld\r\n", n);
}

/* Words as "*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n" or, as one types them, in a line.
 * Returns: their count, 0 in an empty line and at the end; -EPROTO, and what reading gives. */
static ssize_t read_command(async_stream *stream, struct iovec *words, char *bytes)
{
	size_t size, count = 0, wanted = 0, left = COMMAND_MAX;
	char *line, *word;
	ssize_t got = async_stream_readline(stream, &line);

	if (got <= 0 || line[got - 1] != '\n')
		return got < 0 ? got : 0;
	line[got - 1] = '\0';
	if (line[0] == '*' && (wanted = strtoul(line + 1, NULL, 10)) - 1 >= WORDS_MAX)
		return -EPROTO;
	while (wanted == 0 && count <= WORDS_MAX && (word = strsep(&line, " \r")))
		if (*word)
			words[count++] = (struct iovec){word, strlen(word)};
	for (; count < wanted; bytes += size + 2, left -= size) {
		got = async_stream_readline(stream, &line);
		size = got > 0 && line[0] == '$' && line[got - 1] == '\n' ? strtoul(line + 1, NULL, 10) : SIZE_MAX;
		if (size > left || (got = async_stream_readexactly(stream, bytes, size + 2)) != (ssize_t)size + 2 ||
		    bytes[size] != '\r')
			return got < 0 ? got : -EPROTO;
		bytes[size] = '\0';
		words[count++] = (struct iovec){bytes, size};
	}
	return count <= WORDS_MAX ? (ssize_t)count : -EPROTO;
}

static intptr_t serve(async_stream *stream, void *arg)
{
	struct iovec words[WORDS_MAX + 1];
	char *bytes = malloc(COMMAND_MAX + 2 * WORDS_MAX); /* what no command has used takes no memory */
	ssize_t result = bytes ? 0 : -ENOMEM;

	(void)arg;
	while (result == 0 && !async_stream_at_eof(stream))
		if ((result = read_command(stream, words, bytes)) > 0 &&
		    (result = execute(stream, words, (size_t)result)) == 0)
			result = async_stream_drain(stream);
	if (result == -EPROTO || result == -EMSGSIZE)
		result = async_stream_printf(stream, "-ERR Protocol error\r\n");
	free(bytes);
	return result;
}

static intptr_t main_task(void *arg)
{
	struct async_server_options options = {sizeof(options), .max_connections = 1000, .evict_after = 60 * ASYNC_S};
	struct sockaddr_in6 address; /* IPv4 has its port in the same place */
	char **names = arg;
	async_server *server;
	intptr_t error = async_start_server(names[0], names[1], serve, NULL, &options, &server);

	if (error)
		return error;
	async_server_address(server, 0, (struct sockaddr *)&address, &(socklen_t){sizeof(address)});
	dprintf(STDOUT_FILENO, "listening on %s:%d\n", names[0], ntohs(address.sin6_port));
	int number = async_signal_wait((int[]){SIGTERM}, 1); /* SIGINT cancels this task, which ends the wait, too */
	error = async_server_abort(server);
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
