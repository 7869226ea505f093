/* SPDX-License-Identifier: MIT */
/* What a program in C loads: tasks that wait in handlers. */
#include <async.h>

#include <stdexcept>
#include <string>

static intptr_t body(void *arg)
{
	std::string name = "the exception of " + std::to_string(reinterpret_cast<intptr_t>(arg));

	try {
		try {
			throw std::runtime_error(name);
		} catch (...) {
			int error = async_sleep(reinterpret_cast<intptr_t>(arg) * ASYNC_MS);
			if (error)
				return error;
			throw;
		}
	} catch (const std::exception &caught) {
		return caught.what() == name ? 0 : -EILSEQ;
	}
}

extern "C" intptr_t plugin_main(void *)
{
	async_future *tasks[10];

	for (intptr_t i = 0; i < 10; i++)
		tasks[i] = async_create_task(body, reinterpret_cast<void *>(i % 4));
	return async_await(async_gather(tasks, 10, 0, nullptr));
}
