/* SPDX-License-Identifier: MIT */
/*
 * Each call on each kind of descriptor in each state in which it must wait: it waits without asking the kernel again
 * and again, completes once the state has changed, and can be cancelled and ended by a close.
 */
#include "io_peers.h"

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/* How long a wait is watched. Load makes the count smaller, never greater. */
#define WINDOW (100 * ASYNC_MS)
/* A call that is tried again at once makes thousands in that time; one that looks after pauses some fifty. */
#define CALLS_MAX 120
/* The kernel itself tries so often before a thread of its own waits. That is one call of ours, except under the tools
 * for which the loop waits outside of io_uring_enter: there each of them is two. */
#define KERNEL_TRIES 128

/* What a row is about. `fd` is what waits. */
struct scene {
	int fd, peer;       /* -1: none */
	int more[16];       /* to be closed, too */
	size_t more_count;
	struct sockaddr_storage address;
	socklen_t size;
	char folder[32];    /* "": none */
};

static void keep(struct scene *s, int fd)
{
	assert_true(fd >= 0 && s->more_count < countof(s->more));
	s->more[s->more_count++] = fd;
}

/* How late TCP may acknowledge, ms, and some more. */
#define LATEST_ACKNOWLEDGEMENT 100

/* Until there is no room for good: the kernel goes on moving what it has taken. */
static void fill_up(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};

	do
		fill(fd);
	while (poll(&pfd, 1, LATEST_ACKNOWLEDGEMENT) == 1 && pfd.revents & POLLOUT);
}

/* Kinds and states */

static void two_ends(struct scene *s, int from, int to)
{
	s->fd = from;
	s->peer = to;
}

static void empty_pipe(struct scene *s)
{
	struct channel channel = open_channel(PIPE);

	two_ends(s, channel.in, channel.out);
}

static void full_pipe(struct scene *s)
{
	struct channel channel = open_channel(PIPE);

	fill(channel.out);
	two_ends(s, channel.out, channel.in);
}

static void empty_terminal(struct scene *s)
{
	struct channel channel = open_channel(TERMINAL);

	two_ends(s, channel.in, channel.out);
}

static void empty_master(struct scene *s)
{
	struct channel channel = open_channel(TERMINAL_MASTER);

	two_ends(s, channel.in, channel.out);
}

static void full_terminal(struct scene *s)
{
	struct channel channel = open_channel(TERMINAL_MASTER);

	fill_up(channel.out);
	two_ends(s, channel.out, channel.in);
}

static void unix_pair(struct scene *s, int type)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
	two_ends(s, ends[0], ends[1]);
}

static void empty_socket(struct scene *s)
{
	unix_pair(s, SOCK_STREAM);
}

static void full_socket(struct scene *s)
{
	empty_socket(s);
	fill(s->fd);
}

static void full_datagrams(struct scene *s)
{
	unix_pair(s, SOCK_DGRAM);
	fill(s->fd);
}

static int loopback(struct scene *s, int type)
{
	struct sockaddr_in *address = (struct sockaddr_in *)&s->address;
	int fd = async_socket(AF_INET, type, 0);

	*address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	s->size = sizeof(*address);
	assert_int_equal(bind(fd, (struct sockaddr *)address, s->size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)address, &s->size), 0);
	return fd;
}

static void listening(struct scene *s)
{
	s->fd = loopback(s, SOCK_STREAM);
	assert_int_equal(listen(s->fd, 8), 0);
}

static void empty_tcp(struct scene *s)
{
	listening(s);
	int listener = s->fd, size = 1 << 16;

	/* Of a size that is fixed: it does not grow later. */
	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	assert_int_equal(connect(s->fd, (struct sockaddr *)&s->address, s->size), 0);
	s->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(s->peer >= 0);
	close(listener);
}

static void full_tcp(struct scene *s)
{
	empty_tcp(s);
	fill_up(s->fd);
}

static void tcp_with_data(struct scene *s)
{
	empty_tcp(s);
	put(s->peer, "data");
}

/* Its end stands, and goes on being told. */
static void full_tcp_half_closed(struct scene *s)
{
	empty_tcp(s);
	assert_int_equal(shutdown(s->peer, SHUT_WR), 0);
	fill_up(s->fd);
}

/* Neither end sends any more: a hang-up stands. */
static void tcp_hung_up(struct scene *s)
{
	empty_tcp(s);
	assert_int_equal(shutdown(s->fd, SHUT_RDWR), 0);
	assert_int_equal(shutdown(s->peer, SHUT_RDWR), 0);
}

static void udp(struct scene *s)
{
	int on = 1;

	s->fd = loopback(s, SOCK_DGRAM);
	assert_int_equal(setsockopt(s->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)), 0);
}

/* Has data that nobody wants. */
static void udp_with_data(struct scene *s)
{
	udp(s);
	assert_int_equal(sendto(s->fd, "data", 4, 0, (struct sockaddr *)&s->address, s->size), 4);
}

static void send_into_the_void(struct scene *s)
{
	struct sockaddr_in nobody = *(struct sockaddr_in *)&s->address;

	nobody.sin_port = htons(1);
	assert_int_equal(sendto(s->fd, "?", 1, 0, (struct sockaddr *)&nobody, s->size), 1);
}

/* What the error queue has, stands as an error until it is read; the error itself was told. */
static void udp_with_errors(struct scene *s)
{
	struct pollfd pfd = {0};
	char byte;

	udp(s);
	send_into_the_void(s);
	pfd.fd = s->fd;
	assert_int_equal(poll(&pfd, 1, 10000), 1);
	assert_true(recv(s->fd, &byte, 1, 0) < 0);
}

static void unix_listener(struct scene *s, int type, int backlog)
{
	static int serial;
	char name[64];

	snprintf(name, sizeof(name), "@test_waiting.%d.%d", (int)getpid(), serial++);
	s->size = (socklen_t)async_unix_address(name, (struct sockaddr_un *)&s->address);
	s->peer = async_socket(AF_UNIX, type, 0);
	assert_int_equal(bind(s->peer, (struct sockaddr *)&s->address, s->size), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(s->peer, backlog), 0);
	s->fd = async_socket(AF_UNIX, type, 0);
}

static void unix_listening(struct scene *s)
{
	unix_listener(s, SOCK_STREAM, 8);
	int other = s->fd;

	s->fd = s->peer;
	s->peer = other;
}

static void full_backlog(struct scene *s)
{
	unix_listener(s, SOCK_STREAM, 1);
	do
		keep(s, async_socket(AF_UNIX, SOCK_STREAM, 0));
	while (connect(s->more[s->more_count - 1], (struct sockaddr *)&s->address, s->size) == 0);
	assert_int_equal(errno, EAGAIN);
}

/* A receiver that is full, of a sender that is not connected to it. */
static void full_receiver(struct scene *s)
{
	unix_listener(s, SOCK_DGRAM, 0);
	while (sendto(s->fd, "x", 1, 0, (struct sockaddr *)&s->address, s->size) == 1)
		;
	assert_int_equal(errno, EAGAIN);
}

static void event(struct scene *s)
{
	s->fd = eventfd(0, EFD_CLOEXEC);
}

static void full_event(struct scene *s)
{
	uint64_t most = UINT64_MAX - 1;

	event(s);
	assert_int_equal(write(s->fd, &most, sizeof(most)), sizeof(most));
}

static void timer(struct scene *s)
{
	s->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
}

static void watched_folder(struct scene *s)
{
	s->fd = inotify_init1(IN_CLOEXEC);
	strcpy(s->folder, "/tmp/test_waiting.XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	assert_true(inotify_add_watch(s->fd, s->folder, IN_CREATE) >= 0);
}

static sigset_t user_signal(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return set;
}

static void signals(struct scene *s)
{
	sigset_t set = user_signal();

	s->fd = signalfd(-1, &set, SFD_CLOEXEC);
}

/* A file beside a target that is full. */
static void file_and(struct scene *s, void (*full)(struct scene *s))
{
	FILE *file = tmpfile();

	full(s);
	assert_non_null(file);
	assert_true(fputs("text", file) >= 0);
	keep(s, fcntl(fileno(file), F_DUPFD_CLOEXEC, 0));
	fclose(file);
	assert_int_equal(lseek(s->more[0], 0, SEEK_SET), 0);
}

static void file_and_full_socket(struct scene *s)
{
	file_and(s, full_tcp);
}

static void file_and_full_pipe(struct scene *s)
{
	file_and(s, full_pipe);
}

/* A pipe that has something, and a socket that is full. */
static void pipe_and_full_socket(struct scene *s)
{
	struct channel channel = open_channel(PIPE);

	full_socket(s);
	put(channel.out, "text");
	keep(s, channel.in);
	keep(s, channel.out);
}

static void empty_pipe_and_socket(struct scene *s)
{
	struct channel channel = open_channel(PIPE);

	empty_pipe(s);
	keep(s, channel.out);
	keep(s, channel.in);
}

/* Which shows as an error of the socket's until somebody reads it. */
static void queue_a_timestamp(int fd)
{
	int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY;
	struct pollfd pfd = {.fd = fd};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)), 0);
	put(fd, "x");
	assert_int_equal(poll(&pfd, 1, -1), 1);
	assert_int_equal(pfd.revents, POLLERR);
}

static void tcp_with_a_timestamp_and_pipe(struct scene *s)
{
	struct channel channel = open_channel(PIPE);

	empty_tcp(s);
	queue_a_timestamp(s->fd);
	keep(s, s->more[0]);
	s->more[0] = channel.out;
	keep(s, channel.in);
}

/* Calls */

static char block[1 << 16];

static intptr_t reads(void *arg)
{
	struct scene *s = arg;

	return async_read(s->fd, block, 128);
}

static intptr_t reads_parts(void *arg)
{
	struct scene *s = arg;
	struct iovec parts[2] = {{block, 64}, {block + 64, 64}};

	return async_readv(s->fd, parts, 2);
}

static intptr_t writes(void *arg)
{
	struct scene *s = arg;

	return async_write(s->fd, block, 8);
}

static intptr_t writes_parts(void *arg)
{
	struct scene *s = arg;
	struct iovec parts[2] = {{block, 4}, {block + 4, 4}};

	return async_writev(s->fd, parts, 2);
}

static intptr_t receives(void *arg)
{
	struct scene *s = arg;

	return async_recv(s->fd, block, 64, 0);
}

static intptr_t receives_message(void *arg)
{
	struct scene *s = arg;
	socklen_t size = sizeof(s->address);

	return async_recvfrom(s->fd, block, 64, 0, (struct sockaddr *)&s->address, &size);
}

static intptr_t receives_error(void *arg)
{
	struct scene *s = arg;
	char control[512];
	struct iovec part = {block, 64};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

	return async_recvmsg(s->fd, &message, MSG_ERRQUEUE);
}

static intptr_t sends(void *arg)
{
	struct scene *s = arg;

	return async_send(s->fd, block, 8, 0);
}

static intptr_t sends_to(void *arg)
{
	struct scene *s = arg;

	return async_sendto(s->fd, block, 8, 0, (struct sockaddr *)&s->address, s->size);
}

static intptr_t connects(void *arg)
{
	struct scene *s = arg;

	return async_connect(s->fd, (struct sockaddr *)&s->address, s->size);
}

static intptr_t accepts(void *arg)
{
	struct scene *s = arg;
	int fd = async_accept(s->fd, NULL, NULL);

	if (fd >= 0)
		keep(s, fd);
	return fd;
}

static intptr_t polls_in(void *arg)
{
	return async_poll(((struct scene *)arg)->fd, POLLIN);
}

static intptr_t polls_out(void *arg)
{
	return async_poll(((struct scene *)arg)->fd, POLLOUT);
}

static intptr_t polls_urgent(void *arg)
{
	return async_poll(((struct scene *)arg)->fd, POLLPRI);
}

static intptr_t polls_end(void *arg)
{
	return async_poll(((struct scene *)arg)->fd, POLLRDHUP);
}

static intptr_t sends_file(void *arg)
{
	struct scene *s = arg;

	return async_sendfile(s->fd, s->more[0], NULL, 4);
}

static intptr_t splices(void *arg)
{
	struct scene *s = arg;

	return async_splice(s->more[0], NULL, s->fd, NULL, 4, 0);
}

static intptr_t splices_out(void *arg)
{
	struct scene *s = arg;

	return async_splice(s->fd, NULL, s->more[0], NULL, 4, 0);
}

static int called;

static void call(void *arg)
{
	called++;
	async_event_set(arg);
}

static intptr_t reader(void *arg)
{
	struct scene *s = arg;
	struct async_event ready = ASYNC_EVENT_INIT;

	called = 0;
	assert_int_equal(async_loop_add_reader(async_get_running_loop(), s->fd, call, &ready), 0);
	int error = async_event_wait(&ready);
	async_loop_remove_reader(async_get_running_loop(), s->fd);
	return error;
}

static intptr_t writer(void *arg)
{
	struct scene *s = arg;
	struct async_event ready = ASYNC_EVENT_INIT;

	called = 0;
	assert_int_equal(async_loop_add_writer(async_get_running_loop(), s->fd, call, &ready), 0);
	int error = async_event_wait(&ready);
	async_loop_remove_writer(async_get_running_loop(), s->fd);
	return error;
}

/* Changes of state */

static void say(struct scene *s)
{
	put(s->peer, "text\n");
}

static void end(struct scene *s)
{
	assert_int_equal(shutdown(s->peer, SHUT_WR), 0);
}

static void drain(struct scene *s)
{
	int flags = fcntl(s->peer, F_GETFL);

	assert_int_equal(fcntl(s->peer, F_SETFL, flags | O_NONBLOCK), 0);
	while (read(s->peer, block, sizeof(block)) > 0)
		;
	assert_int_equal(fcntl(s->peer, F_SETFL, flags), 0);
}

static void say_urgently(struct scene *s)
{
	assert_int_equal(send(s->peer, "!", 1, MSG_OOB), 1);
}

static void say_by_address(struct scene *s)
{
	assert_int_equal(sendto(s->fd, "text", 4, 0, (struct sockaddr *)&s->address, s->size), 4);
}

static void come(struct scene *s)
{
	int fd = async_socket(s->address.ss_family, SOCK_STREAM, 0);

	keep(s, fd);
	assert_true(connect(fd, (struct sockaddr *)&s->address, s->size) == 0 || errno == EINPROGRESS);
}

static void accept_all(struct scene *s)
{
	int fd;

	while ((fd = accept4(s->peer, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		keep(s, fd);
}

static void count_up(struct scene *s)
{
	uint64_t one = 1;

	assert_int_equal(write(s->fd, &one, sizeof(one)), sizeof(one));
}

static void count_down(struct scene *s)
{
	uint64_t count;

	assert_int_equal(read(s->fd, &count, sizeof(count)), sizeof(count));
}

static void expire(struct scene *s)
{
	struct itimerspec soon = {.it_value.tv_nsec = 1};

	assert_int_equal(timerfd_settime(s->fd, 0, &soon, NULL), 0);
}

static void create_file(struct scene *s)
{
	char name[80];

	snprintf(name, sizeof(name), "%s/file", s->folder);
	int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	unlink(name);
}

static void raise_signal(struct scene *s)
{
	(void)s;
	raise(SIGUSR2);
}

static const struct row {
	const char *name;
	void (*begin)(struct scene *s);
	async_fn *call;
	void (*change)(struct scene *s); /* NULL: what it waits for does not come */
} rows[] = {
	{"read of an empty pipe", empty_pipe, reads, say},
	{"readv of an empty pipe", empty_pipe, reads_parts, say},
	{"read of an empty socket", empty_socket, reads, say},
	{"readv of an empty socket", empty_socket, reads_parts, say},
	{"read of a terminal", empty_terminal, reads, say},
	{"read of a terminal's master", empty_master, reads, say},
	{"read of an eventfd", event, reads, count_up},
	{"read of a timerfd", timer, reads, expire},
	{"read of inotify", watched_folder, reads, create_file},
	{"read of a signalfd", signals, reads, raise_signal},
	{"write to a full pipe", full_pipe, writes, drain},
	{"writev to a full pipe", full_pipe, writes_parts, drain},
	{"write to a full socket", full_socket, writes, drain},
	{"writev to a full socket", full_socket, writes_parts, drain},
	{"write to a full terminal", full_terminal, writes, drain},
	{"write to a full eventfd", full_event, writes, count_down},
	{"recv of TCP", empty_tcp, receives, say},
	{"recv of UDP", udp, receives, say_by_address},
	{"recv of UDP with errors queued", udp_with_errors, receives, say_by_address},
	{"recvmsg of TCP", empty_tcp, receives_message, say},
	{"recvmsg of the error queue", udp, receives_error, send_into_the_void},
	{"recvmsg of the error queue beside data", udp_with_data, receives_error, send_into_the_void},
	{"recvmsg of the error queue after a hang-up", tcp_hung_up, receives_error, NULL},
	{"send to full TCP", full_tcp, sends, drain},
	{"send to full TCP whose peer has ended", full_tcp_half_closed, sends, drain},
	{"send to a full socket", full_socket, sends, drain},
	{"send of a datagram to a full peer", full_datagrams, sends, drain},
	{"sendto a full receiver", full_receiver, sends_to, drain},
	{"accept of TCP", listening, accepts, come},
	{"accept of a Unix socket", unix_listening, accepts, come},
	{"connect to a full backlog", full_backlog, connects, accept_all},
	{"poll for input of an empty pipe", empty_pipe, polls_in, say},
	{"poll for input of TCP", empty_tcp, polls_in, say},
	{"poll for input of a listener", listening, polls_in, come},
	{"poll for input of an eventfd", event, polls_in, count_up},
	{"poll for room in a full pipe", full_pipe, polls_out, drain},
	{"poll for room in full TCP", full_tcp, polls_out, drain},
	{"poll for room in full TCP whose peer has ended", full_tcp_half_closed, polls_out, drain},
	{"poll for urgent data of TCP", empty_tcp, polls_urgent, say_urgently},
	{"poll for urgent data of TCP beside data", tcp_with_data, polls_urgent, say_urgently},
	{"poll for urgent data of TCP whose peer has ended", full_tcp_half_closed, polls_urgent, NULL},
	{"poll for the end of TCP", empty_tcp, polls_end, end},
	{"sendfile to a full socket", file_and_full_socket, sends_file, drain},
	{"sendfile to a full pipe", file_and_full_pipe, sends_file, drain},
	{"splice to a full socket", pipe_and_full_socket, splices, drain},
	{"splice of an empty pipe", empty_pipe_and_socket, splices_out, say},
	{"splice of TCP with a timestamp queued", tcp_with_a_timestamp_and_pipe, splices_out, say},
	{"a reader of an empty pipe", empty_pipe, reader, say},
	{"a writer of a full pipe", full_pipe, writer, drain},
	{"a writer of full TCP whose peer has ended", full_tcp_half_closed, writer, drain},
};

static void begin(const struct row *row, struct scene *s)
{
	*s = (struct scene){.fd = -1, .peer = -1};
	row->begin(s);
	assert_true(s->fd >= 0);
}

static void finish(struct scene *s)
{
	if (s->fd >= 0)
		close_now(s->fd);
	if (s->peer >= 0)
		close_now(s->peer);
	for (size_t i = 0; i < s->more_count; i++)
		close_now(s->more[i]);
	if (s->folder[0])
		rmdir(s->folder);
}

static uint64_t calls_allowed(void)
{
	return under_tool("valgrind") || under_tool("tsan") ? CALLS_MAX + 2 * KERNEL_TRIES : CALLS_MAX;
}

static uint64_t calls_made(void)
{
	struct async_loop_stats stats = {.size = sizeof(stats)};

	assert_int_equal(async_loop_get_stats(async_get_running_loop(), &stats), 0);
	return stats.system_calls;
}

/* Begins to wait, and gives the system calls that it makes in a while. What was full may have got room, as TCP
 * acknowledges late: then once more. */
static uint64_t begin_waiting(const struct row *row, async_time time, struct scene *s, async_task **ret_task)
{
	for (int tries = 0;; tries++) {
		begin(row, s);
		*ret_task = async_create_task(row->call, s);
		uint64_t before = calls_made();

		assert_int_equal(async_sleep(time), 0);
		uint64_t calls = calls_made() - before;
		if (tries == 5 || !async_done(*ret_task))
			return calls;
		assert_true(async_await(*ret_task) > 0);
		finish(s);
	}
}

static intptr_t wait_quietly(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < countof(rows); i++) {
		struct scene s;
		async_task *task;
		uint64_t calls = begin_waiting(&rows[i], WINDOW, &s, &task);

		if (async_done(task) || calls > calls_allowed())
			fail_msg("%s: %s, %lu system calls", rows[i].name, async_done(task) ? "does not wait" : "waits",
				 (unsigned long)calls);
		if (rows[i].change)
			rows[i].change(&s);
		else
			async_cancel(task, NULL);
		intptr_t result = async_wait_for(task, 30 * ASYNC_S);
		if (rows[i].change ? result < 0 : result != -ECANCELED)
			fail_msg("%s: %ld after the change", rows[i].name, (long)result);
		finish(&s);
	}
	return 0;
}

static intptr_t be_cancelled(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < countof(rows); i++) {
		struct scene s;
		async_task *task;

		begin_waiting(&rows[i], ASYNC_MS, &s, &task);
		async_cancel(task, NULL);
		intptr_t result = async_await(task);
		if (result != -ECANCELED)
			fail_msg("%s: %ld when it is cancelled", rows[i].name, (long)result);
		finish(&s);
	}
	return 0;
}

static intptr_t be_closed(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < countof(rows); i++) {
		struct scene s;
		async_task *task;

		/* Removing them is the program's. */
		if (rows[i].call == reader || rows[i].call == writer)
			continue;
		begin_waiting(&rows[i], ASYNC_MS, &s, &task);
		close_now(s.fd);
		s.fd = -1;
		intptr_t result = async_wait_for(task, 30 * ASYNC_S);
		if (result != -EBADF)
			fail_msg("%s: %ld when it is closed", rows[i].name, (long)result);
		finish(&s);
	}
	return 0;
}

static void waiting_is_quiet(void **state)
{
	(void)state;
	run_really(wait_quietly);
}

static void waiting_can_be_cancelled(void **state)
{
	(void)state;
	run_really(be_cancelled);
}

static void closing_ends_waiting(void **state)
{
	(void)state;
	run_really(be_closed);
}

/* Who waits for an error, or for a receiver that is full, keeps nobody else on the descriptor from going on. */
static intptr_t go_on_beside(void *arg)
{
	struct scene queue, full, other;

	(void)arg;
	queue = full = other = (struct scene){.peer = -1};
	udp(&queue);
	async_task *errors = async_create_task(receives_error, &queue), *data = async_create_task(receives, &queue);
	assert_int_equal(async_sleep(ASYNC_MS), 0);
	say_by_address(&queue);
	assert_int_equal(async_wait_for(data, 30 * ASYNC_S), 4);
	assert_false(async_done(errors));
	async_cancel(errors, NULL);
	assert_int_equal(async_await(errors), -ECANCELED);
	finish(&queue);

	full_receiver(&full);
	unix_listener(&other, SOCK_DGRAM, 0);
	close_now(other.fd);
	other.fd = full.fd;
	async_task *stuck = async_create_task(sends_to, &full);
	assert_int_equal(async_sleep(ASYNC_MS), 0);
	assert_int_equal(async_wait_for(async_create_task(sends_to, &other), 30 * ASYNC_S), 8);
	assert_false(async_done(stuck));
	drain(&full);
	assert_int_equal(async_wait_for(stuck, 30 * ASYNC_S), 8);
	finish(&full);
	close_now(other.peer);
	return 0;
}

static void others_go_on(void **state)
{
	(void)state;
	run_really(go_on_beside);
}

/* Such a listener stays readable. */
static intptr_t accept_no_more(void *arg)
{
	struct scene s = {.peer = -1};

	(void)arg;
	for (int before = 0; before < 2; before++) {
		unix_listening(&s);
		if (before)
			assert_int_equal(shutdown(s.fd, SHUT_RDWR), 0);
		async_task *task = async_create_task(accepts, &s);
		assert_int_equal(async_sleep(ASYNC_MS), 0);
		if (!before)
			assert_int_equal(shutdown(s.fd, SHUT_RDWR), 0);
		assert_int_equal(async_wait_for(task, 30 * ASYNC_S), -EINVAL);
		finish(&s);
	}
	return 0;
}

static void a_listener_that_is_shut_down_is_no_wait(void **state)
{
	(void)state;
	run_really(accept_no_more);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(waiting_is_quiet),
		TEST(waiting_can_be_cancelled),
		TEST(closing_ends_waiting),
		TEST(others_go_on),
		TEST(a_listener_that_is_shut_down_is_no_wait),
	};

	/* Before there are contexts that would have it otherwise. */
	sigset_t set = user_signal();

	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
