# The C library against the real server, a worker a suite; those that do not care how they are
# connected run both ways.
SDK_WORKERS := flow branch stream
SDK_OBJS := $(patsubst %.c,$(BUILD)/san/%.o,$(filter-out %_test.c,$(wildcard sdk/c/*.c)))

$(BUILD)/san/tests/sdk/%_worker.o: tests/sdk/%_worker.c
	@mkdir -p $(@D)
	@echo "CC      $<"
	@$(CCACHE) $(CC) $(SDK_CPPFLAGS) $(WARN) $(CFLAGS_san) -MMD -MP -c $< -o $@

$(BUILD)/san/sdk/%_worker: $(BUILD)/san/tests/sdk/%_worker.o $(SDK_OBJS)
	@mkdir -p $(@D)
	@echo "LINK    $@"
	@$(CC) $(MOLD) $(LDFLAGS_san) -o $@ $^ $(SDK_LIBS)

.PHONY: sdk-flow
sdk-flow: $(BUILD)/ironflow-san $(patsubst %,$(BUILD)/san/sdk/%_worker,$(SDK_WORKERS))
	@set -e; export IRONFLOW_BIN=$(BUILD)/ironflow-san SDK_WORKERS=$(BUILD)/san/sdk; \
	echo "SDK     polling"; $(NODE) --test tests/sdk/flow.test.mjs tests/sdk/branch.test.mjs; \
	echo "SDK     streaming"; SDK_STREAM=1 $(NODE) --test tests/sdk/*.test.mjs

tests-system: sdk-flow
