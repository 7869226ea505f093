/* SPDX-License-Identifier: MIT */
#include "introspect/peek.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own_fd.h"
#include "context/sanitizer.h"

/* Some sandboxes refuse process_vm_readv. */
static ssize_t read_self(void *to, const void *from, size_t size)
{
	int fd = own_open("/proc/self/mem", O_RDONLY, 0);

	if (fd < 0)
		return fd;
	ssize_t got = SYS("pread", pread(fd, to, size, (off_t)(uintptr_t)from));
	close(fd);
	return got;
}

/* The raw call: sanitizers have ideas of their own about the function. */
size_t peek(void *to, const void *from, size_t size)
{
	struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
	int saved = errno;
	ssize_t got = SYS("process_vm_readv", syscall(SYS_process_vm_readv, getpid(), &local, 1L, &remote, 1L, 0L));

	if (got == -EPERM || got == -ENOSYS)
		got = read_self(to, from, size);
	errno = saved;
	if (got <= 0)
		return 0;
	sanitizer_defined(to, (size_t)got);
	return (size_t)got;
}

bool peek_string(char *to, const char *from, size_t size)
{
	size_t got = from ? peek(to, from, size - 1) : 0;

	to[got] = '\0';
	return got > 0;
}
