/* SPDX-License-Identifier: MIT */
#include "sync/waiters.h"

/* It stays in line until it runs. */
bool waiter_withdraw(struct task *task)
{
	task_wake(task, -ECANCELED);
	return true;
}
