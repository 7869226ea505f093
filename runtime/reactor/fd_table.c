/* SPDX-License-Identifier: MIT */
#include "reactor/fd_table.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"

#define CHUNK 64

struct fd_entry *fd_table_find(const struct fd_table *table, int fd)
{
	size_t chunk = (size_t)fd / CHUNK;

	if (fd < 0 || chunk >= table->n_chunks || !table->chunks[chunk])
		return NULL;
	return &table->chunks[chunk][fd % CHUNK];
}

struct fd_entry *fd_table_next(const struct fd_table *table, int *fd)
{
	while ((size_t)*fd / CHUNK < table->n_chunks) {
		struct fd_entry *e = fd_table_find(table, *fd);

		if (e) {
			++*fd;
			return e;
		}
		*fd += CHUNK;
	}
	return NULL;
}

static int grow(struct fd_table *table, size_t chunk)
{
	size_t n = table->n_chunks ? table->n_chunks : 4;

	while (n <= chunk)
		n *= 2;
	struct fd_entry **chunks = mem_realloc_array(table->chunks, n, sizeof(*chunks));

	if (!chunks)
		return -ENOMEM;
	for (size_t i = table->n_chunks; i < n; i++)
		chunks[i] = NULL;
	table->chunks = chunks;
	table->n_chunks = n;
	return 0;
}

void fd_entry_init(struct fd_entry *e, int fd)
{
	for (int q = 0; q < QUEUES; q++)
		list_init(&e->queue[q]);
	list_init(&e->link);
	list_init(&e->pausing);
	e->fd = fd;
	e->twin = -1;
}

static int add_chunk(struct fd_table *table, size_t chunk)
{
	if (chunk >= table->n_chunks && grow(table, chunk) < 0)
		return -ENOMEM;
	struct fd_entry *entries = mem_array(CHUNK, sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	for (int i = 0; i < CHUNK; i++)
		fd_entry_init(&entries[i], (int)chunk * CHUNK + i);
	table->chunks[chunk] = entries;
	return 0;
}

int fd_table_get(struct fd_table *table, int fd, struct fd_entry **ret_entry)
{
	struct fd_entry *e = fd_table_find(table, fd);

	if (!e) {
		struct stat st;
		/* Else a stray number would make a directory of any size. */
		int err = SYS("fstat", fstat(fd, &st));

		if (err == 0)
			err = add_chunk(table, (size_t)fd / CHUNK);
		if (err < 0)
			return err;
		e = fd_table_find(table, fd);
	}
	if (e->kind == FD_UNKNOWN) {
		int err = fd_entry_identify(e);

		if (err < 0)
			return err;
	}
	*ret_entry = e;
	return 0;
}

void fd_table_free(struct fd_table *table)
{
	struct fd_entry *e;

	for (int fd = 0; (e = fd_table_next(table, &fd));)
		fd_entry_reset(e);
	for (size_t i = 0; i < table->n_chunks; i++)
		mem_free(table->chunks[i]);
	mem_free(table->chunks);
}

int fd_entry_identify(struct fd_entry *e)
{
	struct stat st;
	int err = SYS("fstat", fstat(e->fd, &st));

	if (err < 0)
		return err;
	if (S_ISSOCK(st.st_mode))
		e->kind = FD_SOCKET;
	else if (S_ISFIFO(st.st_mode))
		e->kind = FD_PIPE;
	else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))
		e->kind = FD_FILE;
	else if (S_ISCHR(st.st_mode) && isatty(e->fd))
		e->kind = FD_TERMINAL;
	else
		e->kind = FD_OTHER;
	e->direct = e->kind == FD_FILE && fcntl(e->fd, F_GETFL) & O_DIRECT;
	return 0;
}

void fd_entry_reset(struct fd_entry *e)
{
	if (e->twin >= 0)
		close(e->twin);
	e->twin = -1;
	e->kind = FD_UNKNOWN;
	e->watched = e->exclusive = e->tells_end = e->drained = false;
}
