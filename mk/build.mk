# SPDX-License-Identifier: MIT
# The libraries and the command.

LIB_SRC := $(sort $(wildcard runtime/*/*.c)) $(sort $(wildcard runtime/context/*$(ARCH).S))
CLI_SRC := $(sort $(wildcard cli/*.c cli/*/*.c))
object = $(patsubst %,$(O)/obj/%.o,$(basename $(1)))
LIB_OBJ := $(call object,$(LIB_SRC))
CLI_OBJ := $(call object,$(CLI_SRC))

ASYNCCTL := $(O)/asyncctl
STATIC_LIB := $(O)/libasync.a
SHARED_LIB := $(O)/libasync.so
# The same objects with the internals visible: tests of internals link it.
INTERNAL_LIB := $(O)/libasync-internal.a

.PHONY: all run
all: $(ASYNCCTL) $(STATIC_LIB) $(SHARED_LIB)

run: $(ASYNCCTL)
	$(Q)$(ASYNCCTL) run primes --mode=coop --yield=1000000

# The command sees what any user sees: the public headers.
$(O)/obj/runtime/%.o: INCLUDES := -Iinclude -Iruntime
$(O)/obj/cli/%.o: INCLUDES := -Iinclude -Icli
$(O)/obj/tests/%.o: INCLUDES := -Iinclude -Iruntime -Itests
$(O)/obj/tests/bench/%.o $(O)/obj/tests/plugin/%.o $(O)/obj/examples/%.o: INCLUDES := -Iinclude
# Every call is to be found on the stack.
$(O)/obj/tests/inspect/%.o: INCLUDES := -Iinclude -fno-optimize-sibling-calls

$(O)/obj/%.o: %.c $(O)/flags
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(INCLUDES) -MMD -MP -c $< -o $@

$(O)/obj/%.o: %.S $(O)/flags
	$(say) AS $<
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(INCLUDES) -MMD -MP -c $< -o $@

$(O)/flags: ;

# A list of the sources, so that removing one rebuilds the archives.
SOURCES := $(LIB_SRC) $(CLI_SRC)
ifneq ($(file <$(O)/sources),$(SOURCES))
$(file >$(O)/sources,$(SOURCES))
endif
$(O)/sources: ;

# One object in which everything hidden is local: nobody's program can collide with an internal name.
$(STATIC_LIB): $(LIB_OBJ) $(O)/sources
	$(say) AR $@
	$(Q)$(LD_R) $(LIB_OBJ) -o $(O)/obj/libasync.o
	$(Q)$(OBJCOPY) --localize-hidden $(O)/obj/libasync.o
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $(O)/obj/libasync.o

$(INTERNAL_LIB): $(LIB_OBJ) $(O)/sources
	$(say) AR $@
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $(LIB_OBJ)

# Sanitizers leave symbols open that the program brings.
ifeq ($(filter asan ubsan tsan,$(VARIANT)),)
NO_UNDEFINED := -Wl,-z,defs
endif
$(SHARED_LIB): $(LIB_OBJ) $(O)/sources runtime/libasync.map
	$(say) LD $@
	$(Q)$(LINK) -shared $(NO_UNDEFINED) -Wl,-z,nodelete -Wl,-soname,libasync.so.$(SOVERSION) \
		-Wl,--version-script=runtime/libasync.map $(LIB_OBJ) $(URING_LIBS) -o $@
	$(Q)ln -sf libasync.so $@.$(SOVERSION)

$(ASYNCCTL): $(CLI_OBJ) $(STATIC_LIB) $(O)/sources
	$(say) LD $@
	$(Q)$(LINK) $(CLI_OBJ) $(STATIC_LIB) $(LIBS) -o $@

-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
