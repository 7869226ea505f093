/* SPDX-License-Identifier: MIT */
#include "net/listen.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <async/resolve.h>
#include <async/socket.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/own_fd.h"

/* How often another free port is tried because the one that one address got is taken on another. */
#define PORT_ATTEMPTS 16

static int sockets_make(struct sockets *sockets, size_t count, size_t loops)
{
	sockets->fds = mem_array(count, loops * sizeof(int));
	if (!sockets->fds)
		return -ENOMEM;
	sockets->count = count;
	sockets->loops = loops;
	sockets->shared = false;
	for (size_t i = 0; i < count * loops; i++)
		sockets->fds[i] = -1;
	return 0;
}

static void close_fds(struct sockets *sockets)
{
	for (size_t i = 0; i < sockets->count * sockets->loops; i++) {
		if (sockets->fds[i] >= 0)
			close(sockets->fds[i]);
		sockets->fds[i] = -1;
	}
}

void sockets_close(struct sockets *sockets)
{
	close_fds(sockets);
	mem_free(sockets->fds);
	sockets->fds = NULL;
	sockets->count = 0;
}

static int listen_now(int fd, const struct async_server_options *options)
{
	return (int)SYS("listen", listen(fd, options->backlog));
}

/* Has the loops from `first` on share sockets, each through a descriptor of its own. */
static int share(const int *fds, struct sockets *sockets, size_t first)
{
	for (size_t i = first * sockets->count; i < sockets->count * sockets->loops; i++) {
		int fd = own_copy(fds[i % sockets->count]);

		if (fd < 0)
			return fd;
		sockets->fds[i] = fd;
	}
	return 0;
}

/* TCP */

static int set(int fd, int level, int option)
{
	int on = 1;

	return (int)SYS("setsockopt", setsockopt(fd, level, option, &on, sizeof(on)));
}

static int prepare(int fd, int family, const struct async_server_options *options)
{
	int error = set(fd, SOL_SOCKET, SO_REUSEADDR);

	if (!error && (options->reuse_port || options->loops > 1))
		error = set(fd, SOL_SOCKET, SO_REUSEPORT);
	/* IPv4 has a socket of its own. */
	if (!error && family == AF_INET6)
		error = set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	/* Connections inherit it. */
	return error ? error : set(fd, IPPROTO_TCP, TCP_NODELAY);
}

/* A socket that listens on an address, or why there is none. */
static int listen_at(const struct sockaddr *address, socklen_t size, const struct async_server_options *options)
{
	int fd = own_socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return fd;
	int error = prepare(fd, address->sa_family, options);
	if (!error)
		error = (int)SYS("bind", bind(fd, address, size));
	if (!error)
		error = listen_now(fd, options);
	if (!error)
		return fd;
	close(fd);
	return error;
}

static int get_address(int fd, struct sockaddr_storage *address, socklen_t *size)
{
	*size = sizeof(*address);
	return (int)SYS("getsockname", getsockname(fd, (struct sockaddr *)address, size));
}

static in_port_t *port_of(struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)address)->sin6_port
					      : &((struct sockaddr_in *)address)->sin_port;
}

static bool came_before(const struct addrinfo *list, const struct addrinfo *address)
{
	for (; list != address; list = list->ai_next)
		if (list->ai_addrlen == address->ai_addrlen &&
		    memcmp(list->ai_addr, address->ai_addr, list->ai_addrlen) == 0)
			return true;
	return false;
}

/* The sockets of the first loop. Where the port is free to choose, all take the one that the first gets. */
static int listen_at_each(const struct addrinfo *list, const struct async_server_options *options,
			  struct sockets *sockets)
{
	struct sockaddr_storage address;
	socklen_t size;
	in_port_t port = 0;
	int passed_over = -EADDRNOTAVAIL;

	sockets->count = 0;
	for (const struct addrinfo *each = list; each; each = each->ai_next) {
		if (came_before(list, each))
			continue;
		memcpy(&address, each->ai_addr, each->ai_addrlen);
		if (*port_of(&address) == 0)
			*port_of(&address) = port;
		int fd = listen_at((struct sockaddr *)&address, each->ai_addrlen, options);
		if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) {
			passed_over = fd;
			continue;
		}
		if (fd < 0)
			return fd;
		sockets->fds[sockets->count++] = fd;
		int error = get_address(fd, &address, &size);
		if (error)
			return error;
		port = *port_of(&address);
	}
	return sockets->count > 0 ? 0 : passed_over;
}

/* The same addresses, ports included, for the other loops. */
static int listen_again(const struct async_server_options *options, struct sockets *sockets)
{
	for (size_t i = sockets->count; i < sockets->count * sockets->loops; i++) {
		struct sockaddr_storage address;
		socklen_t size;
		int fd = get_address(sockets->fds[i % sockets->count], &address, &size);

		if (fd == 0)
			fd = listen_at((struct sockaddr *)&address, size, options);
		if (fd < 0)
			return fd;
		sockets->fds[i] = fd;
	}
	return 0;
}

static int listen_at_all(const struct addrinfo *list, const struct async_server_options *options,
			 struct sockets *ret_sockets)
{
	struct sockets sockets;
	size_t count = 0;
	int error = -EADDRINUSE;

	for (const struct addrinfo *each = list; each; each = each->ai_next)
		count++;
	if (sockets_make(&sockets, count, options->loops) < 0)
		return -ENOMEM;
	bool any_port = *port_of((struct sockaddr_storage *)list->ai_addr) == 0;
	for (int i = 0; i < PORT_ATTEMPTS && error == -EADDRINUSE; i++) {
		sockets.count = count;
		close_fds(&sockets);
		error = listen_at_each(list, options, &sockets);
		if (!any_port)
			break;
	}
	if (!error)
		error = listen_again(options, &sockets);
	if (error)
		sockets_close(&sockets);
	else
		*ret_sockets = sockets;
	return error;
}

int listen_tcp(const char *host, const char *service, const struct async_server_options *options,
	       struct sockets *ret_sockets)
{
	struct addrinfo hints = {.ai_family = options->family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *list;
	int error = async_resolve(host, service, &hints, &list);

	if (error)
		return error;
	error = listen_at_all(list, options, ret_sockets);
	freeaddrinfo(list);
	return error;
}

/* Unix */

/* Removes a socket that nobody listens on. 0, also if there is nothing; -EADDRINUSE. */
static int remove_stale(const char *path, const struct sockaddr_un *address, socklen_t size)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return 0;
	if (!S_ISSOCK(status.st_mode))
		return -EADDRINUSE;
	int fd = own_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	int error = (int)SYS("connect", connect(fd, (const struct sockaddr *)address, size));
	close(fd);
	if (error != -ECONNREFUSED)
		return -EADDRINUSE;
	return (int)SYS("unlink", unlink(path));
}

static int remember_path(const char *name, struct unix_path *ret_path)
{
	struct stat status;
	int error = (int)SYS("lstat", lstat(name, &status));

	if (error)
		return error;
	struct unix_path path = {mem_strndup(name, strlen(name)), status.st_dev, status.st_ino};
	if (!path.name)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}

void unix_path_forget(struct unix_path *path)
{
	mem_free(path->name);
	path->name = NULL;
}

void unix_path_remove(struct unix_path *path)
{
	struct stat status;

	if (path->name && lstat(path->name, &status) == 0 && status.st_dev == path->device &&
	    status.st_ino == path->inode)
		unlink(path->name);
	unix_path_forget(path);
}

static int bind_path(int fd, const char *path, const struct async_server_options *options, struct unix_path *ret_path)
{
	struct sockaddr_un address;
	int size = async_unix_address(path, &address);
	bool is_file = path[0] && path[0] != '@';
	int error = is_file && options->unlink_existing ? remove_stale(path, &address, (socklen_t)size) : 0;

	if (!error)
		error = (int)SYS("bind", bind(fd, (struct sockaddr *)&address, (socklen_t)size));
	if (error || !is_file)
		return error;
	/* Nobody can connect before it listens, whatever the permissions are until then. */
	if (options->mode)
		error = (int)SYS("chmod", chmod(path, options->mode));
	if (!error)
		error = remember_path(path, ret_path);
	if (error)
		unlink(path);
	return error;
}

int listen_unix(const char *path, const struct async_server_options *options, struct sockets *ret_sockets,
		struct unix_path *ret_path)
{
	struct sockaddr_un address;
	struct unix_path bound = {0};
	struct sockets sockets;
	int error = async_unix_address(path, &address);

	if (error < 0)
		return error;
	if (sockets_make(&sockets, 1, options->loops) < 0)
		return -ENOMEM;
	sockets.fds[0] = own_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	error = sockets.fds[0] < 0 ? sockets.fds[0] : bind_path(sockets.fds[0], path, options, &bound);
	if (!error)
		error = listen_now(sockets.fds[0], options);
	if (!error)
		error = share(sockets.fds, &sockets, 1);
	if (error) {
		unix_path_remove(&bound);
		sockets_close(&sockets);
		return error;
	}
	sockets.shared = sockets.loops > 1;
	*ret_sockets = sockets;
	*ret_path = bound;
	return 0;
}

/* Sockets that exist */

static int adopt(int fd, const struct async_server_options *options)
{
	int type, listens;
	socklen_t size = sizeof(int);
	int error = (int)SYS("getsockopt", getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size));

	if (!error && type != SOCK_STREAM)
		error = -EINVAL;
	if (!error)
		error = (int)SYS("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size));
	if (!error && !listens)
		error = listen_now(fd, options);
	int flags = error ? error : (int)SYS("fcntl", fcntl(fd, F_GETFL));
	if (flags < 0)
		return flags;
	/* Somebody else may take the connection that we were told of. */
	return (int)SYS("fcntl", fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

int listen_on(const int *fds, size_t count, const struct async_server_options *options, struct sockets *ret_sockets)
{
	struct sockets sockets;
	int error = 0;

	if (!fds || count == 0)
		return -EINVAL;
	if (sockets_make(&sockets, count, options->loops) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < count && !error; i++)
		error = adopt(fds[i], options);
	sockets.shared = true;
	if (!error)
		error = share(fds, &sockets, 0);
	if (error)
		sockets_close(&sockets);
	else
		*ret_sockets = sockets;
	return error;
}
