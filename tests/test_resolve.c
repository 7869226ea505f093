/* SPDX-License-Identifier: MIT */
/* Names: numbers and /etc/hosts, for no test needs a network. */
#include "harness.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <semaphore.h>
#include <string.h>

#include "base/fault.h"

static const struct addrinfo tcp4 = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};

static void note_address(const struct addrinfo *entry)
{
	char host[64], service[32];

	assert_int_equal(getnameinfo(entry->ai_addr, entry->ai_addrlen, host, sizeof(host), service, sizeof(service),
				     NI_NUMERICHOST | NI_NUMERICSERV), 0);
	note("%s/%s", host, service);
}

static intptr_t resolves(void *arg)
{
	struct addrinfo passive = {.ai_flags = AI_PASSIVE, .ai_family = AF_INET6, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;

	(void)arg;
	assert_int_equal(async_resolve("127.0.0.1", "80", &tcp4, &list), 0);
	note_address(list);
	assert_null(list->ai_next);
	freeaddrinfo(list);
	assert_int_equal(async_resolve("::1", "8080", NULL, &list), 0);
	note_address(list);
	freeaddrinfo(list);
	assert_int_equal(async_resolve(NULL, "5000", &passive, &list), 0);
	note_address(list);
	freeaddrinfo(list);
	assert_noted("127.0.0.1/80 ::1/8080 ::/5000");
	assert_int_equal(async_resolve("localhost", "80", &tcp4, &list), 0);
	note_address(list);
	freeaddrinfo(list);
	assert_noted("127.0.0.1/80");
	return 0;
}

static void test_resolves(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(resolves, NULL), 0);
}

/* Numbers need no thread, names do. */
static intptr_t uses_threads(void *arg)
{
	struct addrinfo *list;

	(void)arg;
	fault_count("pthread_create");
	assert_int_equal(async_resolve("192.0.2.1", "1", NULL, &list), 0);
	freeaddrinfo(list);
	assert_int_equal(fault_disarm(), 0);
	fault_count("getaddrinfo");
	assert_int_equal(async_resolve("localhost", NULL, &tcp4, &list), 0);
	freeaddrinfo(list);
	assert_int_equal(fault_disarm(), 2);
	return 0;
}

static void test_threads(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(uses_threads, NULL), 0);
}

static intptr_t fails(void *arg)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_flags = AI_NUMERICHOST};
	struct addrinfo bad_flags = {.ai_flags = 0x40000000}, bad_family = {.ai_family = 12345};
	struct addrinfo bad_type = {.ai_socktype = 12345}, *list = (struct addrinfo *)&hints;

	(void)arg;
	assert_int_equal(async_resolve("no number", "80", &hints, &list), -ENOENT);
	assert_int_equal(async_resolve("::1", "80", &tcp4, &list), -EADDRNOTAVAIL);
	assert_int_equal(async_resolve("127.0.0.1", "80", &bad_flags, &list), -EINVAL);
	assert_int_equal(async_resolve("127.0.0.1", "80", &bad_family, &list), -EAFNOSUPPORT);
	assert_int_equal(async_resolve("127.0.0.1", "80", &bad_type, &list), -ESOCKTNOSUPPORT);
	assert_int_equal(async_resolve("127.0.0.1", "no-such-service", &tcp4, &list), -EPROTONOSUPPORT);
	assert_int_equal(async_resolve(NULL, NULL, NULL, &list), -EINVAL);
	assert_int_equal(async_resolve("127.0.0.1", NULL, NULL, NULL), -EINVAL);
	/* Untouched by all of that. */
	assert_ptr_equal(list, &hints);
	return 0;
}

static void test_errors(void **state)
{
	struct addrinfo *list;

	(void)state;
	assert_int_equal(run_virtual(fails, NULL), 0);
	assert_int_equal(async_resolve("127.0.0.1", NULL, NULL, &list), -EPERM);
}

static sem_t started, go;

static intptr_t occupy(void *arg)
{
	sem_post(&started);
	while (sem_wait(&go) < 0)
		;
	return (intptr_t)arg;
}

static intptr_t resolve_localhost(void *arg)
{
	struct addrinfo *list;
	int error = async_resolve("localhost", "80", &tcp4, &list);

	(void)arg;
	if (error == 0)
		freeaddrinfo(list);
	return error;
}

/* Before its thread has it, and at every later turn: somewhere it runs. */
static intptr_t cancels(void *arg)
{
	async_future *busy = async_run_in_executor(NULL, occupy, NULL);

	(void)arg;
	give_way(1);
	while (sem_wait(&started) < 0)
		;
	async_task *task = async_create_task(resolve_localhost, NULL);
	give_way(2);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	sem_post(&go);
	assert_int_equal(async_await(busy), 0);
	for (int turns = 0; turns < 20; turns++) {
		task = async_create_task(resolve_localhost, NULL);
		give_way(turns);
		async_cancel(task, NULL);
		intptr_t result = async_await(task);
		assert_true(result == -ECANCELED || result == 0);
	}
	return 0;
}

static void test_cancellation(void **state)
{
	struct async_options options = test_options();

	(void)state;
	/* One thread, which also frees what a cancelled task has left. */
	options.max_workers = 1;
	sem_init(&started, 0, 0);
	sem_init(&go, 0, 0);
	assert_int_equal(run_with(cancels, NULL, &options), 0);
	assert_int_equal(reports.count, 0);
	sem_destroy(&started);
	sem_destroy(&go);
}

static void test_every_failure(void **state)
{
	struct async_options options = test_options();

	(void)state;
	fault_count("getaddrinfo");
	assert_int_equal(run_with(resolve_localhost, NULL, &options), 0);
	assert_int_equal(fault_disarm(), 2);
	fault_count(NULL);
	assert_int_equal(run_with(resolve_localhost, NULL, &options), 0);
	for (unsigned long nth = fault_disarm(); nth > 0; nth--) {
		async_loop *loop = loop_with(&options);

		async_task *task = async_loop_create_task(loop, resolve_localhost, NULL, NULL);
		fault_arm(NULL, nth, -ENOMEM);
		intptr_t result = async_loop_run_until_complete(loop, async_ref(task));
		fault_disarm();
		/* A loop that could not go on goes on now, or the task would be abandoned with what it holds. */
		if (!async_done(task))
			result = async_loop_run_until_complete(loop, async_ref(task));
		async_release(task);
		loop_end(loop);
		assert_true(result <= 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_resolves),
		TEST(test_threads),
		TEST(test_errors),
		TEST(test_cancellation),
		TEST(test_every_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
