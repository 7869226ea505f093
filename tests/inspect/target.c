/* SPDX-License-Identifier: MIT */
/*
 * A program to look into, written as any user's: `target SHAPE [BACKEND [SWITCH]]` brings tasks into the waits that the
 * shape stands for, writes `ready` when they are there, and stays so until a line comes in or the input ends.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <async.h>

static struct async_lock first_lock = ASYNC_LOCK_INIT, second_lock = ASYNC_LOCK_INIT,
			 third_lock = ASYNC_LOCK_INIT;
static struct async_event never = ASYNC_EVENT_INIT;
static struct async_semaphore none = ASYNC_SEMAPHORE_INIT(0);
static async_queue *queue;
static async_future *nobodys;
static int pipes[2];

static async_task *start(const char *name, async_fn *fn, void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.name = name;
	return async_create_task_with(fn, arg, &options);
}

static intptr_t sleeper(void *arg)
{
	(void)arg;
	return async_sleep(3600 * ASYNC_S);
}

static intptr_t reader(void *arg)
{
	char byte;

	(void)arg;
	return async_read(pipes[0], &byte, 1);
}

static intptr_t locker(void *arg)
{
	intptr_t error = async_lock_acquire(arg);

	return error ? error : async_sleep(3600 * ASYNC_S);
}

static intptr_t leaver(void *arg)
{
	return async_lock_acquire(arg);
}

static intptr_t eventer(void *arg)
{
	(void)arg;
	return async_event_wait(&never);
}

static intptr_t permitter(void *arg)
{
	(void)arg;
	return async_semaphore_acquire(&none);
}

static intptr_t getter(void *arg)
{
	void *item;

	(void)arg;
	return async_queue_get(queue, &item);
}

static intptr_t joiner(void *arg)
{
	return async_await(async_ref(arg));
}

static intptr_t gatherer(void *arg)
{
	async_future *both[] = {start("gathered-1", sleeper, NULL), start("gathered-2", sleeper, NULL)};

	(void)arg;
	return async_await(async_gather(both, 2, 0, NULL));
}

static intptr_t shielder(void *arg)
{
	(void)arg;
	return async_wait_for(async_shield(start("shielded", sleeper, NULL)), 1800 * ASYNC_S);
}

static intptr_t grouper(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	(void)arg;
	if (async_group_begin(&group) < 0)
		return -1;
	options.name = "member-1";
	async_group_create_task_with(&group, sleeper, NULL, &options);
	options.name = "member-2";
	async_group_create_task_with(&group, eventer, NULL, &options);
	return async_group_end(&group, 0);
}

/* A group whose body does something else. */
static intptr_t busy_grouper(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	(void)arg;
	if (async_group_begin(&group) < 0)
		return -1;
	options.name = "member-3";
	async_group_create_task_with(&group, sleeper, NULL, &options);
	intptr_t error = async_event_wait(&never);
	return async_group_end(&group, error);
}

static intptr_t selector(void *arg)
{
	struct async_select_case cases[] = {ASYNC_CASE_GET(queue), ASYNC_CASE_POLL(pipes[0], 1),
					    ASYNC_CASE_FUTURE(arg),
					    ASYNC_CASE_DEADLINE(async_loop_time(NULL) + 3600 * ASYNC_S)};

	return async_select(cases, 4);
}

static intptr_t waiter(void *arg)
{
	async_future *both[] = {arg, nobodys};

	return async_wait(both, 2, ASYNC_WAIT_ALL_COMPLETED, ASYNC_FOREVER);
}

static atomic_bool worker_began, release_worker;

static intptr_t block(void *arg)
{
	(void)arg;
	worker_began = true;
	while (!release_worker)
		usleep(1000);
	return 0;
}

static intptr_t worker(void *arg)
{
	return async_to_thread(block, arg);
}

static intptr_t signalled(void *arg)
{
	static const int numbers[] = {SIGUSR1, SIGUSR2};

	(void)arg;
	return async_signal_wait(numbers, 2);
}

/* The input is what the test says. Other tasks are where they belong before this one reads. */
static void say_ready(void)
{
	puts("ready");
	fflush(stdout);
}

static intptr_t wait_for_input(void)
{
	char byte;

	say_ready();
	return async_read(STDIN_FILENO, &byte, 1) < 0;
}

static int settle(void)
{
	for (int i = 0; i < 5; i++)
		if (async_sleep(0) < 0)
			return -1;
	return async_sleep(ASYNC_MS);
}

static intptr_t all(void *arg)
{
	async_task *sleeping = start("sleeper", sleeper, NULL);

	(void)arg;
	start("reader", reader, NULL);
	start("holder", locker, &first_lock);
	start("locker", locker, &first_lock);
	start("leaver", leaver, &second_lock);
	start("stranded", locker, &second_lock);
	start("eventer", eventer, NULL);
	start("permitter", permitter, NULL);
	start("getter", getter, NULL);
	start("joiner", joiner, sleeping);
	start("futurist", joiner, nobodys);
	start("gatherer", gatherer, NULL);
	start("shielder", shielder, NULL);
	start("grouper", grouper, NULL);
	start("busy-grouper", busy_grouper, NULL);
	start("selector", selector, sleeping);
	start("waiter", waiter, sleeping);
	start("worker", worker, NULL);
	start("signalled", signalled, NULL);
	start("bad\nname", sleeper, NULL);
	settle();
	while (!worker_began)
		settle();
	intptr_t result = wait_for_input();
	release_worker = true;
	return result;
}

static intptr_t lock_both(void *arg)
{
	struct async_lock **locks = arg;

	if (async_lock_acquire(locks[0]) < 0 || async_sleep(ASYNC_MS) < 0)
		return -1;
	return async_lock_acquire(locks[1]);
}

static async_task *hen;

/* Awaits alone cannot close a circle: that is refused. */
static intptr_t await_other(void *arg)
{
	int error = async_lock_acquire(arg);

	return error ? error : async_await(async_ref(hen));
}

static intptr_t deadlock(void *arg)
{
	static struct async_lock *forwards[] = {&first_lock, &second_lock}, *backwards[] = {&second_lock, &first_lock};

	(void)arg;
	start("one", lock_both, forwards);
	start("two", lock_both, backwards);
	start("egg", await_other, &third_lock);
	hen = start("hen", locker, &third_lock);
	/* Each task takes its second lock a little later than its first. */
	return settle() < 0 || settle() < 0 ? -1 : wait_for_input();
}

/* Not inlined, so that it is found on the stack. */
static __attribute__((noinline)) void spin_here(void)
{
	volatile bool forever = true;

	while (forever)
		;
}

static intptr_t spin(void *arg)
{
	(void)arg;
	start("sleeper", sleeper, NULL);
	settle();
	say_ready();
	spin_here();
	return 0;
}

static __attribute__((noinline)) void block_here(void)
{
	char byte;

	if (read(STDIN_FILENO, &byte, 1) < 0)
		perror("read");
	/* Behind the call, so that it is no tail call. */
	__asm__ volatile("");
}

static intptr_t block_in_read(void *arg)
{
	(void)arg;
	start("sleeper", sleeper, NULL);
	settle();
	say_ready();
	block_here();
	return 0;
}

/* What is read of it is never at rest. */
static intptr_t churn_once(void *arg)
{
	(void)arg;
	return async_sleep(0);
}

static intptr_t churn(void *arg)
{
	(void)arg;
	say_ready();
	for (;;) {
		async_task *made[16];

		for (int i = 0; i < 16; i++)
			made[i] = async_create_task(churn_once, NULL);
		for (int i = 0; i < 16; i++)
			if (async_await(made[i]) < 0)
				return -1;
	}
}

static intptr_t chain_link(void *arg)
{
	intptr_t left = (intptr_t)arg;

	return left > 0 ? async_await(async_create_task(chain_link, (void *)(left - 1))) : async_event_wait(&never);
}

static intptr_t chain(void *arg)
{
	(void)arg;
	start("chain", chain_link, (void *)300);
	for (int i = 0; i < 310; i++)
		if (async_sleep(0) < 0)
			return -1;
	return wait_for_input();
}

static intptr_t many(void *arg)
{
	const char *count = getenv("TASKS");

	(void)arg;
	for (long i = count ? atol(count) : 5000; i > 0; i--)
		async_release(async_create_task(sleeper, NULL));
	settle();
	return wait_for_input();
}

static intptr_t calm(void *arg)
{
	(void)arg;
	return wait_for_input();
}

/* A child whose end nobody asks for; its id goes to standard error. */
static intptr_t zombie(void *arg)
{
	pid_t child = fork();

	(void)arg;
	if (child == 0)
		_exit(0);
	fprintf(stderr, "%d\n", child);
	return wait_for_input();
}

static const struct {
	const char *name;
	async_fn *fn;
} shapes[] = {{"all", all},     {"deadlock", deadlock}, {"spin", spin}, {"block", block_in_read}, {"churn", churn},
	      {"chain", chain}, {"many", many},		{"calm", calm},
	      {"zombie", zombie}};

int main(int argc, char **argv)
{
	struct async_options options = ASYNC_OPTIONS_INIT;
	struct async_queue_options bounded = ASYNC_QUEUE_OPTIONS_INIT;
	async_loop *loop;

	/* Yama may forbid siblings. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	if (argc > 2)
		options.backend = strcmp(argv[2], "epoll") == 0 ? ASYNC_BACKEND_EPOLL : ASYNC_BACKEND_IO_URING;
	if (argc > 3)
		options.switch_kind = strcmp(argv[3], "asm") == 0 ? ASYNC_SWITCH_ASM : ASYNC_SWITCH_UCONTEXT;
	options.accounting = getenv("ACCOUNTING") != NULL;
	if (argc < 2 || async_loop_new(&options, &loop) < 0 || pipe(pipes) < 0 || async_queue_new(&bounded, &queue) < 0)
		return 1;
	nobodys = async_future_new(loop, NULL);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (strcmp(argv[1], shapes[i].name) == 0)
			async_loop_run_until_complete(loop, async_loop_create_task(loop, shapes[i].fn, NULL, NULL));
	/* What is left waits for good, and has nothing to clean up. */
	_exit(0);
}
