/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. What a kernel offers is found by asking for it, best first: a version says nothing of what was
 * configured, backported or forbidden.
 */
#include "reactor/uring_probe.h"

#include <pthread.h>

#include "base/fault.h"
#include "base/instrument.h"
#include "base/own_fd.h"
#include "reactor/reactor_impl.h"

static const char *reason = "", *features = "";

#ifdef HAVE_LIBURING

#define SQ_ENTRIES 128
#define CQ_ENTRIES 2048

static const struct {
	unsigned flags;
	const char *features;
} setups[] = {
	/* Completions are worked off only when we ask: no interrupts, no locks. */
	{IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
	 "single issuer, deferred task work"},
	{IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL, "cooperative task work"},
	{0, "basic"},
};

static const struct {
	unsigned bit;
	const char *reason;
} needed_features[] = {
	{IORING_FEAT_NODROP, "the kernel's io_uring may drop completions (no IORING_FEAT_NODROP)"},
	{IORING_FEAT_SUBMIT_STABLE, "the kernel's io_uring lacks IORING_FEAT_SUBMIT_STABLE"},
	{IORING_FEAT_RW_CUR_POS, "the kernel's io_uring lacks the current position (IORING_FEAT_RW_CUR_POS)"},
	{IORING_FEAT_FAST_POLL, "the kernel's io_uring waits in threads (no IORING_FEAT_FAST_POLL)"},
	{IORING_FEAT_EXT_ARG, "the kernel's io_uring cannot wait with a timeout (no IORING_FEAT_EXT_ARG)"},
};

static const struct {
	int opcode;
	const char *reason;
} needed_opcodes[] = {
	{IORING_OP_READ, "the kernel's io_uring lacks IORING_OP_READ"},
	{IORING_OP_WRITE, "the kernel's io_uring lacks IORING_OP_WRITE"},
	{IORING_OP_SEND, "the kernel's io_uring lacks IORING_OP_SEND"},
	{IORING_OP_POLL_ADD, "the kernel's io_uring lacks IORING_OP_POLL_ADD"},
	{IORING_OP_ASYNC_CANCEL, "the kernel's io_uring lacks IORING_OP_ASYNC_CANCEL"},
	{IORING_OP_RECV, "the kernel's io_uring lacks IORING_OP_RECV"},
	{IORING_OP_RECVMSG, "the kernel's io_uring lacks IORING_OP_RECVMSG"},
	{IORING_OP_SENDMSG, "the kernel's io_uring lacks IORING_OP_SENDMSG"},
	{IORING_OP_ACCEPT, "the kernel's io_uring lacks IORING_OP_ACCEPT"},
	{IORING_OP_CONNECT, "the kernel's io_uring lacks IORING_OP_CONNECT"},
};

static const char *refusal(int err)
{
	switch (err) {
	case -ENOSYS:
		return "the kernel was built without io_uring, or a seccomp filter hides it";
	case -EPERM:
	case -EACCES:
		return "forbidden: kernel.io_uring_disabled, or a seccomp filter of the container";
	case -ENOMEM:
		return "no memory for the ring: the limit on locked memory (ulimit -l) may be too low";
	case -EMFILE:
	case -ENFILE:
		return "too many open files";
	case -EINVAL:
		return "the kernel does not know the flags for setting up a ring";
	default:
		return "io_uring_setup failed for an unexpected reason";
	}
}

/* ThreadSanitizer does not see that liburing unmaps a ring, and another may get its addresses. */
static char ring_memory;

void uring_ring_close(struct io_uring *ring)
{
	order_release(&ring_memory);
	io_uring_queue_exit(ring);
}

/* liburing opens it under the lowest number that is free. */
static int lift(struct io_uring *ring)
{
	ring->ring_fd = ring->enter_ring_fd = own_lift(ring->ring_fd);
	if (ring->ring_fd >= 0)
		return 0;
	int err = ring->ring_fd;

	uring_ring_close(ring);
	return err;
}

static int setup(struct io_uring *ring, const char **ret_features)
{
	int err = -EINVAL;

	for (size_t i = 0; i < array_size(setups) && err == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = setups[i].flags | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
			.cq_entries = CQ_ENTRIES,
		};

		err = URING("io_uring_setup", io_uring_queue_init_params(SQ_ENTRIES, ring, &params));
		*ret_features = setups[i].features;
	}
	order_acquire(&ring_memory);
	return err < 0 ? err : lift(ring);
}

/* What may be missing, as the first ring found it: one bit each. */
static atomic_ullong opcodes;

bool uring_has_opcode(int opcode)
{
	return atomic_load_explicit(&opcodes, memory_order_relaxed) >> opcode & 1;
}

/* NULL if nothing is missing. */
static const char *missing(struct io_uring *ring)
{
	const char *text = NULL;

	for (size_t i = 0; i < array_size(needed_features); i++)
		if (!(ring->features & needed_features[i].bit))
			return needed_features[i].reason;
	struct io_uring_probe *probe = fault("io_uring_probe") ? NULL : io_uring_get_probe_ring(ring);

	if (!probe)
		return "the kernel's io_uring does not tell its operations";
	unsigned long long found = 0;

	for (int i = 0; i < 64; i++)
		found |= (unsigned long long)io_uring_opcode_supported(probe, i) << i;
	atomic_store_explicit(&opcodes, found, memory_order_relaxed);
	for (size_t i = 0; i < array_size(needed_opcodes) && !text; i++)
		if (!io_uring_opcode_supported(probe, needed_opcodes[i].opcode))
			text = needed_opcodes[i].reason;
	io_uring_free_probe(probe);
	return text;
}

/* Setting a ring up may be allowed where using it is not. */
static int try_to_enter(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;

	io_uring_prep_nop(io_uring_get_sqe(ring));
	int err = URING("io_uring_enter", io_uring_submit_and_wait(ring, 1));
	if (err >= 0)
		err = io_uring_peek_cqe(ring, &cqe);
	if (err < 0)
		return err;
	io_uring_cqe_seen(ring, cqe);
	return 0;
}

int uring_ring_open(struct io_uring *ring, const char **ret_reason, const char **ret_features)
{
	static atomic_bool complete; /* once found complete, the kernel stays so */
	int err = setup(ring, ret_features);

	if (err < 0) {
		*ret_reason = refusal(err);
		return err;
	}
	if (!atomic_load_explicit(&complete, memory_order_relaxed)) {
		const char *text = missing(ring);

		if (text) {
			*ret_reason = text;
			uring_ring_close(ring);
			return -ENOSYS;
		}
		atomic_store_explicit(&complete, true, memory_order_relaxed);
	}
	/* Saves a reference count per call; does without where it is not known. */
	io_uring_register_ring_fd(ring);
	err = URING("madvise", io_uring_ring_dontfork(ring));
	if (err < 0)
		*ret_reason = "the ring cannot be kept from child processes (MADV_DONTFORK)";
	else if ((err = try_to_enter(ring)) < 0)
		*ret_reason = "io_uring_enter is refused: a seccomp filter of the container";
	if (err < 0)
		uring_ring_close(ring);
	return err;
}

static void probe_once(void)
{
	struct io_uring ring;

	if (uring_ring_open(&ring, &reason, &features) == 0)
		uring_ring_close(&ring);
	else
		features = "";
}

#else

static void probe_once(void)
{
	reason = "the library was built without liburing";
}

int uring_open(const struct reactor_options *options, struct reactor **ret_reactor)
{
	(void)options;
	(void)ret_reactor;
	return -ENOSYS;
}

#endif

bool reactor_uring_usable(const char **ret_reason, const char **ret_features)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, probe_once);
	*ret_reason = reason;
	if (ret_features)
		*ret_features = features;
	return reason[0] == '\0';
}
