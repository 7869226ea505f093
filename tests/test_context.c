/* SPDX-License-Identifier: MIT */
/* Moving the processor from one stack to another, both ways: what must survive it, and who goes on. */
#include "harness.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "context/context.h"

#define STACK_SIZE ((size_t)128 << 10)
#define STACK_CLASS ((unsigned)stack_class_for(STACK_SIZE))

static struct stack_pool stacks;

static enum context_kind kind;
static struct context main_context;

struct coroutine {
	struct context context;
	struct context *(*body)(struct coroutine *self); /* who goes on when it has ended */
	void *arg;
	char *stack;
	struct stack_header *top;
};

static void *entry(void *arg)
{
	struct coroutine *self = arg;

	context_begun(kind);
	return context_finish(&self->context, self->body(self), kind);
}

static void make(struct coroutine *coroutine, struct context *(*body)(struct coroutine *), void *arg)
{
	coroutine->body = body;
	coroutine->arg = arg;
	coroutine->top = stack_alloc(&stacks, STACK_CLASS, NULL);
	assert_non_null(coroutine->top);
	coroutine->stack = stack_bottom(coroutine->top, STACK_CLASS);
	context_make(&coroutine->context, kind, coroutine->stack, coroutine->top, fpenv_get(), entry, coroutine);
}

static void discard(struct coroutine *coroutine)
{
	stack_free(&stacks, STACK_CLASS, coroutine->top);
}

static void go_to(struct coroutine *coroutine)
{
	context_switch(&main_context, &coroutine->context, kind);
}

static void go_back(struct coroutine *self)
{
	context_switch(&self->context, &main_context, kind);
}

/* Each test is run for both ways of switching, with stacks that know no other: as in a loop. */
static void for_both(void (*test)(void))
{
	for (int i = 0; i < 2; i++) {
		kind = (i ? CONTEXT_UCONTEXT : CONTEXT_ASM) | context_observers();
		forget_notes();
		test();
		stack_pool_destroy(&stacks);
	}
}

/* Beginning, going back and forth, ending */

static struct context *note_and_end(struct coroutine *self)
{
	(void)self;
	note("body");
	return &main_context;
}

static void begin_and_end(void)
{
	struct coroutine coroutine;

	make(&coroutine, note_and_end, NULL);
	note("made");
	go_to(&coroutine);
	note("back");
	assert_noted("made body back");
	discard(&coroutine);
}

static void begins_and_ends(void **state)
{
	(void)state;
	for_both(begin_and_end);
}

static struct context *check_alignment(struct coroutine *self)
{
	/* The compiler aligns it by the stack pointer that the ABI promises. */
	_Alignas(16) char block[16];
	volatile uintptr_t address = (uintptr_t)block;
	char *here = (char *)__builtin_frame_address(0);

	*(int *)self->arg = address % 16 == 0 && (uintptr_t)here % 16 == 0;
	assert_true(here > self->stack && here < (char *)self->top);
	assert_true((char *)self->top - here < 4096);
	return &main_context;
}

static void align(void)
{
	struct coroutine coroutine;
	int aligned = 0;

	make(&coroutine, check_alignment, &aligned);
	go_to(&coroutine);
	assert_int_equal(aligned, 1);
	discard(&coroutine);
}

static void stack_is_aligned_and_its_own(void **state)
{
	(void)state;
	for_both(align);
}

static struct context *count_to(struct coroutine *self)
{
	int *numbers = self->arg;

	for (int i = 0; i < 1000; i++) {
		assert_int_equal(numbers[0], i);
		numbers[1] = i * 3;
		go_back(self);
	}
	return &main_context;
}

static void ping_pong(void)
{
	struct coroutine coroutine;
	int numbers[2];

	make(&coroutine, count_to, numbers);
	for (numbers[0] = 0; numbers[0] < 1000; numbers[0]++) {
		go_to(&coroutine);
		assert_int_equal(numbers[1], numbers[0] * 3);
	}
	go_to(&coroutine);
	discard(&coroutine);
}

static void switches_back_and_forth(void **state)
{
	(void)state;
	for_both(ping_pong);
}

/* A ring: each switches directly to the next one. */

#define RING 10
static struct coroutine ring[RING];

static struct context *go_round(struct coroutine *self)
{
	size_t index = (size_t)(self - ring), next = (index + 1) % RING;

	for (int round = 0; round < 3; round++) {
		note("%zu", index);
		context_switch(&self->context, &ring[next].context, kind);
	}
	/* Ends into one that is suspended, the last one into the main stack. */
	return index + 1 < RING ? &ring[next].context : &main_context;
}

static void run_ring(void)
{
	for (size_t i = 0; i < RING; i++)
		make(&ring[i], go_round, NULL);
	go_to(&ring[0]);
	assert_noted("0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9");
	for (size_t i = 0; i < RING; i++)
		discard(&ring[i]);
}

static void switches_round_a_ring(void **state)
{
	(void)state;
	for_both(run_ring);
}

static struct context *end_into_next(struct coroutine *self)
{
	size_t index = (size_t)(self - ring);

	note("%zu", index);
	return index + 1 < RING ? &ring[index + 1].context : &main_context;
}

static void end_into_fresh(void)
{
	for (size_t i = 0; i < RING; i++)
		make(&ring[i], end_into_next, NULL);
	go_to(&ring[0]);
	assert_noted("0 1 2 3 4 5 6 7 8 9");
	for (size_t i = 0; i < RING; i++)
		discard(&ring[i]);
}

static void ends_into_one_that_never_ran(void **state)
{
	(void)state;
	for_both(end_into_fresh);
}

/* Nothing of a stack is left when it has ended, so it serves the next one. */
static void reuse(void)
{
	struct coroutine coroutine;

	make(&coroutine, note_and_end, NULL);
	for (int i = 0; i < 100; i++) {
		go_to(&coroutine);
		context_make(&coroutine.context, kind, coroutine.stack, coroutine.top, fpenv_get(), entry, &coroutine);
	}
	go_to(&coroutine);
	assert_int_equal(strlen(noted()), 101 * strlen("body ") - 1);
	forget_notes();
	discard(&coroutine);
}

static void stacks_serve_again(void **state)
{
	(void)state;
	for_both(reuse);
}

/* A chain in which each begins the next one, and all end in reverse. */

struct link {
	struct coroutine coroutine;
	struct context *parent;
	size_t depth, limit;
	size_t *ended;
};

static struct context *begin_next(struct coroutine *self)
{
	struct link *link = container_of(self, struct link, coroutine), *next = link + 1;

	if (link->depth + 1 < link->limit) {
		*next = (struct link){.parent = &self->context,
				      .depth = link->depth + 1,
				      .limit = link->limit,
				      .ended = link->ended};
		make(&next->coroutine, begin_next, NULL);
		context_switch(&self->context, &next->coroutine.context, kind);
		discard(&next->coroutine);
	}
	assert_int_equal(++*link->ended, link->limit - link->depth);
	return link->parent;
}

static void go_deep(void)
{
	size_t limit = test_many(2000), ended = 0;
	struct link *links = calloc(limit, sizeof(*links));

	assert_non_null(links);
	links[0] = (struct link){.parent = &main_context, .limit = limit, .ended = &ended};
	make(&links[0].coroutine, begin_next, NULL);
	go_to(&links[0].coroutine);
	assert_int_equal(ended, limit);
	discard(&links[0].coroutine);
	free(links);
}

static void deep_chains_unwind(void **state)
{
	(void)state;
	for_both(go_deep);
}

/* What must survive */

#ifdef __x86_64__
/* Fills the registers that a callee preserves from `pattern`, calls, and compares. Returns 1 if all survived. */
int registers_survive(uintptr_t pattern, void (*call)(void *arg), void *arg);
__asm__(".text\n"
	".type registers_survive, @function\n"
	"registers_survive:\n"
	"	pushq %rbx\n	pushq %rbp\n	pushq %r12\n"
	"	pushq %r13\n	pushq %r14\n	pushq %r15\n"
	"	pushq %rdi\n"
	"	leaq 1(%rdi), %rbx\n	leaq 2(%rdi), %rbp\n	leaq 3(%rdi), %r12\n"
	"	leaq 4(%rdi), %r13\n	leaq 5(%rdi), %r14\n	leaq 6(%rdi), %r15\n"
	"	movq %rdx, %rdi\n"
	"	callq *%rsi\n"
	"	movq (%rsp), %rdi\n"
	"	xorl %eax, %eax\n"
	"	subq $1, %rbx\n	cmpq %rdi, %rbx\n	jne 1f\n"
	"	subq $2, %rbp\n	cmpq %rdi, %rbp\n	jne 1f\n"
	"	subq $3, %r12\n	cmpq %rdi, %r12\n	jne 1f\n"
	"	subq $4, %r13\n	cmpq %rdi, %r13\n	jne 1f\n"
	"	subq $5, %r14\n	cmpq %rdi, %r14\n	jne 1f\n"
	"	subq $6, %r15\n	cmpq %rdi, %r15\n	jne 1f\n"
	"	movl $1, %eax\n"
	"1:	popq %rdi\n"
	"	popq %r15\n	popq %r14\n	popq %r13\n"
	"	popq %r12\n	popq %rbp\n	popq %rbx\n"
	"	retq\n"
	".size registers_survive, . - registers_survive\n");

static void switch_to_main(void *self)
{
	go_back(self);
}

static struct context *check_registers(struct coroutine *self)
{
	for (uintptr_t i = 0; i < 100; i++)
		*(int *)self->arg += registers_survive(0x5a5a5a5a00000000 + i * 1000, switch_to_main, self);
	return &main_context;
}

static void switch_to_other(void *coroutine)
{
	go_to(coroutine);
}

static void keep_registers(void)
{
	struct coroutine coroutine;
	int there = 0, here = 0;

	make(&coroutine, check_registers, &there);
	for (uintptr_t i = 0; i < 101; i++)
		here += registers_survive(0xa5a5a5a500000000 + i * 1000, switch_to_other, &coroutine);
	assert_int_equal(there, 100);
	assert_int_equal(here, 101);
	discard(&coroutine);
}

static void callee_saved_registers_survive(void **state)
{
	(void)state;
	for_both(keep_registers);
}
#endif

/* More values than there are registers, integers and floating point, live across the switch. */
static volatile int64_t seed_value;

static noinline int keep_values(struct context *from, struct context *to, int64_t start)
{
	seed_value = start;
	int64_t a = seed_value + 1, b = seed_value + 2, c = seed_value + 3, d = seed_value + 4, e = seed_value + 5,
		f = seed_value + 6, g = seed_value + 7, h = seed_value + 8, i = seed_value + 9, j = seed_value + 10;
	double p = (double)seed_value + 0.1, q = (double)seed_value + 0.2, r = (double)seed_value + 0.3,
	       s = (double)seed_value + 0.4, t = (double)seed_value + 0.5, u = (double)seed_value + 0.6,
	       v = (double)seed_value + 0.7, w = (double)seed_value + 0.8, x = (double)seed_value + 0.9;
	long double y = (long double)seed_value / 3;

	context_switch(from, to, kind);
	seed_value = start;
	return a == seed_value + 1 && b == seed_value + 2 && c == seed_value + 3 && d == seed_value + 4 &&
	       e == seed_value + 5 && f == seed_value + 6 && g == seed_value + 7 && h == seed_value + 8 &&
	       i == seed_value + 9 && j == seed_value + 10 && p == (double)seed_value + 0.1 &&
	       q == (double)seed_value + 0.2 && r == (double)seed_value + 0.3 && s == (double)seed_value + 0.4 &&
	       t == (double)seed_value + 0.5 && u == (double)seed_value + 0.6 && v == (double)seed_value + 0.7 &&
	       w == (double)seed_value + 0.8 && x == (double)seed_value + 0.9 && y == (long double)seed_value / 3;
}

static struct context *keep_values_there(struct coroutine *self)
{
	for (int i = 0; i < 100; i++)
		*(int *)self->arg += keep_values(&self->context, &main_context, 1000000007 * (int64_t)i);
	return &main_context;
}

static void keep_values_here(void)
{
	struct coroutine coroutine;
	int there = 0, here = 0;

	make(&coroutine, keep_values_there, &there);
	for (int i = 0; i < 101; i++)
		here += keep_values(&main_context, &coroutine.context, -998244353 * (int64_t)i);
	assert_int_equal(there, 100);
	assert_int_equal(here, 101);
	discard(&coroutine);
}

static void values_survive(void **state)
{
	(void)state;
	for_both(keep_values_here);
}

/* Unwinding */

#define FRAMES_MAX 64

struct trace {
	void *frames[FRAMES_MAX];
	int count;
};

static noinline void trace_below(struct trace *trace, int depth)
{
	if (depth > 0)
		trace_below(trace, depth - 1);
	else
		trace->count = backtrace(trace->frames, FRAMES_MAX);
	/* No tail call: each level has a frame. */
	__asm__ volatile("");
}

static struct context *trace_there(struct coroutine *self)
{
	struct trace *traces = self->arg;

	trace_below(&traces[0], 0);
	go_back(self);
	trace_below(&traces[1], 20);
	return &main_context;
}

/* Begins it from `depth` more frames of the main stack. */
static noinline void go_from(struct coroutine *coroutine, int depth)
{
	if (depth > 0)
		go_from(coroutine, depth - 1);
	else
		go_to(coroutine);
	__asm__ volatile("");
}

static void unwind(void)
{
	struct coroutine coroutine;
	struct trace traces[2], before, after;

	/* The first call may load what unwinds. */
	trace_below(&before, 0);
	make(&coroutine, trace_there, traces);
	trace_below(&before, 5);
	go_from(&coroutine, 3);
	trace_below(&after, 5);
	go_from(&coroutine, 11);

	/* From the coroutine one sees its own frames, not those of whoever switched to it. */
	assert_in_range(traces[0].count, 3, 8);
	assert_int_equal(traces[1].count, traces[0].count + 20);
	for (int i = 3; i < traces[0].count; i++)
		assert_ptr_equal(traces[0].frames[i], traces[1].frames[i + 20]);
	/* And the main stack is what it was. */
	assert_int_equal(after.count, before.count);
	assert_true(before.count > 8);
	discard(&coroutine);
}

static void unwinders_end_at_the_outermost_frame(void **state)
{
	(void)state;
	for_both(unwind);
}

/* gdb, which reads other tables than backtrace(3) does */

void context_stop_here(void);
noinline void context_stop_here(void)
{
	__asm__ volatile("");
}

static struct context *stop_for_gdb(struct coroutine *self)
{
	(void)self;
	context_stop_here();
	return &main_context;
}

static int run_for_gdb(const char *name)
{
	struct coroutine coroutine;

	kind = strcmp(name, "ucontext") == 0 ? CONTEXT_UCONTEXT : CONTEXT_ASM;
	make(&coroutine, stop_for_gdb, NULL);
	go_to(&coroutine);
	return 0;
}

static const char *program;

static size_t run_gdb(const char *name, char *text, size_t size)
{
	char command[1024];
	size_t length;

	snprintf(command, sizeof(command),
		 "gdb -nx -batch -iex 'set debuginfod enabled off' -ex 'break context_stop_here' -ex run -ex bt "
		 "-ex kill --args '%s' --for-gdb %s 2>&1 </dev/null",
		 program, name);
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	length = fread(text, 1, size - 1, pipe);
	text[length] = '\0';
	pclose(pipe);
	return length;
}

static void gdb_sees_the_frames(void **state)
{
	static const char *const names[] = {"asm", "ucontext"};
	static char text[65536];
	const char *tool = getenv("TEST_TOOL");

	(void)state;
	if ((tool && strcmp(tool, "native") != 0) || system("command -v gdb >/dev/null") != 0)
		skip();
	for (size_t i = 0; i < countof(names); i++) {
		run_gdb(names[i], text, sizeof(text));
		/* Some containers forbid ptrace. */
		const char *frames = strstr(text, "#0 ");
		if (!strstr(text, "Breakpoint 1, ") || !frames)
			skip();
		assert_non_null(strstr(frames, "stop_for_gdb"));
		assert_non_null(strstr(frames, "entry"));
		assert_null(strstr(frames, "go_to"));
		assert_null(strstr(frames, " main ("));
		assert_null(strstr(frames, "corrupt stack"));
		assert_null(strstr(frames, "Backtrace stopped"));
		assert_null(strstr(frames, "#9 "));
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(begins_and_ends),
		TEST(stack_is_aligned_and_its_own),
		TEST(switches_back_and_forth),
		TEST(switches_round_a_ring),
		TEST(ends_into_one_that_never_ran),
		TEST(stacks_serve_again),
		TEST(deep_chains_unwind),
#ifdef __x86_64__
		TEST(callee_saved_registers_survive),
#endif
		TEST(values_survive),
		TEST(unwinders_end_at_the_outermost_frame),
		TEST(gdb_sees_the_frames),
	};

	program = argv[0];
	stack_pool_init(&stacks, STACK_GUARD_AUTO);
	if (argc == 3 && strcmp(argv[1], "--for-gdb") == 0)
		return run_for_gdb(argv[2]);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	stack_pool_destroy(&stacks);
	return failed;
}
