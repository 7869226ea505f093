/* SPDX-License-Identifier: MIT */
#include <sched.h>

#include "base/instrument.h"
#include "worker/worker.h"

/*
 * The moment the job is in the list, its owner may free it, and with the last job the sink too. Only the
 * thread that found the sink empty has to touch it afterwards, to wake its owner: it announces that before.
 */
void job_sink_push(struct job_sink *sink, struct job *job)
{
	struct job *head = atomic_load_explicit(&sink->done, memory_order_relaxed);
	bool announced = false;

	order_release(sink);
	do {
		if (!head && !announced) {
			atomic_fetch_add_explicit(&sink->waking, 1, memory_order_relaxed);
			announced = true;
		}
		job->next = head;
	} while (!atomic_compare_exchange_weak_explicit(&sink->done, &head, job, memory_order_release,
							memory_order_relaxed));
	if (!announced)
		return;
	if (!head)
		sink->wake(sink);
	atomic_fetch_sub_explicit(&sink->waking, 1, memory_order_release);
}

struct job *job_sink_take(struct job_sink *sink)
{
	struct job *latest = atomic_exchange_explicit(&sink->done, NULL, memory_order_acquire);
	struct job *first = NULL;

	order_acquire(sink);
	while (latest) {
		struct job *earlier = latest->next;

		latest->next = first;
		first = latest;
		latest = earlier;
	}
	return first;
}

void job_sink_settle(struct job_sink *sink)
{
	while (atomic_load_explicit(&sink->waking, memory_order_acquire) > 0)
		sched_yield();
}
