/* SPDX-License-Identifier: MIT */
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static void print_path(const struct sockaddr_un *address, socklen_t size, char *text, size_t room)
{
	size_t start = offsetof(struct sockaddr_un, sun_path), length = size > start ? size - start : 0;
	const char *path = address->sun_path;

	if (length > 0 && path[0] == '\0')
		snprintf(text, room, "@%.*s", (int)length - 1, path + 1);
	else
		snprintf(text, room, "%.*s", (int)length, path);
}

void address_print(const struct sockaddr_storage *address, socklen_t size, char *text, size_t room)
{
	const struct sockaddr_in *in = (const void *)address;
	const struct sockaddr_in6 *in6 = (const void *)address;
	char number[INET6_ADDRSTRLEN];

	text[0] = '\0';
	switch (address->ss_family) {
	case AF_INET:
		inet_ntop(AF_INET, &in->sin_addr, number, sizeof(number));
		snprintf(text, room, "%s:%u", number, ntohs(in->sin_port));
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &in6->sin6_addr, number, sizeof(number));
		snprintf(text, room, "[%s]:%u", number, ntohs(in6->sin6_port));
		break;
	case AF_UNIX:
		print_path((const void *)address, size, text, room);
		break;
	}
}
