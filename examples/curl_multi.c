/* SPDX-License-Identifier: MIT */
/*
 * Downloads with libcurl, all at a time: a task for each, to which a transfer is a call like any other.
 *
 * DESIGN. libcurl reads and writes its sockets itself and only wants to be told when. Its multi interface names the
 * sockets and the time that it waits for; they become readers, writers and a timer of the loop. These are called on
 * the thread's own stack, so TLS and whatever else libcurl does there has all the room it is used to.
 */
#include <async.h>
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct download {
	const char *url;
	char error[CURL_ERROR_SIZE];
	bool done;
};

static CURLM *multi;
static async_handle *timer;

/* libcurl has done what could be done; those who wait for a transfer that has ended are woken. */
static void act(curl_socket_t fd, int events)
{
	int running, left;
	CURLMsg *message;

	curl_multi_socket_action(multi, fd, events, &running);
	while ((message = curl_multi_info_read(multi, &left))) {
		async_future *ended;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&ended);
		async_future_set_result(ended, message->data.result);
	}
}

static void on_readable(void *arg) { act((curl_socket_t)(intptr_t)arg, CURL_CSELECT_IN); }

static void on_writable(void *arg) { act((curl_socket_t)(intptr_t)arg, CURL_CSELECT_OUT); }

static curl_socket_t no_socket = CURL_SOCKET_TIMEOUT;

static void on_time(void *arg) { act(*(curl_socket_t *)arg, 0); }

/* libcurl tells what it waits for on a socket. */
static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	async_loop *loop = async_get_running_loop();
	void *number = (void *)(intptr_t)fd;
	int error = 0;

	(void)easy, (void)arg, (void)socket_arg;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		error = async_loop_add_reader(loop, fd, on_readable, number);
	else
		async_loop_remove_reader(loop, fd);
	if (error)
		return -1;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		error = async_loop_add_writer(loop, fd, on_writable, number);
	else
		async_loop_remove_writer(loop, fd);
	return error ? -1 : 0;
}

/* And when it wants to be called at the latest; -1: not at all. */
static int set_timer(CURLM *which, long ms, void *arg)
{
	(void)which, (void)arg;
	async_handle_cancel(timer);
	async_handle_release(timer);
	timer = NULL;
	if (ms < 0)
		return 0;
	return async_loop_call_later(async_get_running_loop(), ms * ASYNC_MS, on_time, &no_socket, &timer) ? -1 : 0;
}

/* curl_easy_perform for tasks. Returns: the CURLcode; -ECANCELED, -ENOMEM: the transfer was stopped. */
static intptr_t perform(CURL *easy)
{
	async_future *ended = async_future_new(NULL, NULL);

	curl_easy_setopt(easy, CURLOPT_PRIVATE, ended);
	intptr_t result = CURLE_FAILED_INIT;
	if (curl_multi_add_handle(multi, easy) == CURLM_OK) {
		result = async_await(async_ref(ended));
		curl_multi_remove_handle(multi, easy);
	}
	async_release(ended);
	return result;
}

static intptr_t fetch(struct download *download, FILE *file, curl_off_t *ret_size)
{
	CURL *easy = curl_easy_init();

	if (!easy)
		return -ENOMEM;
	curl_easy_setopt(easy, CURLOPT_URL, download->url);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, file);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, download->error);
	curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	intptr_t result = perform(easy);
	curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, ret_size);
	curl_easy_cleanup(easy);
	if (result > 0 && !download->error[0])
		snprintf(download->error, sizeof(download->error), "%s", curl_easy_strerror((CURLcode)result));
	return result;
}

/* A task. The file is there when all of it is. What goes wrong with one concerns no other. */
static intptr_t download(void *arg)
{
	struct download *download = arg;
	const char *slash = strrchr(download->url, '/');
	const char *path = slash && slash[1] ? slash + 1 : "index.html";
	curl_off_t size = 0;
	FILE *file = fopen(path, "wx");

	if (!file) {
		fprintf(stderr, "curl_multi: %s: %s\n", path, strerror(errno));
		return 0;
	}
	intptr_t result = fetch(download, file, &size);
	if (fclose(file) != 0 && result == 0)
		result = -errno;
	download->done = result == 0;
	if (download->done)
		return printf("%s: %lld bytes\n", path, (long long)size);
	unlink(path);
	if (result == -ECANCELED)
		return result;
	fprintf(stderr, "curl_multi: %s: %s\n", download->url, result > 0 ? download->error : strerror((int)-result));
	return 0;
}

static void stop(void *task) { async_cancel(task, "SIGTERM"); }

/* `arg` is an array that ends with a download without a URL. */
static intptr_t main_task(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;
	intptr_t error = async_loop_add_signal_handler(async_get_running_loop(), SIGTERM, stop, async_current_task());

	multi = curl_multi_init();
	if (!multi || error || (error = async_group_begin(&group)))
		return error ? error : -ENOMEM;
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, 6L);
	for (struct download *next = arg; next->url && error == 0; next++)
		error = async_group_spawn(&group, download, next, NULL);
	error = async_group_end(&group, error);
	curl_multi_cleanup(multi);
	set_timer(NULL, -1, NULL);
	return error;
}

int main(int argc, char **argv)
{
	/* Where libcurl is called from a task it needs more than the 64 KiB that a task has by default. */
	struct async_options options = {.size = sizeof(options), .stack_size = (size_t)256 << 10};
	struct download downloads[argc];
	int failed = 0;

	if (argc < 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: curl_multi URL...\n"
				"Downloads the URLs, all at a time, each to a new file of the current directory.\n");
		return 2;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		fprintf(stderr, "curl_multi: libcurl cannot be initialised\n");
		return 1;
	}
	for (int i = 0; i < argc; i++)
		downloads[i] = (struct download){.url = argv[i + 1]};
	intptr_t result = async_run_with(main_task, downloads, &options);
	for (int i = 0; i < argc - 1; i++)
		failed |= !downloads[i].done;
	curl_global_cleanup();
	if (result < 0)
		fprintf(stderr, "curl_multi: stopped: %s\n", strerror((int)-result));
	return result == -EINTR ? 130 : result < 0 || failed;
}
