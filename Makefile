# SPDX-License-Identifier: MIT
# libasync and asyncctl. `make help` lists what there is to make.
#
#   V=1            shows the commands
#   WERROR=1       makes warnings errors
#   VALGRIND=1     runs the tests under valgrind memcheck
#   VARIANT=NAME   asan, ubsan, tsan, gcov or clang: builds into build/NAME/ instead of build/
#   URING=0        leaves the io_uring backend out, where liburing is installed too
#   CC, CFLAGS, CPPFLAGS, LDFLAGS, PREFIX, DESTDIR as everywhere

MAKEFLAGS += -r --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

GOALS := $(or $(MAKECMDGOALS),all)
# What needs no compiler, so that it works on a machine that has none.
PLAIN_GOALS := help clean uninstall deps
# What is asked for by people who want to see it work, not to choose packages: installs what is missing first.
READY_GOALS := run test asan ubsan tsan coverage lint bench fuzz

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

include mk/target.mk
include mk/deps.mk
ifeq ($(NEEDS_DEPS),)
ifneq ($(filter-out $(PLAIN_GOALS),$(GOALS)),)
include mk/flags.mk
include mk/build.mk
include mk/test.mk
endif
include mk/install.mk
endif

.PHONY: help clean
help:
	@echo 'make              build/asyncctl, build/libasync.a, build/libasync.so'
	@echo 'make run          builds and runs: asyncctl run primes --mode=coop --yield=1000000'
	@echo 'make test         runs all tests; VALGRIND=1: under valgrind; TESTS="task cli": those whose name contains one'
	@echo 'make asan         the same with AddressSanitizer; ubsan: UBSan; tsan: ThreadSanitizer'
	@echo 'make examples     builds the programs of examples/ into build/examples/'
	@echo 'make coverage     the same, and build/coverage/index.html'
	@echo 'make lint         layers, allocation, licences, man pages, scripts'
	@echo 'make portability  builds for other processors and with link-time optimisation, runs what qemu-user can run'
	@echo 'make bench        measures the runtime; builds the comparisons in tests/bench'
	@echo 'make fuzz         runs each fuzzer of tests/fuzz for FUZZ_TIME=60 seconds'
	@echo 'make deps         installs all Debian packages that any of these needs (VALGRIND=1: valgrind too)'
	@echo 'make install      into PREFIX=/usr/local, below DESTDIR; uninstall: removes it'
	@echo 'make clean        removes build/'
	@echo 'Options: V=1 WERROR=1 VALGRIND=1 URING=0 VARIANT=asan|ubsan|tsan|gcov|clang CC=… CFLAGS=…'

clean:
	$(Q)rm -rf build
