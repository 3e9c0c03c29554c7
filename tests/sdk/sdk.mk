# The C library against the real server. A worker a suite.
SDK_WORKERS := flow branch
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
	@IRONFLOW_BIN=$(BUILD)/ironflow-san IRONFLOW_FLOW_WORKER=$(BUILD)/san/sdk/flow_worker \
		IRONFLOW_BRANCH_WORKER=$(BUILD)/san/sdk/branch_worker \
		$(NODE) --test tests/sdk/*.test.mjs

tests-system: sdk-flow
