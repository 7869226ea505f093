# SPDX-License-Identifier: MIT
# Flags: what the code needs is added to what the user asks for in CFLAGS.

# The reason why there is no library for a target is told by the header, here before anything else.
REFUSED := $(shell $(CC) $(CFLAGS) $(CPPFLAGS) -fsyntax-only -x c include/async/base.h 2>&1 | \
	sed -nE 's/^.* error: (.error )?"?(libasync needs [^"]*)"?$$/\2/p')
ifneq ($(REFUSED),)
$(error $(CC): $(REFUSED))
endif

cc_option = $(shell $(CC) -Werror $(1) -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(1))

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef -Wwrite-strings
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

# Indirect branches land only where they may, on processors that check: one file without this switches it off in all
# programs that are linked with the library.
BRANCHES_x86_64 = $(call cc_option,-fcf-protection=branch)
BRANCHES_aarch64 = $(call cc_option,-mbranch-protection=standard)

# initial-exec: without it each access to a thread-local in the shared library is a call.
# stack-clash-protection: a large frame touches its pages in order, so that it cannot jump over a guard page.
CODE := -std=gnu11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -ftls-model=initial-exec -pthread \
	$(call cc_option,-fstack-clash-protection) $(BRANCHES_$(ARCH))

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
ifneq ($(CROSS),)
ifeq ($(URING_LIBS),)
$(info no liburing found for $(MULTIARCH), so there will be no io_uring backend)
endif
endif
endif
ifneq ($(URING_LIBS),)
CODE += -DHAVE_LIBURING $(shell $(PKG_CONFIG) --cflags liburing)
endif

COMPILE = $(CC) $(CODE) $(WARNINGS) $(CFLAGS) $(VARIANT_$(VARIANT)) $(CPPFLAGS)
join_option = $(shell $(CC) -r -nostdlib $(1) -x c /dev/null -o /dev/null 2>/dev/null && echo $(1))
# Several objects into one, in which names can be made local: link-time optimisation happens there at the latest.
LTO := $(filter -flto%,$(CFLAGS))
LD_R = $(CC) -r -nostdlib $(if $(LTO),$(CFLAGS) $(call join_option,-flinker-output=nolto-rel))
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
