/* SPDX-License-Identifier: MIT */
/* An echo server on bare epoll: registers once, edge-triggered, and reads when it is told to. */
#include <sys/epoll.h>
#include <unistd.h>

#include "listener.h"

static void echo(int fd)
{
	char buffer[1024];
	ssize_t count;

	/* A full buffer: there may be more, and no further event for it. */
	do {
		count = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (count > 0 && send(fd, buffer, (size_t)count, MSG_NOSIGNAL) == count)
			continue;
		if (count >= 0)
			close(fd);
	} while (count == sizeof(buffer));
}

int main(void)
{
	struct epoll_event events[128];
	int listener = open_listener(), epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.fd = listener});
	for (;;) {
		int n = epoll_wait(epoll_fd, events, 128, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd != listener) {
				echo(events[i].data.fd);
				continue;
			}
			int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};

			if (fd >= 0)
				epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
		}
	}
}
