/* SPDX-License-Identifier: MIT */
/*
 * Every allocation and system call that can fail is made to fail, one at a time, in each of a few short programs: the
 * program ends with its result or with a negative errno, and nothing crashes, hangs or leaks.
 */
#include "harness.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"

/* Far more calls than any of the programs makes. */
#define CALLS_MAX 5000

static int alive; /* arguments and results that somebody must dispose of */
static int leaks;

static void dispose_argument(void *arg)
{
	(void)arg;
	alive--;
}

static void dispose_result(intptr_t result)
{
	if (result > 0)
		alive--;
}

static int watch_reports(const struct async_error_context *context, void *arg)
{
	(void)arg;
	leaks += strstr(context->message, "leak") != NULL;
	return 0;
}

/* Owns its argument, gives a result that is owned. */
static intptr_t owner(void *arg)
{
	int error = async_sleep(arg ? 10 : 0);

	if (error < 0) {
		alive--;
		return error;
	}
	return 1;
}

static struct async_task_options owner_options(bool eager)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	alive++;
	options.name = "owner";
	options.destroy = dispose_argument;
	options.drop = dispose_result;
	options.eager = eager;
	return options;
}

static async_task *start_owner(void *arg)
{
	struct async_task_options options = owner_options(false);

	return async_create_task_with(owner, arg, &options);
}

static async_task *start_eager_owner(void *arg)
{
	struct async_task_options options = owner_options(true);

	return async_create_task_with(owner, arg, &options);
}

static intptr_t consume(intptr_t result)
{
	if (result > 0)
		alive--;
	return result;
}

static intptr_t first_error(intptr_t a, intptr_t b)
{
	return a < 0 ? a : b < 0 ? b : 0;
}

static intptr_t tasks(void *arg)
{
	async_task *fs[3] = {start_owner(NULL), start_owner((void *)1), start_owner(NULL)};
	intptr_t error = 0;

	(void)arg;
	for (int i = 0; i < 3; i++)
		error = first_error(error, consume(async_await(fs[i])));
	return error;
}

/* One that gets no stack within the call begins an iteration later. */
static intptr_t eager_tasks(void *arg)
{
	async_task *fs[2] = {start_eager_owner(NULL), start_eager_owner((void *)1)};
	intptr_t error = consume(async_await(fs[0]));

	(void)arg;
	return first_error(error, consume(async_await(fs[1])));
}

/* Run by async_run: if it fails early, the tasks it leaves are cancelled and clean up. */
static intptr_t detached(void *arg)
{
	(void)arg;
	async_loop_set_error_handler(async_get_running_loop(), watch_reports, NULL);
	for (int i = 0; i < 3; i++)
		async_release(start_owner((void *)(intptr_t)(i % 2)));
	return async_sleep(20);
}

static intptr_t cancelled(void *arg)
{
	async_task *sleeping = start_owner((void *)1), *unstarted;
	int slept = async_sleep(0);

	(void)arg;
	unstarted = start_owner(NULL);
	async_cancel(sleeping, NULL);
	async_cancel(unstarted, NULL);
	intptr_t a = consume(async_await(sleeping)), b = consume(async_await(unstarted));
	return first_error(slept, first_error(a == -ECANCELED ? 0 : a, b == -ECANCELED ? 0 : b));
}

static intptr_t waits(void *arg)
{
	async_future *fs[2] = {start_owner((void *)1), start_owner((void *)1)};
	intptr_t values[2] = {0, 0};
	intptr_t waited = async_wait(fs, 2, ASYNC_WAIT_ALL_COMPLETED, 5);
	async_future *all = async_ref(async_gather(fs, 2, ASYNC_GATHER_COLLECT, values));
	intptr_t gathered = async_await(all);

	(void)arg;
	async_release(all);
	consume(values[0]);
	consume(values[1]);
	intptr_t one = consume(async_wait_for(start_owner((void *)1), 100));
	intptr_t late = consume(async_wait_for(start_owner((void *)1), 5));
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;
	intptr_t begun = async_timeout_begin(&scope, 10);
	if (begun == 0)
		begun = async_timeout_end(&scope, async_sleep(100));
	late = first_error(late == -ETIMEDOUT ? 0 : late, begun == -ETIMEDOUT ? 0 : begun);
	return first_error(first_error(waited, gathered), first_error(one, late));
}

static intptr_t groups(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;
	intptr_t error = async_group_begin(&group);

	(void)arg;
	if (error)
		return error;
	struct async_task_options options = owner_options(false);
	error = async_group_spawn(&group, owner, NULL, &options);
	options = owner_options(true);
	async_task *task = async_group_create_task_with(&group, owner, (void *)1, &options);
	error = first_error(error, async_done(task) ? async_error(task) : 0);
	error = async_group_end(&group, error);

	group = (struct async_group)ASYNC_GROUP_INIT;
	intptr_t begun = async_group_begin(&group);
	if (begun)
		return first_error(error, begun);
	options = owner_options(false);
	intptr_t spawned = async_group_spawn(&group, owner, (void *)1, &options);
	intptr_t slept = async_sleep(0);
	async_group_cancel(&group);
	return first_error(error, async_group_end(&group, first_error(spawned, slept)));
}

static intptr_t shields(void *arg)
{
	intptr_t error = consume(async_await(async_shield(start_owner((void *)1))));
	async_task *inner = start_owner((void *)1);
	async_future *shield = async_shield(async_ref(inner));

	(void)arg;
	async_cancel(shield, NULL);
	intptr_t cancelled = async_await(shield), kept = consume(async_await(inner));
	return first_error(error, first_error(cancelled == -ECANCELED ? 0 : cancelled, kept));
}

/* What it gives up is left to async_run. */
static intptr_t completions(void *arg)
{
	async_future *fs[3] = {start_owner((void *)1), start_owner(NULL), start_owner((void *)1)}, *next;
	async_completions *all;
	intptr_t error, more;
	int late = 0;

	(void)arg;
	async_loop_set_error_handler(async_get_running_loop(), watch_reports, NULL);
	error = async_as_completed(fs, 3, 5, &all);
	if (error)
		return error;
	while ((more = async_next_completed(all, &next)) != 0) {
		if (more > 0)
			error = first_error(error, consume(async_await(next)));
		else if (more != -ETIMEDOUT || ++late > 3)
			break;
	}
	async_completions_free(all);
	return first_error(first_error(error, more), async_sleep(20));
}

static void put_one(void *arg)
{
	(void)async_queue_put_nowait(arg, NULL);
}

static intptr_t selections(void *arg)
{
	int pipes[2];
	async_queue *queue;
	async_handle *handle = NULL;
	async_future *never = async_future_new(NULL, NULL);
	intptr_t error = async_queue_new(NULL, &queue);

	(void)arg;
	if (error) {
		async_release(never);
		return error;
	}
	if (pipe(pipes) == 0) {
		struct async_select_case cases[] = {
			ASYNC_CASE_GET(queue),
			ASYNC_CASE_FUTURE(never),
			ASYNC_CASE_POLL(pipes[0], POLLIN),
			ASYNC_CASE_DEADLINE(async_loop_time(NULL) + 5),
		};
		error = async_select(cases, countof(cases));
		cases[3] = (struct async_select_case)ASYNC_CASE_DEADLINE(async_loop_time(NULL) + 5);
		intptr_t put = async_loop_call_soon(async_get_running_loop(), put_one, queue, &handle);
		error = first_error(first_error(error, put), async_select(cases, countof(cases)));
		for (int i = 0; i < 2; i++) {
			int closed = async_close(pipes[i]);

			if (closed == -EPERM || closed == -EBADF)
				close(pipes[i]);
			error = first_error(error, closed);
		}
	}
	async_handle_cancel(handle);
	async_handle_release(handle);
	async_release(never);
	async_queue_free(queue);
	return error;
}

static void on_done(async_future *future, void *arg)
{
	(void)arg;
	(void)!async_result(future);
}

static void do_nothing(void *arg)
{
	(void)arg;
}

static intptr_t calls(void *arg)
{
	async_loop *loop = async_get_running_loop();
	async_future *future = async_future_new(NULL, NULL);
	async_handle *timer = NULL, *prepared = NULL;
	intptr_t error = first_error(async_loop_call_later(loop, 5, do_nothing, NULL, &timer),
				     async_loop_call_soon(loop, do_nothing, NULL, NULL));

	(void)arg;
	error = first_error(error, async_add_done_callback(future, on_done, NULL));
	error = first_error(error, async_handle_new(loop, do_nothing, NULL, &prepared));
	if (prepared)
		error = first_error(error, async_handle_post(prepared));
	error = first_error(error, async_loop_call_soon_threadsafe(loop, do_nothing, NULL));
	error = first_error(error, async_loop_call_at(loop, 7, do_nothing, NULL, NULL));
	if (!async_done(future))
		async_future_set_result(future, 1);
	async_release(future);
	error = first_error(error, async_sleep(6));
	async_handle_cancel(timer);
	async_handle_release(timer);
	async_handle_release(prepared);
	return error;
}

static intptr_t job(void *arg)
{
	(void)arg;
	return 1;
}

static async_future *start_job(async_executor *executor)
{
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;

	alive++;
	options.destroy = dispose_argument;
	options.drop = dispose_result;
	return async_run_in_executor_with(executor, job, NULL, &options);
}

static intptr_t jobs(void *arg)
{
	async_executor *mine = NULL;
	intptr_t error = async_thread_pool_new(NULL, &mine);

	(void)arg;
	if (mine) {
		error = first_error(error, consume(async_await(start_job(mine))));
		async_future *gone = start_job(mine);
		async_cancel(gone, NULL);
		intptr_t result = consume(async_await(gone));
		error = first_error(error, result == -ECANCELED ? 0 : result);
		async_release(start_job(mine));
	}
	error = first_error(error, consume(async_await(start_job(NULL))));
	error = first_error(error, async_to_thread(job, NULL));
	error = first_error(error, async_sleep(1));
	async_executor_shutdown(mine, true, false);
	async_executor_free(mine);
	return error;
}

static intptr_t maps(void *arg)
{
	void *args[4] = {NULL, NULL, NULL, NULL};
	intptr_t results[4];
	intptr_t limited = async_await(async_executor_map(NULL, job, args, 4, 2, results));

	(void)arg;
	return first_error(limited, async_await(async_executor_map(NULL, job, args, 4, 0, NULL)));
}

static intptr_t read_one(void *arg)
{
	char c;

	return async_read(*(int *)arg, &c, 1);
}

static intptr_t descriptors(void *arg)
{
	int pipes[2];

	(void)arg;
	if (pipe(pipes) < 0)
		return -errno;
	async_task *reader = async_create_task(read_one, &pipes[0]);
	intptr_t error = async_sleep(0);
	error = first_error(error, async_poll(pipes[1], POLLOUT));
	intptr_t written = async_write(pipes[1], "x", 1);
	if (written < 0)
		async_cancel(reader, NULL);
	intptr_t count = async_await(reader);
	error = first_error(error, first_error(written, count));
	for (int i = 0; i < 2; i++) {
		int closed = async_close(pipes[i]);

		if (closed == -EPERM || closed == -EBADF)
			close(pipes[i]);
		error = first_error(error, closed);
	}
	return error;
}

/* The programs run on a loop that is made, run and closed with the fault armed. */

static intptr_t in_loop(async_fn *fn)
{
	struct async_options options = test_options();
	async_loop *loop = NULL;
	intptr_t error = async_loop_new(&options, &loop);

	if (error < 0)
		return error;
	async_loop_set_error_handler(loop, watch_reports, NULL);
	async_task *task = async_loop_create_task(loop, fn, NULL, NULL);
	error = async_loop_run_until_complete(loop, async_ref(task));
	/* The reactor failed under it: once more, so that the body can clean up. */
	if (!async_done(task))
		error = first_error(error, async_loop_run_until_complete(loop, async_ref(task)));
	assert_true(async_done(task));
	async_release(task);
	assert_int_equal(async_loop_close(loop), 0);
	async_loop_free(loop);
	return error;
}

static intptr_t in_run(async_fn *fn)
{
	struct async_options options = test_options();

	return async_run_with(fn, NULL, &options);
}

static intptr_t in_runner(async_fn *fn)
{
	struct async_options options = test_options();
	struct async_runner runner = ASYNC_RUNNER_INIT;
	intptr_t error = async_runner_open(&runner, &options);

	if (error < 0)
		return error;
	async_loop_set_error_handler(async_runner_get_loop(&runner), watch_reports, NULL);
	for (int i = 0; i < 2; i++)
		error = first_error(error, async_runner_run(&runner, fn, NULL));
	return first_error(error, async_runner_close(&runner));
}

/* The loop's own descriptor, as an embedding program uses it. */
static intptr_t embedded(async_fn *fn)
{
	struct async_options options = test_options();
	async_loop *loop = NULL;

	options.clock = ASYNC_CLOCK_REAL;
	intptr_t error = async_loop_new(&options, &loop);
	if (error < 0)
		return error;
	async_loop_set_error_handler(loop, watch_reports, NULL);
	error = async_loop_fd(loop);
	async_task *task = async_loop_create_task(loop, fn, NULL, NULL);
	for (int i = 0; i < 5 && !async_done(task); i++)
		error = first_error(error, async_loop_run_once(loop));
	assert_true(async_done(task));
	error = first_error(error, async_result(task));
	async_release(task);
	assert_int_equal(async_loop_close(loop), 0);
	async_loop_free(loop);
	return error;
}

static intptr_t few_turns(void *arg)
{
	(void)arg;
	return async_sleep(0);
}

static void fail_each(intptr_t (*how)(async_fn *), async_fn *fn, int error)
{
	for (unsigned long nth = 1; nth < CALLS_MAX; nth++) {
		alive = leaks = 0;
		fault_arm(NULL, nth, error);
		intptr_t result = how(fn);
		unsigned long seen = fault_disarm();

		if (result < -4095)
			fail_msg("call %lu failing gives %ld, which is no errno", nth, (long)result);
		if (alive != 0)
			fail_msg("call %lu failing (result %ld): %d arguments or results left", nth, (long)result,
				 alive);
		if (leaks != 0)
			fail_msg("call %lu failing (result %ld): %d futures leaked", nth, (long)result, leaks);
		if (seen >= nth)
			continue;
		/* None was left to fail. */
		assert_true(nth > 3);
		assert_int_equal(result, 0);
		return;
	}
	fail_msg("more than %d calls", CALLS_MAX);
}

static void fail_with_each_error(intptr_t (*how)(async_fn *), async_fn *fn)
{
	static const int errors[] = {-ENOMEM, -EMFILE, -EINTR};

	for (size_t i = 0; i < countof(errors); i++)
		fail_each(how, fn, errors[i]);
}

#define FAULT_TEST(name, how, fn) \
	static void name(void **state) \
	{ \
		(void)state; \
		fail_with_each_error(how, fn); \
	}

FAULT_TEST(tasks_with_faults, in_loop, tasks)
FAULT_TEST(eager_tasks_with_faults, in_loop, eager_tasks)
FAULT_TEST(detached_tasks_with_faults, in_run, detached)
FAULT_TEST(cancelled_tasks_with_faults, in_loop, cancelled)
FAULT_TEST(waits_with_faults, in_loop, waits)
FAULT_TEST(groups_with_faults, in_loop, groups)
FAULT_TEST(shields_with_faults, in_loop, shields)
FAULT_TEST(completions_with_faults, in_run, completions)
FAULT_TEST(selections_with_faults, in_loop, selections)
FAULT_TEST(calls_with_faults, in_loop, calls)
FAULT_TEST(jobs_with_faults, in_loop, jobs)
FAULT_TEST(maps_with_faults, in_loop, maps)
FAULT_TEST(descriptors_with_faults, in_loop, descriptors)
FAULT_TEST(run_with_faults, in_run, tasks)
FAULT_TEST(runner_with_faults, in_runner, tasks)
FAULT_TEST(embedded_with_faults, embedded, few_turns)

int main(void)
{
	const struct CMUnitTest programs[] = {
		TEST(tasks_with_faults),
		TEST(eager_tasks_with_faults),
		TEST(detached_tasks_with_faults),
		TEST(cancelled_tasks_with_faults),
		TEST(waits_with_faults),
		TEST(groups_with_faults),
		TEST(shields_with_faults),
		TEST(completions_with_faults),
		TEST(selections_with_faults),
		TEST(calls_with_faults),
		TEST(jobs_with_faults),
		TEST(maps_with_faults),
		TEST(descriptors_with_faults),
		TEST(run_with_faults),
		TEST(runner_with_faults),
		TEST(embedded_with_faults),
	};

	/* What the kernel offers is found out once for the process: not while something fails. */
	struct async_system_info info = {.size = sizeof(info)};
	if (async_get_system_info(&info) < 0)
		return 1;
	return cmocka_run_group_tests(programs, NULL, NULL);
}
