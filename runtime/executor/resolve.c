/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. The job's result is the job itself, with the answer or the error inside: whoever gets it last, the task or
 * `drop`, frees both. So a task that is cancelled need not wait for a name server.
 */
#include <async/resolve.h>

#include <errno.h>
#include <netdb.h>
#include <string.h>

#include <async/future.h>

#include "base/fault.h"
#include "base/memory.h"
#include "core/schedule.h"
#include "executor/executor.h"

struct lookup {
	char *host, *service;
	struct addrinfo hints, *list;
	bool hinted;
	int error;
};

static int errno_of(int error)
{
	switch (error) {
	case 0: return 0;
	case EAI_NONAME: return -ENOENT;
	case EAI_NODATA: return -ENODATA;
	case EAI_ADDRFAMILY: return -EADDRNOTAVAIL;
	case EAI_AGAIN: return -EAGAIN;
	case EAI_FAIL: return -EIO;
	case EAI_FAMILY: return -EAFNOSUPPORT;
	case EAI_SOCKTYPE: return -ESOCKTNOSUPPORT;
	case EAI_SERVICE: return -EPROTONOSUPPORT;
	case EAI_BADFLAGS: return -EINVAL;
	case EAI_MEMORY: return -ENOMEM;
	case EAI_OVERFLOW: return -ENAMETOOLONG;
	case EAI_SYSTEM: return errno ? -errno : -EIO;
	default: return -EIO;
	}
}

static int look_up(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret_list)
{
	int error = fault("getaddrinfo");

	return error ? error : errno_of(getaddrinfo(host, service, hints, ret_list));
}

static void free_lookup(void *arg)
{
	struct lookup *lookup = arg;

	if (lookup->list)
		freeaddrinfo(lookup->list);
	mem_free(lookup->host);
	mem_free(lookup->service);
	mem_free(lookup);
}

static void drop_lookup(intptr_t result)
{
	free_lookup((void *)result);
}

static intptr_t run_lookup(void *arg)
{
	struct lookup *lookup = arg;

	lookup->error = look_up(lookup->host, lookup->service, lookup->hinted ? &lookup->hints : NULL, &lookup->list);
	return (intptr_t)lookup;
}

const char *lookup_host(const struct executor_job *job)
{
	const struct lookup *lookup = job->arg;

	return job->fn != run_lookup ? NULL : lookup->host ? lookup->host : lookup->service;
}

/* Answers without asking anybody; -ENOENT if that cannot be done. */
static int look_up_numbers(const char *host, const char *service, const struct addrinfo *hints,
			   struct addrinfo **ret_list)
{
	struct addrinfo numeric = {.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG};

	/* Without hints these flags are getaddrinfo's own default; AI_ADDRCONFIG says nothing about numbers. */
	if (hints)
		numeric = *hints;
	numeric.ai_flags = (numeric.ai_flags & ~AI_ADDRCONFIG) | AI_NUMERICHOST | AI_NUMERICSERV;
	return look_up(host, service, &numeric, ret_list);
}

static struct lookup *new_lookup(const char *host, const char *service, const struct addrinfo *hints)
{
	struct lookup *lookup = mem_zalloc(sizeof(*lookup));

	if (!lookup)
		return NULL;
	lookup->hinted = hints != NULL;
	if (hints)
		lookup->hints = *hints;
	lookup->host = host ? mem_strndup(host, strlen(host)) : NULL;
	lookup->service = service ? mem_strndup(service, strlen(service)) : NULL;
	if ((host && !lookup->host) || (service && !lookup->service)) {
		free_lookup(lookup);
		return NULL;
	}
	return lookup;
}

int async_resolve(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret_list)
{
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;
	struct task *task = task_current();
	struct addrinfo *list = NULL;

	if (!ret_list || (!host && !service))
		return -EINVAL;
	if (!task)
		return -EPERM;
	if (task_take_cancel(task))
		return -ECANCELED;
	int error = look_up_numbers(host, service, hints, &list);
	if (error != -ENOENT) {
		if (!error)
			*ret_list = list;
		return error;
	}
	struct lookup *lookup = new_lookup(host, service, hints);
	if (!lookup)
		return -ENOMEM;
	options.destroy = free_lookup;
	options.drop = drop_lookup;
	intptr_t result = async_await(job_future_make(NULL, LANE_NAMES, run_lookup, lookup, &options));
	if (result < 0)
		return (int)result;
	lookup = (struct lookup *)result;
	error = lookup->error;
	if (!error) {
		*ret_list = lookup->list;
		lookup->list = NULL;
	}
	free_lookup(lookup);
	return error;
}
