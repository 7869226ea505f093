/* SPDX-License-Identifier: MIT */
/* An echo server on libuv: what can be written at once is. */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct connection {
	uv_tcp_t handle;
	uv_write_t write;
	char buffer[1024];
};

static void allocate(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
	struct connection *c = (struct connection *)handle;

	(void)size;
	*buffer = uv_buf_init(c->buffer, sizeof(c->buffer));
}

static void on_close(uv_handle_t *handle)
{
	free(handle);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
	struct connection *c = (struct connection *)stream;
	uv_buf_t out = uv_buf_init(buffer->base, (unsigned)(count > 0 ? count : 0));

	if (count < 0)
		uv_close((uv_handle_t *)stream, on_close);
	else if (count > 0 && uv_try_write(stream, &out, 1) < 0)
		uv_write(&c->write, stream, &out, 1, NULL);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct connection *c = malloc(sizeof(*c));

	uv_tcp_init(listener->loop, &c->handle);
	if (status == 0 && uv_accept(listener, (uv_stream_t *)&c->handle) == 0)
		uv_read_start((uv_stream_t *)&c->handle, allocate, on_read);
	else
		uv_close((uv_handle_t *)&c->handle, on_close);
}

int main(void)
{
	struct sockaddr_in address;
	int size = sizeof(address);
	uv_tcp_t listener;

	uv_ip4_addr("127.0.0.1", 0, &address);
	uv_tcp_init(uv_default_loop(), &listener);
	if (uv_tcp_bind(&listener, (struct sockaddr *)&address, 0) < 0 ||
	    uv_listen((uv_stream_t *)&listener, 4096, on_connection) < 0 ||
	    uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &size) < 0)
		return 1;
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
