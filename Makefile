# SPDX-License-Identifier: Apache-2.0
# `make help` lists the verbs. One build tree a variant: build/release, build/test (with failpoints), build/san, build/tsan, build/fuzz.

B        ?= build
VARIANT  ?= $(if $(filter thread,$(SAN)),tsan,$(if $(SAN),san,release))
CHECKED  := $(if $(SAN),$(VARIANT),test)
O        := $(B)/$(VARIANT)
G        := $(B)/gen
PREFIX   ?= /usr/local
VERSION  := 0.1.0
Q        := $(if $(V),,@)
MAKEFLAGS += $(if $(filter 0,$(MAKELEVEL)),--no-print-directory -j$(shell nproc))

CFLAGS   := -std=c11 -O2 -g -D_GNU_SOURCE -I. -I$(G) -DVERSION='"$(VERSION)"' \
            -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
            -Wundef -Werror -fstack-protector-strong -fPIE -ffp-contract=off -fno-common -pthread
LDFLAGS  := -pie -Wl,-z,relro,-z,now -Wl,--as-needed -pthread
SANITIZE := -fsanitize=$(or $(SAN),address,undefined)
FLAGS_release := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
FLAGS_test    := -DFAULTS
FLAGS_san     := -DFAULTS $(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_fuzz     = $(FLAGS_san) -fsanitize=fuzzer-no-link -w
CFLAGS   += $(FLAGS_$(VARIANT:tsan=san))
LDFLAGS  += $(if $(filter san tsan fuzz,$(VARIANT)),$(SANITIZE)) $(if $(filter fuzz,$(VARIANT)),-fsanitize=fuzzer)
CC       := $(if $(filter fuzz,$(VARIANT)),clang,$(CC))

PKGS     := libzmq libprotobuf-c openblas libsodium libcrypto libcurl libmicrohttpd jansson
PKG_CF    = $(shell pkg-config --cflags $(PKGS) 2>/dev/null | sed 's/-I/-isystem /g')
LIBS      = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm

# The layers, lowest last: an archive may use only what stands behind it. NEEDS_x: the archives x is linked with.
NEEDS_base        := base
NEEDS_model       := model base
NEEDS_aggregate   := aggregate model base
NEEDS_content     := content base
NEEDS_transport   := transport $(NEEDS_content)
NEEDS_study       := study aggregate model $(NEEDS_transport)
$(foreach p,coordinator worker,$(eval NEEDS_$(p) := $(p) $(NEEDS_study)))
NEEDS_cli         := cli coordinator worker $(NEEDS_study)
FOLDERS  := base model aggregate content transport study coordinator worker cli
PROGRAMS := colmeia-coordinator colmeia-worker colmeia
main_of   = $(or $(patsubst colmeia-%,%,$(filter-out colmeia,$(1))),cli)

objects   = $(patsubst %.c,$(O)/%.o,$(filter-out %/main.c,$(wildcard $(1)/*.c)))
archives  = $(patsubst %,$(O)/lib%.a,$(1))
GEN_OBJ  := $(O)/transport/msg.pb-c.o
THREADED := base/jobs base/lo% transport/bus% transport/fetch% transport/gateway% transport/http% content/pack% content/store% content/import content/extract \
            transport/up% transport/zap study/check study/combine study/seal study/verify coordinator/% worker/% cli/simulate%
FUZZERS  := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
NAMES    := $(patsubst tests/%.c,%,$(wildcard $(FOLDERS:%=tests/%/*_test.c) tests/fuzz/*_fuzz.c))
NAMES    := $(if $(filter tsan,$(VARIANT)),$(filter-out coordinator/round%,$(filter $(THREADED:%=%_test),$(NAMES))),$(NAMES))
LIAR     := $(O)/tests/e2e/liar
BENCHES  := $(patsubst benchmarks/%.c,$(O)/benchmarks/%,$(wildcard benchmarks/*_bench.c))

.PHONY: help all deps test-deps fuzz-deps bench-deps programs tests benches demo test check e2e fuzz lint fmt fmt-check bench conformance interop install man clean
.SECONDARY:
help:
	@sed -n 's/^## //p' Makefile

## all          the three programs, into build/release
all: deps
	$(Q)$(MAKE) programs
programs: $(PROGRAMS:%=$(O)/%) $(if $(filter test,$(VARIANT)),$(LIAR))
tests: $(NAMES:%=$(O)/tests/%)
benches: $(BENCHES)
programs tests benches: ; @:
## deps         install what `packages` lists and is missing (apt as root or by sudo; pip into build/venv)
deps test-deps fuzz-deps bench-deps:
	@scripts/deps packages $(B) $(@:%deps=%)
## demo         five simulated hospitals, one model, verified; under a minute
demo: all
	@examples/breast-cancer/demo $(B)/release $(B)/demo
## test         format, layers, unit tests, the same under sanitizers (addresses, threads), real processes
test: test-deps
	@scripts/test $(B)
## check        unit tests alone (SAN=address,undefined for the sanitized build, SAN=thread for those that use threads)
check: deps
	$(Q)$(MAKE) VARIANT=$(CHECKED) tests
	@scripts/run-tests $(B)/$(CHECKED) $(NAMES)
## e2e          real processes, failpoints, the README's commands
e2e: test-deps
	$(Q)$(MAKE) VARIANT=test programs
	@scripts/run-e2e $(B)/test $(B)
## conformance  VECTORS=PATH: checks against other implementations' vectors
conformance: deps
	$(Q)$(MAKE) VARIANT=test programs $(B)/test/tests/model/safetensors_test
	@scripts/conformance $(B)/test $(B) "$(VECTORS)"
## fuzz         every parser of outside bytes under libFuzzer for TIME=60 seconds each; `check` replays the corpora
fuzz: fuzz-deps
	$(Q)$(MAKE) VARIANT=fuzz $(FUZZERS:%=$(B)/fuzz/tests/fuzz/%_fuzz)
	@scripts/run-fuzz $(B)/fuzz $(or $(TIME),60) $(FUZZERS)
## interop      both directions with a real Kubo (KUBO=PATH, else built with the Go at hand)
interop: deps
	$(Q)$(MAKE) programs
	@scripts/interop $(B)/release $(B) "$(KUBO)"
## bench        every benchmark: a table and a JSON line each (BENCH=name for one; data: MNIST=DIR HEART=DIR)
bench: bench-deps
	$(Q)$(MAKE) programs benches
	@MNIST="$(MNIST)" KUBO="$(KUBO)" scripts/bench $(B)/release $(B) $(BENCH)
## lint         layers, doors, names, lengths
lint: deps
	@scripts/lint $(B)
## fmt          format every source file (fmt-check: say what fmt would change)
fmt fmt-check: deps
	@$(B)/venv/bin/clang-format $(if $(filter fmt,$@),-i,--dry-run -Werror) $$(find $(FOLDERS) tests benchmarks -name '*.[ch]')
## install      programs and man pages under PREFIX (default /usr/local)
install: all man
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(PROGRAMS:%=$(B)/release/%) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(B)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
man: $(patsubst docs/man/%.scd,$(B)/man/%,$(wildcard docs/man/*.scd))
$(B)/man/%: docs/man/%.scd | deps
	@mkdir -p $(@D) && scdoc < $< > $@
## clean        remove build/
clean:
	rm -rf $(B)

$(G)/transport/msg.pb-c.c $(G)/transport/msg.pb-c.h &: transport/msg.proto
	$(Q)mkdir -p $(G) && protoc --c_out=$(G) transport/msg.proto
$(GEN_OBJ): $(G)/transport/msg.pb-c.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -w $(PKG_CF) -MMD -MP -c $< -o $@
$(O)/transport/msg.o: $(G)/transport/msg.pb-c.h
$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(PKG_CF) -MMD -MP -c $< -o $@

define FOLDER_RULES
$(O)/lib$(1).a: $$(call objects,$(1)) $(if $(filter transport,$(1)),$(GEN_OBJ))
	$$(Q)rm -f $$@; $(AR) rcs $$@ $$^
$(O)/tests/$(1)/%_test: tests/$(1)/%_test.c $$(call archives,$$(NEEDS_$(1)))
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) $$(PKG_CF) -MMD -MP $$< -o $$@ $$(LDFLAGS) $$(filter %.a,$$^) -lcmocka $$(LIBS)
endef
$(foreach f,$(FOLDERS),$(eval $(call FOLDER_RULES,$(f))))
$(O)/tests/fuzz/%_fuzz: tests/fuzz/%_fuzz.c $(if $(filter fuzz,$(VARIANT)),,tests/fuzz/replay.c) $(call archives,$(NEEDS_transport))
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(PKG_CF) $^ -o $@ $(LDFLAGS) $(LIBS)
define PROGRAM_RULE
$(O)/$(1): $(O)/$(call main_of,$(1))/main.o $$(call archives,$$(NEEDS_$(call main_of,$(1))))
	$$(Q)$$(CC) $$^ -o $$@ $$(LDFLAGS) $$(LIBS)
endef
$(foreach p,$(PROGRAMS),$(eval $(call PROGRAM_RULE,$(p))))
$(BENCHES): $(call archives,$(NEEDS_study))
$(LIAR): $(call archives,$(NEEDS_worker))
$(BENCHES) $(LIAR): $(O)/%: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(PKG_CF) -MMD -MP $< -o $@ $(LDFLAGS) $(filter %.a,$^) $(LIBS)

-include $(shell find $(O) -name '*.d' 2>/dev/null)
