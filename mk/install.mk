# SPDX-License-Identifier: MIT
# Where everything goes; DESTDIR stands before it for packagers.

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
INSTALL ?= install

# gdb loads a script by the name of the object; programs that have the library inside are asked to by their users.
GDB_SHARED = $(DATADIR)/gdb/auto-load$(LIBDIR)/libasync.so.$(VERSION)-gdb.py
GDB_STATIC = $(DATADIR)/libasync/async-gdb.py

MAN_PAGES := $(sort $(wildcard man/*.[1-9]))
section = $(subst .,,$(suffix $(1)))

.PHONY: install uninstall
# async.pc is made here and not with the build: PREFIX may differ between the two.
install: all
	$(Q)$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/async \
		$(DESTDIR)$(DATADIR)/bash-completion/completions $(DESTDIR)$(DATADIR)/zsh/site-functions \
		$(DESTDIR)$(DATADIR)/fish/vendor_completions.d
	$(Q)$(INSTALL) -m 755 $(ASYNCCTL) $(DESTDIR)$(BINDIR)/asyncctl
	$(Q)$(INSTALL) -m 644 include/async.h $(DESTDIR)$(INCLUDEDIR)/
	$(Q)$(INSTALL) -m 644 $(wildcard include/async/*.h) $(DESTDIR)$(INCLUDEDIR)/async/
	$(Q)$(INSTALL) -m 644 $(STATIC_LIB) $(DESTDIR)$(LIBDIR)/
	$(Q)$(INSTALL) -m 755 $(SHARED_LIB) $(DESTDIR)$(LIBDIR)/libasync.so.$(VERSION)
	$(Q)ln -sf libasync.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libasync.so.$(SOVERSION)
	$(Q)ln -sf libasync.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libasync.so
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS_PRIVATE@|$(URING_LIBS)|' runtime/async.pc.in \
		> $(DESTDIR)$(LIBDIR)/pkgconfig/async.pc
	$(Q)$(INSTALL) -m 644 completions/asyncctl.bash $(DESTDIR)$(DATADIR)/bash-completion/completions/asyncctl
	$(Q)$(INSTALL) -m 644 completions/asyncctl.zsh $(DESTDIR)$(DATADIR)/zsh/site-functions/_asyncctl
	$(Q)$(INSTALL) -m 644 completions/asyncctl.fish $(DESTDIR)$(DATADIR)/fish/vendor_completions.d/
	$(Q)$(INSTALL) -D -m 644 share/gdb/async-gdb.py $(DESTDIR)$(GDB_STATIC)
	$(Q)$(INSTALL) -D -m 644 share/gdb/async-gdb.py $(DESTDIR)$(GDB_SHARED)
	$(Q)$(foreach page,$(MAN_PAGES),$(INSTALL) -D -m 644 $(page) \
		$(DESTDIR)$(DATADIR)/man/man$(call section,$(page))/$(notdir $(page)) &&) true
	$(Q)sh mk/man-links.sh link $(DESTDIR)$(DATADIR)/man $(MAN_PAGES)

uninstall:
	$(Q)rm -f $(DESTDIR)$(BINDIR)/asyncctl $(DESTDIR)$(INCLUDEDIR)/async.h \
		$(addprefix $(DESTDIR)$(INCLUDEDIR)/,$(patsubst include/%,%,$(wildcard include/async/*.h))) \
		$(DESTDIR)$(LIBDIR)/libasync.a $(DESTDIR)$(LIBDIR)/libasync.so* $(DESTDIR)$(LIBDIR)/pkgconfig/async.pc \
		$(DESTDIR)$(DATADIR)/bash-completion/completions/asyncctl \
		$(DESTDIR)$(DATADIR)/zsh/site-functions/_asyncctl \
		$(DESTDIR)$(DATADIR)/fish/vendor_completions.d/asyncctl.fish \
		$(DESTDIR)$(GDB_STATIC) $(DESTDIR)$(DATADIR)/gdb/auto-load$(LIBDIR)/libasync.so.*-gdb.py
	$(Q)sh mk/man-links.sh unlink $(DESTDIR)$(DATADIR)/man $(MAN_PAGES)
	$(Q)rm -f $(foreach page,$(MAN_PAGES),$(DESTDIR)$(DATADIR)/man/man$(call section,$(page))/$(notdir $(page)))
	$(Q)if [ -d $(DESTDIR)$(INCLUDEDIR)/async ]; then \
		rmdir --ignore-fail-on-non-empty $(DESTDIR)$(INCLUDEDIR)/async; fi
