# SPDX-License-Identifier: MIT
# Which packages the goals need, and what happens when one is missing. A plain `make` names them and stops;
# READY_GOALS install them and start again, because the flags depend on what is installed.

# What a build for another processor lacks it does without: its libraries are not installed by these names.
DEPS := build $(if $(CROSS),,$(if $(filter 0,$(URING)),,uring) dw)
# A build does without these, and says what it lacks then.
OPTIONAL := liburing-dev libdw-dev
ifeq ($(CROSS),)
ifneq ($(filter test asan ubsan tsan coverage tests,$(GOALS)),)
DEPS += test
WISHES := examples
endif
endif
ifneq ($(filter lint,$(GOALS)),)
DEPS += test lint
endif
ifneq ($(filter coverage,$(GOALS)),)
DEPS += coverage
endif
ifneq ($(filter clang,$(VARIANT))$(and $(filter fuzz,$(GOALS)),$(wildcard tests/fuzz)),)
DEPS += clang
endif
ifeq ($(VALGRIND),1)
DEPS += valgrind
endif

.PHONY: deps
deps:
	$(Q)CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' sh mk/deps.sh install $(sort $(DEPS) test lint coverage)
	$(Q)CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' sh mk/deps.sh install examples || echo 'Some examples will be left out.'

ifneq ($(filter-out $(PLAIN_GOALS),$(GOALS)),)
MISSING := $(shell CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' sh mk/deps.sh missing $(DEPS))
WISHED := $(if $(WISHES),$(shell CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' sh mk/deps.sh missing $(WISHES)))
endif

# DEPS_DONE ends the attempt after one round: what apt-get could not bring will not come by trying again.
ifneq ($(MISSING)$(WISHED),)
ifneq ($(filter $(READY_GOALS),$(GOALS)),)
ifndef DEPS_DONE
NEEDS_DEPS := 1
.NOTPARALLEL:
.PHONY: $(GOALS)
$(filter-out $(PLAIN_GOALS),$(GOALS)):
	$(Q)CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' sh mk/deps.sh install $(DEPS) || [ -z '$(strip $(filter-out $(OPTIONAL),$(MISSING)))' ]
ifneq ($(WISHED),)
	$(Q)CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' sh mk/deps.sh install $(WISHES) || echo 'Some examples will be left out.'
endif
	$(Q)$(MAKE) DEPS_DONE=1 $@
endif
endif
ifndef NEEDS_DEPS
ifneq ($(filter-out $(OPTIONAL),$(MISSING)),)
$(info These Debian packages are needed and not installed: $(filter-out $(OPTIONAL),$(MISSING)))
$(error `make deps` installs them through apt-get)
endif
ifneq ($(filter libdw-dev,$(MISSING)),)
$(info libdw not found, so call stacks will have few frames (Debian package: libdw-dev))
endif
ifneq ($(filter liburing-dev,$(MISSING)),)
$(info liburing not found, so there will be no io_uring backend (Debian package: liburing-dev))
endif
endif
endif
