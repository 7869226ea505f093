# SPDX-License-Identifier: MIT
# Where everything goes; DESTDIR stands before it for packagers.

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
INSTALL ?= install

BASH_DIR = $(DATADIR)/bash-completion/completions
ZSH_DIR = $(DATADIR)/zsh/site-functions
FISH_DIR = $(DATADIR)/fish/vendor_completions.d
# gdb loads a script by the name of the object; programs that have the library inside are asked to by their users.
GDB_SHARED = $(DATADIR)/gdb/auto-load$(LIBDIR)/libasync.so.$(VERSION)-gdb.py
GDB_STATIC = $(DATADIR)/libasync/async-gdb.py

HEADERS := $(sort $(wildcard include/async/*.h include/async/*.hpp))
MAN_PAGES := $(sort $(wildcard man/*.[1-9]))
section = $(subst .,,$(suffix $(1)))
# Quoted: a DESTDIR may have spaces.
to = $(foreach path,$(1),'$(DESTDIR)$(path)')

.PHONY: install uninstall
# async.pc is made here and not with the build: PREFIX may differ between the two.
install: all
	$(Q)$(INSTALL) -d $(call to,$(BINDIR) $(LIBDIR)/pkgconfig $(INCLUDEDIR)/async $(BASH_DIR) $(ZSH_DIR) $(FISH_DIR))
	$(Q)$(INSTALL) -m 755 $(ASYNCCTL) $(call to,$(BINDIR)/asyncctl)
	$(Q)$(INSTALL) -m 644 include/async.h $(call to,$(INCLUDEDIR))
	$(Q)$(INSTALL) -m 644 $(HEADERS) $(call to,$(INCLUDEDIR)/async)
	$(Q)$(INSTALL) -m 644 $(STATIC_LIB) $(call to,$(LIBDIR))
	$(Q)$(INSTALL) -m 755 $(SHARED_LIB) $(call to,$(LIBDIR)/libasync.so.$(VERSION))
	$(Q)ln -sf libasync.so.$(VERSION) $(call to,$(LIBDIR)/libasync.so.$(SOVERSION))
	$(Q)ln -sf libasync.so.$(SOVERSION) $(call to,$(LIBDIR)/libasync.so)
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS_PRIVATE@|$(URING_LIBS)|' runtime/async.pc.in \
		> $(call to,$(LIBDIR)/pkgconfig/async.pc)
	$(Q)$(INSTALL) -m 644 completions/asyncctl.bash $(call to,$(BASH_DIR)/asyncctl)
	$(Q)$(INSTALL) -m 644 completions/asyncctl.zsh $(call to,$(ZSH_DIR)/_asyncctl)
	$(Q)$(INSTALL) -m 644 completions/asyncctl.fish $(call to,$(FISH_DIR))
	$(Q)$(INSTALL) -D -m 644 share/gdb/async-gdb.py $(call to,$(GDB_STATIC))
	$(Q)$(INSTALL) -D -m 644 share/gdb/async-gdb.py $(call to,$(GDB_SHARED))
	$(Q)$(foreach page,$(MAN_PAGES),$(INSTALL) -D -m 644 $(page) \
		$(call to,$(DATADIR)/man/man$(call section,$(page))/$(notdir $(page))) &&) true
	$(Q)sh mk/man-links.sh link $(call to,$(DATADIR)/man) $(MAN_PAGES)
ifeq ($(DESTDIR)$(CROSS),)
	$(Q)sh mk/loader.sh '$(LIBDIR)' libasync.so.$(SOVERSION)
endif

uninstall:
	$(Q)rm -f $(call to,$(BINDIR)/asyncctl $(INCLUDEDIR)/async.h $(HEADERS:include/%=$(INCLUDEDIR)/%) \
		$(LIBDIR)/libasync.a $(LIBDIR)/pkgconfig/async.pc $(BASH_DIR)/asyncctl $(ZSH_DIR)/_asyncctl \
		$(FISH_DIR)/asyncctl.fish $(GDB_STATIC)) \
		$(call to,$(LIBDIR)/libasync.so)* $(call to,$(DATADIR)/gdb/auto-load$(LIBDIR)/libasync.so).*-gdb.py
	$(Q)sh mk/man-links.sh unlink $(call to,$(DATADIR)/man) $(MAN_PAGES)
	$(Q)rm -f $(foreach page,$(MAN_PAGES),$(call to,$(DATADIR)/man/man$(call section,$(page))/$(notdir $(page))))
	$(Q)for dir in $(call to,$(INCLUDEDIR)/async $(DATADIR)/libasync); do \
		if [ -d "$$dir" ]; then rmdir --ignore-fail-on-non-empty "$$dir"; fi; done
ifeq ($(DESTDIR),)
	$(Q)sh mk/loader.sh
endif
