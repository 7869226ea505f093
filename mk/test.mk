# SPDX-License-Identifier: MIT
# Tests, checks and measurements. tests/README.md says how the tests are organised.

PROGRAM_SRC := $(filter-out tests/test_headers.c,$(sort $(wildcard tests/test_*.c tests/model_*.c)))
PROBE_SRC := tests/probe_io_uring.c
# Every other C file of tests/ is a helper that all test programs may use.
HELPER_SRC := $(filter-out $(PROGRAM_SRC) $(PROBE_SRC) tests/test_headers.c,$(sort $(wildcard tests/*.c)))

# Examples that use other libraries. One whose library is not installed is not built, and its test is skipped.
has_header = $(shell $(CC) -include $(1) -fsyntax-only -x c /dev/null 2>/dev/null && echo yes)
has_library = $(shell $(CC) -shared -x c /dev/null $(1) -o /dev/null 2>/dev/null && echo $(1))
LIBS_curl_multi := $(shell $(PKG_CONFIG) --libs libcurl 2>/dev/null)
LIBS_pq := $(shell $(PKG_CONFIG) --libs libpq 2>/dev/null)
LIBS_httpd := $(if $(call has_header,http_parser.h),$(call has_library,-lhttp_parser))
LACKING := $(foreach name,curl_multi pq httpd,$(if $(LIBS_$(name)),,$(name))) $(if $(call has_header,uthash.h),,resp)
EXAMPLE_SRC := $(filter-out $(LACKING:%=examples/%.c),$(sort $(wildcard examples/*.c)))

BENCH_SRC := $(sort $(wildcard tests/bench/*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))

# Users' programs in C++: public headers, and the library as they get it.
CXX_SRC := $(sort $(wildcard tests/test_*.cc))
CXX_OBJ := $(CXX_SRC:%.cc=$(O)/obj/%.o)
CXX_PROGRAMS := $(CXX_SRC:%.cc=$(O)/%)

ifneq ($(CROSS),)
# Without a cmocka of the target's there are the programs that need none.
ifeq ($(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null),)
$(if $(filter test tests,$(GOALS)),$(info no cmocka found for $(MULTIARCH), so there will be no tests that use it))
PROGRAM_SRC := $(wildcard tests/model_*.c)
CXX_PROGRAMS :=
endif
endif
PROGRAMS := $(patsubst %.c,$(O)/%,$(PROGRAM_SRC) $(PROBE_SRC))
# What asyncctl looks into, linked in each way that there is.
INSPECT_SRC := tests/inspect/target.c
TARGETS := $(addprefix $(O)/tests/inspect/target,-static -dynamic -no-pie)
# A shared object with the library in it.
PLUGIN_SRC := tests/plugin/plugin.c
PLUGIN := $(O)/tests/plugin/plugin.so
EXAMPLES := $(patsubst %.c,$(O)/%,$(EXAMPLE_SRC))
BENCHES := $(patsubst %.c,$(O)/%,$(BENCH_SRC))
FUZZERS := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(FUZZ_SRC))
HELPERS := $(call object,$(HELPER_SRC))
CMOCKA_LIBS = $(shell $(PKG_CONFIG) --libs cmocka)

.PHONY: tests examples test asan ubsan tsan coverage lint portability bench fuzz
tests: $(PROGRAMS) $(CXX_PROGRAMS) $(EXAMPLES) $(TARGETS) $(PLUGIN)

# Where they are, since that is what one wants next; and what is not there.
examples: $(EXAMPLES)
	@printf '  %s\n' $^
	@$(foreach name,$(LACKING),echo '  not $(O)/examples/$(name): a library that it uses is not installed';)

test: all tests
	$(Q)O=$(O) VARIANT='$(VARIANT)' VALGRIND='$(VALGRIND)' HAVE_LIBURING='$(if $(URING_LIBS),1)' \
		CC='$(CC)' CXX='$(CXX)' ARCH='$(ARCH)' EMULATOR='$(EMULATOR)' bash tests/run.sh $(TESTS)

asan ubsan tsan:
	$(Q)$(MAKE) VARIANT=$@ test

coverage:
	$(Q)find build/gcov -name '*.gcda' -delete 2>/dev/null || true
	$(Q)$(MAKE) VARIANT=gcov test
	$(say) LCOV build/coverage/index.html
	@mkdir -p build/coverage
	$(Q)lcov -q --capture --base-directory . --directory build/gcov/obj/runtime --directory build/gcov/obj/cli \
		--no-external --rc lcov_branch_coverage=1 -o build/coverage/all.info 2>build/coverage/lcov.log
	$(Q)genhtml -q --branch-coverage -o build/coverage build/coverage/all.info 2>>build/coverage/lcov.log
	$(Q)lcov --rc lcov_branch_coverage=1 --summary build/coverage/all.info 2>&1 | grep -E '^ +(lines|functions|branches)'

lint: $(LIB_OBJ) $(STATIC_LIB) $(SHARED_LIB)
	$(Q)O=$(O) bash tests/lint.sh

portability: $(STATIC_LIB)
	$(Q)MAKE='$(MAKE)' WERROR='$(WERROR)' bash tests/portability.sh $(TESTS)

# Comparisons with peers, which need not be there.
bench: $(ASYNCCTL) $(BENCHES)
	$(Q)$(ASYNCCTL) bench
	$(Q)CC='$(CC)' CXX='$(CXX)' bash tests/bench/build_peers.sh $(O)/tests/bench
	$(Q)$(O)/tests/bench/compare $(BENCH_ROUNDS)

# One looks at an internal part; one has the load of the command's own benchmarks.
$(O)/obj/tests/bench/bench_worker.o: INCLUDES := -Iruntime
$(O)/obj/tests/bench/compare.o: INCLUDES := -Icli
$(O)/tests/bench/compare: $(O)/obj/cli/bench/load.o
$(O)/tests/bench/compare $(O)/tests/bench/bench_worker: BENCH_PARTS = $(filter %/load.o,$^) $(INTERNAL_LIB)
BENCH_PARTS = $(STATIC_LIB)
$(O)/tests/bench/%: $(O)/obj/tests/bench/%.o $(STATIC_LIB) $(INTERNAL_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(LINK) $< $(BENCH_PARTS) $(LIBS) -o $@

# Models know nothing of cmocka.
$(O)/tests/model_%: $(O)/obj/tests/model_%.o $(INTERNAL_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(LINK) $< $(INTERNAL_LIB) $(LIBS) -o $@

$(O)/tests/%: $(O)/obj/tests/%.o $(HELPERS) $(INTERNAL_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(LINK) $< $(HELPERS) $(INTERNAL_LIB) $(CMOCKA_LIBS) $(LIBS) -o $@

$(CXX_OBJ): $(O)/obj/%.o: %.cc $(O)/flags
	$(say) CXX $<
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=c++11 -pthread -pedantic $(filter-out -Wstrict-prototypes -Wmissing-prototypes,$(WARNINGS)) \
		$(CFLAGS) $(VARIANT_$(VARIANT)) $(CPPFLAGS) -Iinclude -MMD -MP -c $< -o $@

$(CXX_PROGRAMS): $(O)/%: $(O)/obj/%.o $(STATIC_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CFLAGS) $(VARIANT_$(VARIANT)) -pthread $(LDFLAGS) $< $(STATIC_LIB) $(LIBS) -o $@

$(O)/tests/inspect/target-static: $(O)/obj/tests/inspect/target.o $(STATIC_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(LINK) -Wl,--gc-sections $< $(STATIC_LIB) $(LIBS) -o $@

$(O)/tests/inspect/target-no-pie: $(O)/obj/tests/inspect/target.o $(STATIC_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(LINK) -no-pie $< $(STATIC_LIB) $(LIBS) -o $@

$(O)/tests/inspect/target-dynamic: $(O)/obj/tests/inspect/target.o $(SHARED_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(LINK) $< -L$(O) -lasync -o $@

$(PLUGIN): $(O)/obj/tests/plugin/plugin.o $(STATIC_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(LINK) -shared $(NO_UNDEFINED) $< $(STATIC_LIB) $(LIBS) -o $@

# An example is what a user writes: public headers and the library as it is installed.
$(O)/obj/examples/curl_multi.o: CPPFLAGS += $(shell $(PKG_CONFIG) --cflags libcurl)
$(O)/obj/examples/pq.o: CPPFLAGS += $(shell $(PKG_CONFIG) --cflags libpq)
$(O)/examples/%: $(O)/obj/examples/%.o $(STATIC_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(LINK) $< $(STATIC_LIB) $(LIBS_$*) $(LIBS) -o $@

# A fuzzer brings libFuzzer's entry point, which clang has; the library is compiled with it so that it sees coverage.
FUZZ_TIME ?= 60
fuzz: $(FUZZERS)
ifeq ($(FUZZ_SRC),)
	@echo 'There are no fuzzers: tests/fuzz has no fuzz_*.c'
endif
	$(Q)for f in $^; do echo "$$f"; "$$f" -max_total_time=$(FUZZ_TIME) -print_final_stats=0 || exit 1; done

$(O)/fuzz/%: tests/fuzz/%.c $(LIB_SRC) $(O)/flags
	$(say) FUZZ $@
	@mkdir -p $(@D)
	$(Q)clang $(filter-out -Werror,$(CODE)) -O1 -g -fsanitize=fuzzer,address,undefined -Iinclude -Iruntime -Icli \
		$< $(LIB_SRC) $(LIBS) -o $@

.SECONDARY: $(HELPERS) $(CXX_OBJ) $(call object,$(PROGRAM_SRC) $(PROBE_SRC) $(EXAMPLE_SRC) $(BENCH_SRC) $(INSPECT_SRC) $(PLUGIN_SRC))
-include $(patsubst %.o,%.d,$(HELPERS) $(CXX_OBJ) $(call object,$(PROGRAM_SRC) $(EXAMPLE_SRC) $(BENCH_SRC) $(INSPECT_SRC) $(PLUGIN_SRC)))
