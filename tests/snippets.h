/* SPDX-License-Identifier: MIT */
/*
 * What the examples in the comments of the public headers take for granted: the rest of the program in which they
 * stand. headers.sh compiles each of them behind this.
 */
#ifndef TESTS_SNIPPETS_H
#define TESTS_SNIPPETS_H

#include <async.h>
#include <async/layout.h>

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* What runs in examples that are whole programs. */
static inline intptr_t main_task(void *arg)
{
	(void)arg;
	return async_sleep(0);
}

/* Tasks, jobs and callbacks. */
async_fn fn, fetch, check, parse_file, look_up, handle_one;
async_callback deliver, on_readable;

/* What the program does besides. */
struct counts {
	size_t words, lines;
};
struct counts counts_of(const void *text, size_t size);
void use(const void *data, size_t size);
void handle(intptr_t result);
void merge(void);
void reload(void);
void serve(void *item);
void read_from(int fd);
void show(uint64_t loop);
void read_memory(void *to, uint64_t address, size_t size);
uint64_t read_word(uint64_t address);
bool more(void);
intptr_t prepare(void);
intptr_t talk_to_server(void);

/* What it has. */
struct request {
	int number;
};
extern struct request question, request, *mine;
extern async_loop *loop;
extern async_future *futures[], *commit, *quit;
extern async_executor *pool;
extern async_stream *stream;
extern async_queue *requests;
extern struct async_select_case cases[];
extern struct async_layout_note note;
extern struct sockaddr_in address;
extern uint64_t descriptor;
extern void *arg, *connection, *item, *path, *a, *b, *left, *right;
extern const char *text;
extern size_t size, count, n, turn;
extern intptr_t result;
extern int fd, client, file;
extern bool ready;

/* An example may stop before it uses what it has got. */
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wunused-function"

#endif
