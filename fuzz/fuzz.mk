# make fuzz          every x_fuzz.c for FUZZ_S seconds with libFuzzer (needs clang)
# make fuzz-replay   every corpus through its target, with the ordinary compiler; part of make test

FUZZ_S ?= 60
FUZZ_NAMES := $(patsubst src/%_fuzz.c,%,$(FUZZ))

CFLAGS_fuzz  := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LDFLAGS_fuzz := -fsanitize=fuzzer,address,undefined
$(eval $(call flavour,fuzz))

fuzz_layer  = $(patsubst %/,%,$(dir $(1)))
fuzz_corpus = fuzz/corpus/$(notdir $(1))

define fuzz_rules
$(BUILD)/san/replay/$(1): $(BUILD)/san/src/$(1)_fuzz.o $(BUILD)/san/fuzz/replay.o \
		$(call need_libs,san,$(DEPS_$(call fuzz_layer,$(1))))
	@mkdir -p $$(@D)
	@echo "LINK    $$@"
	@$(CC) $(MOLD) $(LDFLAGS_san) -o $$@ $(BUILD)/san/src/$(1)_fuzz.o $(BUILD)/san/fuzz/replay.o \
		$(call link_libs,san,$(DEPS_$(call fuzz_layer,$(1)))) $(LIBS)

$(BUILD)/fuzz/run/$(1): $(BUILD)/fuzz/src/$(1)_fuzz.o \
		$(call need_libs,fuzz,$(DEPS_$(call fuzz_layer,$(1))))
	@mkdir -p $$(@D)
	@echo "LINK    $$@"
	@$(CC) $(LDFLAGS_fuzz) -o $$@ $$< $(call link_libs,fuzz,$(DEPS_$(call fuzz_layer,$(1)))) $(LIBS)

.PHONY: fuzz-replay-$(1) fuzz-run-$(1)
fuzz-replay-$(1): $(BUILD)/san/replay/$(1)
	@echo "REPLAY  $(1)"
	@$$< $(call fuzz_corpus,$(1))/*

fuzz-run-$(1): $(BUILD)/fuzz/run/$(1)
	@echo "FUZZ    $(1)"
	@mkdir -p $(BUILD)/fuzz/corpus/$(1) $(BUILD)/fuzz/found
	@$$< -max_total_time=$(FUZZ_S) -timeout=10 -max_len=8192 -verbosity=0 -print_final_stats=1 \
		-artifact_prefix=$(BUILD)/fuzz/found/$(notdir $(1))- \
		$(BUILD)/fuzz/corpus/$(1) $(call fuzz_corpus,$(1))
endef
$(foreach n,$(FUZZ_NAMES),$(eval $(call fuzz_rules,$(n))))

.PHONY: fuzz-replay fuzz fuzz-all
fuzz-replay: $(addprefix fuzz-replay-,$(FUZZ_NAMES))

fuzz-all: $(addprefix fuzz-run-,$(FUZZ_NAMES))

# clang builds into a folder of its own, so that the compilers do not mix.
fuzz:
	@command -v clang >/dev/null || { echo "make fuzz needs clang"; exit 1; }
	@$(MAKE) --no-print-directory CC=clang BUILD=$(BUILD)/clang fuzz-all
