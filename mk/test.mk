# SPDX-License-Identifier: MIT
# Tests, checks and measurements. tests/README.md says how the tests are organised.

PROGRAM_SRC := $(filter-out tests/test_headers.c,$(sort $(wildcard tests/test_*.c tests/model_*.c)))
PROBE_SRC := tests/probe_io_uring.c
# Every other C file of tests/ is a helper that all test programs may use.
HELPER_SRC := $(filter-out $(PROGRAM_SRC) $(PROBE_SRC) tests/test_headers.c,$(sort $(wildcard tests/*.c)))
EXAMPLE_SRC := $(sort $(wildcard examples/*.c))
BENCH_SRC := $(sort $(wildcard tests/bench/*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))

PROGRAMS := $(patsubst %.c,$(O)/%,$(PROGRAM_SRC) $(PROBE_SRC))
EXAMPLES := $(patsubst %.c,$(O)/%,$(EXAMPLE_SRC))
BENCHES := $(patsubst %.c,$(O)/%,$(BENCH_SRC))
FUZZERS := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(FUZZ_SRC))
HELPERS := $(call object,$(HELPER_SRC))
CMOCKA_LIBS = $(shell $(PKG_CONFIG) --libs cmocka)

.PHONY: tests test asan ubsan tsan coverage lint bench fuzz
tests: $(PROGRAMS) $(EXAMPLES)

test: all tests
	$(Q)O=$(O) VARIANT='$(VARIANT)' VALGRIND='$(VALGRIND)' HAVE_LIBURING='$(if $(URING_LIBS),1)' \
		CC='$(CC)' CXX='$(CXX)' bash tests/run.sh $(TESTS)

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

bench: $(ASYNCCTL) $(BENCHES)
	$(Q)$(ASYNCCTL) bench

$(O)/tests/bench/%: $(O)/obj/tests/bench/%.o $(STATIC_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(LINK) $< $(STATIC_LIB) $(LIBS) -o $@

$(O)/tests/%: $(O)/obj/tests/%.o $(HELPERS) $(INTERNAL_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(LINK) $< $(HELPERS) $(INTERNAL_LIB) $(CMOCKA_LIBS) $(LIBS) -o $@

# An example is what a user writes: public headers and the library as it is installed.
$(O)/examples/%: $(O)/obj/examples/%.o $(STATIC_LIB)
	$(say) LD $@
	@mkdir -p $(@D)
	$(Q)$(LINK) $< $(STATIC_LIB) $(LIBS) -o $@

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

.SECONDARY: $(HELPERS) $(call object,$(PROGRAM_SRC) $(PROBE_SRC) $(EXAMPLE_SRC) $(BENCH_SRC))
-include $(patsubst %.o,%.d,$(HELPERS) $(call object,$(PROGRAM_SRC) $(EXAMPLE_SRC) $(BENCH_SRC)))
