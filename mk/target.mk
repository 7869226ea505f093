# SPDX-License-Identifier: MIT
# What CC builds for, and the tools of that target. Only CC needs to be named to build for another processor:
# make CC=aarch64-linux-gnu-gcc, make CC='clang --target=riscv64-linux-gnu'.

ifeq ($(VARIANT),clang)
CC := clang
endif
CFLAGS ?= -O2 -g

MACHINE := $(shell $(CC) $(CFLAGS) -dumpmachine 2>/dev/null)
MULTIARCH := $(or $(shell $(CC) $(CFLAGS) -print-multiarch 2>/dev/null),$(MACHINE))
ARCH := $(firstword $(subst -, ,$(MACHINE)))
ifneq ($(origin CC),default)
# The processor that is built for, if it is not the one that builds.
CROSS := $(filter-out $(firstword $(subst -, ,$(shell cc -dumpmachine 2>/dev/null || uname -m))),$(ARCH))
endif

# The compiler knows the tools of its target, but for the other compiler.
OBJCOPY ?= $(shell $(CC) $(CFLAGS) -print-prog-name=objcopy)
NM ?= $(shell $(CC) $(CFLAGS) -print-prog-name=nm)
ifeq ($(origin AR),default)
AR = $(shell $(CC) $(CFLAGS) -print-prog-name=ar)
endif
ifeq ($(origin CXX),default)
CXX := $(shell echo '$(CC)' | sed -E 's,(^|[-/])(gcc|clang)(-[0-9.]+)?( |$$),\1\2++\3\4,; s,gcc\+\+,g++,; s,(^|/)cc( |$$),\1c++\2,')
endif

PKG_CONFIG ?= pkg-config
ifneq ($(CROSS),)
# Packages of the machine that builds are none of the target's. Who names their place in the environment knows better.
ifeq ($(PKG_CONFIG)$(PKG_CONFIG_LIBDIR)$(PKG_CONFIG_SYSROOT_DIR),pkg-config)
PKG_CONFIG := $(or $(shell command -v $(MULTIARCH)-pkg-config),env PKG_CONFIG_PATH= \
	PKG_CONFIG_LIBDIR=/usr/lib/$(MULTIARCH)/pkgconfig:/usr/$(MULTIARCH)/lib/pkgconfig pkg-config)
endif
# Runs what was built; MULTIARCH is also where Debian's cross compilers have the C library of their target.
EMULATOR ?= $(addsuffix $(if $(wildcard /usr/$(MULTIARCH)/lib), -L /usr/$(MULTIARCH)),$(shell \
	command -v qemu-$(patsubst powerpc64%,ppc64%,$(ARCH)) || command -v qemu-$(patsubst powerpc64%,ppc64%,$(ARCH))-static))
endif
