# SPDX-License-Identifier: MIT
# Flags: what the code needs is added to what the user asks for in CFLAGS.

ifeq ($(VARIANT),clang)
CC := clang
endif
CFLAGS ?= -O2 -g
LD_R := $(CC) -r -nostdlib
OBJCOPY ?= objcopy
PKG_CONFIG ?= pkg-config
CXX ?= c++

ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
cc_option = $(shell $(CC) -Werror $(1) -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(1))

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef -Wwrite-strings
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

# initial-exec: without it each access to a thread-local in the shared library is a call.
# stack-clash-protection: a large frame touches its pages in order, so that it cannot jump over a guard page.
CODE := -std=gnu11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -ftls-model=initial-exec -pthread \
	$(call cc_option,-fstack-clash-protection)

VARIANTS := asan ubsan tsan gcov clang
VARIANT_asan := -O1 -fsanitize=address -fno-omit-frame-pointer
VARIANT_ubsan := -O1 -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
VARIANT_tsan := -O1 -fsanitize=thread -fno-omit-frame-pointer
VARIANT_gcov := -O0 --coverage -fprofile-update=atomic
ifneq ($(filter-out $(VARIANTS),$(VARIANT)),)
$(error VARIANT=$(VARIANT): there are $(VARIANTS))
endif

ifneq ($(URING),0)
URING_LIBS := $(shell $(PKG_CONFIG) --libs liburing 2>/dev/null)
endif
ifneq ($(URING_LIBS),)
CODE += -DHAVE_LIBURING $(shell $(PKG_CONFIG) --cflags liburing)
endif

COMPILE = $(CC) $(CODE) $(WARNINGS) $(CFLAGS) $(VARIANT_$(VARIANT)) $(CPPFLAGS)
LINK = $(CC) $(CFLAGS) $(VARIANT_$(VARIANT)) -pthread $(LDFLAGS)
LIBS = $(URING_LIBS) -lm

# Where a build goes, and a file that changes when the flags do: everything compiled depends on it.
O := build$(addprefix /,$(VARIANT))
FLAGS := $(strip $(COMPILE) // $(LINK) // $(LIBS))
ifneq ($(file <$(O)/flags),$(FLAGS))
$(shell mkdir -p $(O))
$(file >$(O)/flags,$(FLAGS))
endif

version_part = $(shell sed -n 's/^.define ASYNC_VERSION_$(1) \([0-9]*\)$$/\1/p' include/async/base.h)
SOVERSION := $(call version_part,MAJOR)
VERSION := $(SOVERSION).$(call version_part,MINOR).$(call version_part,PATCH)
