/* SPDX-License-Identifier: MIT */
/* An echo server on bare io_uring: one submission for each receive and each send, task work deferred. */
#include <liburing.h>
#include <stdint.h>
#include <unistd.h>

#include "listener.h"

struct connection {
	int fd;
	int sending; /* else: receiving */
	char buffer[1024];
};

static struct io_uring ring;
static struct connection *const accepting;

static struct io_uring_sqe *get_sqe(struct connection *c)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe) {
		io_uring_submit(&ring);
		sqe = io_uring_get_sqe(&ring);
	}
	io_uring_sqe_set_data(sqe, c);
	return sqe;
}

static void completed(struct connection *c, int result)
{
	if (result <= 0) {
		close(c->fd);
		free(c);
		return;
	}
	c->sending = !c->sending;
	if (c->sending)
		io_uring_prep_send(get_sqe(c), c->fd, c->buffer, (size_t)result, MSG_NOSIGNAL);
	else
		io_uring_prep_recv(get_sqe(c), c->fd, c->buffer, sizeof(c->buffer), 0);
}

int main(void)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
		.cq_entries = 4096,
	};
	int listener = open_listener();

	if (io_uring_queue_init_params(256, &ring, &params) < 0 || io_uring_register_ring_fd(&ring) < 0)
		return 1;
	io_uring_prep_accept(get_sqe(accepting), listener, NULL, NULL, SOCK_CLOEXEC);
	for (;;) {
		struct io_uring_cqe *cqe;
		unsigned head, n = 0;

		io_uring_submit_and_wait(&ring, 1);
		io_uring_for_each_cqe(&ring, head, cqe) {
			struct connection *c = io_uring_cqe_get_data(cqe);
			int result = cqe->res;

			n++;
			if (!c) {
				c = calloc(1, sizeof(*c));
				c->fd = result;
				c->sending = 1;
				io_uring_prep_accept(get_sqe(accepting), listener, NULL, NULL, SOCK_CLOEXEC);
				result = 1;
			}
			completed(c, result);
		}
		io_uring_cq_advance(&ring, n);
	}
}
