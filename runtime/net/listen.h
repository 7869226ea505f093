/* SPDX-License-Identifier: MIT */
/* Sockets that listen. */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include <async/server.h>

/* What several loops listen with: the socket of loop `l` for address `i` is fds[l * count + i]. */
struct sockets {
	int *fds; /* -1 where there is none (any more) */
	size_t count, loops;
	bool shared; /* a socket may be listened on by several loops, or by other processes */
};

/* A path of ours, as long as it is the same file. */
struct unix_path {
	char *name; /* NULL: none */
	dev_t device;
	ino_t inode;
};

/* Each makes the sockets for options->loops loops. 0 or -errno. */
int listen_tcp(const char *host, const char *service, const struct async_server_options *options,
	       struct sockets *ret_sockets);
int listen_unix(const char *path, const struct async_server_options *options, struct sockets *ret_sockets,
		struct unix_path *ret_path);
/* With duplicates: the descriptors stay the caller's. */
int listen_on(const int *fds, size_t count, const struct async_server_options *options, struct sockets *ret_sockets);

/* Closes those that are left. */
void sockets_close(struct sockets *sockets);

/* Removes the path if it still is what was bound; or leaves it alone. */
void unix_path_remove(struct unix_path *path);
void unix_path_forget(struct unix_path *path);

#endif
