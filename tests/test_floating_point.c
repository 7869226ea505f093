/* SPDX-License-Identifier: MIT */
/* The floating-point environment: each task has its own rounding and traps, and nobody else's; the flags are the
 * thread's. */
#include "harness.h"

#include <fenv.h>
#ifdef __x86_64__
#include <fpu_control.h>
#include <xmmintrin.h>
#endif

static volatile double one = 1, three = 3;
static volatile float one_f = 1, three_f = 3;
static volatile long double one_l = 1, three_l = 3;

/* What a mode gives, computed in each unit. */
struct thirds {
	double d;
	float f;
	long double l;
	int mode;
};

static struct thirds thirds(void)
{
	return (struct thirds){one / three, one_f / three_f, one_l / three_l, fegetround()};
}

static void assert_thirds(const struct thirds *expected)
{
	struct thirds here = thirds();

	assert_int_equal(here.mode, expected->mode);
	assert_true(here.d == expected->d);
	assert_true(here.f == expected->f);
	assert_true(here.l == expected->l);
}

static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};

static struct thirds expected_in(int mode)
{
	struct thirds expected;

	assert_int_equal(fesetround(mode), 0);
	expected = thirds();
	assert_int_equal(fesetround(FE_TONEAREST), 0);
	return expected;
}

/* Each of them sets a mode and keeps it, whoever else runs in between, through every kind of suspension. */

static async_future *gate;

static intptr_t keeps_its_mode(void *arg)
{
	int mode = *(const int *)arg;
	struct thirds expected;

	assert_int_equal(fegetround(), FE_TONEAREST);
	fesetround(mode);
	expected = thirds();
	for (int i = 0; i < 10; i++) {
		assert_int_equal(async_sleep(0), 0);
		assert_thirds(&expected);
	}
	assert_int_equal(async_sleep(1 + mode), 0);
	assert_thirds(&expected);
	assert_int_equal(async_await(async_ref(gate)), 7);
	assert_thirds(&expected);
	return 0;
}

static intptr_t many_modes(void *arg)
{
	async_task *tasks[countof(modes) * 3];
	struct thirds expected = expected_in(FE_TONEAREST);

	(void)arg;
	gate = async_future_new(NULL, NULL);
	for (size_t i = 0; i < countof(tasks); i++)
		tasks[i] = async_create_task(keeps_its_mode, (void *)&modes[i % countof(modes)]);
	assert_int_equal(async_sleep(ASYNC_S), 0);
	assert_thirds(&expected);
	assert_int_equal(async_future_set_result(gate, 7), 0);
	assert_int_equal(async_await(async_gather(tasks, countof(tasks), 0, NULL)), countof(tasks));
	assert_thirds(&expected);
	async_release(gate);
	return 0;
}

static void tasks_keep_their_rounding(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(many_modes, NULL), 0);
	for_each_seed(many_modes, 5);
	assert_int_equal(fegetround(), FE_TONEAREST);
}

/* A task begins as its creator is, when it creates it. */

static intptr_t tell_mode(void *arg)
{
	(void)arg;
	return fegetround();
}

static intptr_t create_in_each(void *arg)
{
	struct async_task_options eager = ASYNC_TASK_OPTIONS_INIT;
	async_task *tasks[countof(modes)];

	(void)arg;
	eager.eager = true;
	for (size_t i = 0; i < countof(modes); i++) {
		fesetround(modes[i]);
		tasks[i] = async_create_task(tell_mode, NULL);
		assert_int_equal(async_await(async_create_task_with(tell_mode, NULL, &eager)), modes[i]);
	}
	fesetround(FE_TONEAREST);
	for (size_t i = 0; i < countof(modes); i++)
		assert_int_equal(async_await(tasks[i]), modes[i]);
	return 0;
}

static void tasks_begin_as_their_creator_is(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(create_in_each, NULL), 0);
	/* And the first one as whoever runs it. */
	fesetround(FE_UPWARD);
	assert_int_equal(run_virtual(tell_mode, NULL), FE_UPWARD);
	assert_int_equal(fegetround(), FE_UPWARD);
	fesetround(FE_TONEAREST);
}

/* Callbacks run on the loop's own stack. */

static void note_mode(void *arg)
{
	*(int *)arg = fegetround();
}

static void note_mode_of(async_future *future, void *arg)
{
	(void)future;
	note_mode(arg);
}

static intptr_t call_back(void *arg)
{
	int soon = -1, later = -1, done = -1;
	async_future *future = async_future_new(NULL, NULL);

	(void)arg;
	fesetround(FE_DOWNWARD);
	assert_int_equal(async_loop_call_soon(NULL, note_mode, &soon, NULL), -EINVAL);
	assert_int_equal(async_loop_call_soon(async_get_running_loop(), note_mode, &soon, NULL), 0);
	assert_int_equal(async_loop_call_later(async_get_running_loop(), 1, note_mode, &later, NULL), 0);
	assert_int_equal(async_add_done_callback(future, note_mode_of, &done), 0);
	assert_int_equal(async_future_set_result(future, 0), 0);
	assert_int_equal(async_sleep(ASYNC_MS), 0);
	assert_int_equal(fegetround(), FE_DOWNWARD);
	assert_int_equal(soon, FE_TONEAREST);
	assert_int_equal(later, FE_TONEAREST);
	assert_int_equal(done, FE_TONEAREST);
	async_release(future);
	return 0;
}

static void callbacks_have_that_of_the_loop(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(call_back, NULL), 0);
	assert_int_equal(fegetround(), FE_TONEAREST);
}

/* A job computes as whoever submits it would, whichever thread it gets. */

static intptr_t change_mode(void *arg)
{
	int before = fegetround();

	fesetround(*(const int *)arg);
	return before;
}

static intptr_t submit(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < countof(modes); i++) {
		const int *other = &modes[(i + 1) % countof(modes)];

		fesetround(modes[i]);
		/* The first one may start the thread. */
		assert_int_equal(async_to_thread(change_mode, (void *)other), modes[i]);
		assert_int_equal(async_to_thread(tell_mode, NULL), modes[i]);
		assert_int_equal(async_await(async_run_in_executor(NULL, tell_mode, NULL)), modes[i]);
		assert_int_equal(fegetround(), modes[i]);
	}
	fesetround(FE_TONEAREST);
	return 0;
}

static intptr_t rounding_of_bytes(const void *bytes, size_t size, async_reply *reply)
{
	(void)bytes, (void)size, (void)reply;
	return fegetround();
}

static intptr_t rounding_of_job(void *arg)
{
	(void)arg;
	return fegetround();
}

/* In other processes as well. */
static intptr_t submit_to_processes(void *arg)
{
	struct async_process_pool_options options = ASYNC_PROCESS_POOL_OPTIONS_INIT;
	async_executor *pool;

	(void)arg;
	options.max_workers = 1;
	assert_int_equal(async_process_pool_new(&options, &pool), 0);
	for (size_t i = 0; i < countof(modes); i++) {
		fesetround(modes[i]);
		assert_int_equal(async_await(async_run_in_executor(pool, rounding_of_job, NULL)), modes[i]);
		async_process_result *result =
			(async_process_result *)async_await(async_run_in_process(pool, rounding_of_bytes, NULL, 0));
		assert_int_equal(async_process_result_value(result), modes[i]);
		async_process_result_free(result);
	}
	fesetround(FE_TONEAREST);
	async_executor_free(pool);
	return 0;
}

static void jobs_compute_as_their_submitter_does(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(submit, NULL), 0);
	assert_int_equal(run_virtual(submit_to_processes, NULL), 0);
}

/* Flags are the thread's: what one raises, another finds; and what was raised is lost at no switch. */

static intptr_t raise_flags(void *arg)
{
	(void)arg;
	assert_int_equal(async_sleep(0), 0);
	assert_int_equal(fetestexcept(FE_ALL_EXCEPT), 0);
	feraiseexcept(FE_DIVBYZERO | FE_OVERFLOW);
	assert_int_equal(async_sleep(0), 0);
	assert_int_equal(fetestexcept(FE_ALL_EXCEPT), 0);
	return 0;
}

static intptr_t find_flags(void *arg)
{
	(void)arg;
	assert_int_equal(async_sleep(0), 0);
	assert_int_equal(fetestexcept(FE_DIVBYZERO | FE_OVERFLOW), FE_DIVBYZERO | FE_OVERFLOW);
	feclearexcept(FE_ALL_EXCEPT);
	return 0;
}

static intptr_t share_flags(void *arg)
{
	async_task *tasks[2];

	(void)arg;
	feclearexcept(FE_ALL_EXCEPT);
	tasks[0] = async_create_task(raise_flags, NULL);
	tasks[1] = async_create_task(find_flags, NULL);
	return async_await(async_gather(tasks, 2, 0, NULL));
}

static void flags_are_shared(void **state)
{
	(void)state;
	if (under_tool("valgrind"))
		skip(); /* it has no flags */
	assert_int_equal(run_virtual(share_flags, NULL), 2);
	assert_int_equal(fetestexcept(FE_DIVBYZERO), 0);
}

#ifdef __x86_64__

/* One that x87 has raised is kept where it traps, too. */
static intptr_t traps_all(void *arg)
{
	(void)arg;
	assert_int_equal(feenableexcept(FE_DIVBYZERO), 0);
	assert_int_equal(async_sleep(0), 0);
	assert_int_equal(async_sleep(0), 0);
	assert_int_equal(fedisableexcept(FE_DIVBYZERO), FE_DIVBYZERO);
	return 0;
}

static intptr_t raise_on_x87(void *arg)
{
	volatile long double zero = 0, result;

	(void)arg;
	async_task *task = async_create_task(traps_all, NULL);
	assert_int_equal(async_sleep(0), 0);
	result = 1 / zero;
	(void)result;
	assert_true(fetestexcept(FE_DIVBYZERO));
	assert_int_equal(async_sleep(0), 0);
	assert_true(fetestexcept(FE_DIVBYZERO));
	feclearexcept(FE_ALL_EXCEPT);
	return async_await(task);
}

static void flags_of_x87_are_kept(void **state)
{
	(void)state;
	if (under_tool("valgrind"))
		skip(); /* it has no flags */
	assert_int_equal(run_virtual(raise_on_x87, NULL), 0);
}

/* Traps: who asked for them has them, and who divides by zero beside is left alone; a flag that somebody has raised is
 * no trap for somebody else. */

static intptr_t with_traps(void *arg)
{
	(void)arg;
	assert_int_equal(feenableexcept(FE_DIVBYZERO), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(async_sleep(0), 0);
		assert_int_equal(fegetexcept(), FE_DIVBYZERO);
		/* Would be the end if a pending exception were seen. */
		assert_true(one_l / three_l > 0);
		assert_true(one / three > 0);
	}
	return 0;
}

static intptr_t without_traps(void *arg)
{
	volatile double zero = 0;
	volatile long double zero_l = 0;

	(void)arg;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fegetexcept(), 0);
		assert_true(one / zero > 0);
		assert_true(one_l / zero_l > 0);
		assert_int_equal(async_sleep(0), 0);
	}
	return 0;
}

static intptr_t mix_traps(void *arg)
{
	async_task *tasks[2] = {async_create_task(with_traps, NULL), async_create_task(without_traps, NULL)};

	(void)arg;
	return async_await(async_gather(tasks, 2, 0, NULL));
}

static void traps_are_their_own(void **state)
{
	(void)state;
	if (under_tool("valgrind"))
		skip(); /* it has no traps */
	assert_int_equal(run_virtual(mix_traps, NULL), 2);
	assert_int_equal(fegetexcept(), 0);
}

/* Each unit by itself: the rounding of SSE through its own register, the precision of x87. */

static intptr_t by_register(void *arg)
{
	fpu_control_t control, single = (_FPU_DEFAULT & ~_FPU_EXTENDED) | _FPU_SINGLE;

	(void)arg;
	_MM_SET_ROUNDING_MODE(_MM_ROUND_UP);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(async_sleep(0), 0);
		assert_int_equal(_MM_GET_ROUNDING_MODE(), _MM_ROUND_UP);
	}
	_MM_SET_ROUNDING_MODE(_MM_ROUND_NEAREST);
	_FPU_SETCW(single);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(async_sleep(0), 0);
		_FPU_GETCW(control);
		assert_int_equal(control, single);
	}
	return 0;
}

static intptr_t beside_registers(void *arg)
{
	fpu_control_t control;

	(void)arg;
	for (int i = 0; i < 8; i++) {
		assert_int_equal(_MM_GET_ROUNDING_MODE(), _MM_ROUND_NEAREST);
		_FPU_GETCW(control);
		assert_int_equal(control, _FPU_DEFAULT);
		assert_int_equal(async_sleep(0), 0);
	}
	return 0;
}

static intptr_t each_unit(void *arg)
{
	async_task *tasks[2] = {async_create_task(by_register, NULL), async_create_task(beside_registers, NULL)};

	(void)arg;
	return async_await(async_gather(tasks, 2, 0, NULL));
}

static void units_are_kept_apart(void **state)
{
	(void)state;
	if (under_tool("valgrind"))
		skip(); /* it has one precision */
	assert_int_equal(run_virtual(each_unit, NULL), 2);
}

/* Flushing of subnormal numbers is the thread's, with both switches. */

static intptr_t flushes(void *arg)
{
	(void)arg;
	assert_int_equal(_MM_GET_FLUSH_ZERO_MODE(), _MM_FLUSH_ZERO_ON);
	fesetround(FE_UPWARD);
	assert_int_equal(async_sleep(0), 0);
	assert_int_equal(_MM_GET_FLUSH_ZERO_MODE(), _MM_FLUSH_ZERO_ON);
	_MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_OFF);
	return 0;
}

static intptr_t sets_flushing(void *arg)
{
	(void)arg;
	_MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
	assert_int_equal(async_await(async_create_task(flushes, NULL)), 0);
	assert_int_equal(fegetround(), FE_TONEAREST);
	return _MM_GET_FLUSH_ZERO_MODE();
}

static void flushing_is_the_threads(void **state)
{
	(void)state;
	if (under_tool("valgrind"))
		skip(); /* it has no flushing */
	assert_int_equal(run_virtual(sets_flushing, NULL), _MM_FLUSH_ZERO_OFF);
}

#endif

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(tasks_keep_their_rounding),
		TEST(tasks_begin_as_their_creator_is),
		TEST(callbacks_have_that_of_the_loop),
		TEST(jobs_compute_as_their_submitter_does),
		TEST(flags_are_shared),
#ifdef __x86_64__
		TEST(flags_of_x87_are_kept),
		TEST(traps_are_their_own),
		TEST(units_are_kept_apart),
		TEST(flushing_is_the_threads),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
