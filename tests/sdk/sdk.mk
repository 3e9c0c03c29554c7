# The C library against the real server.
FLOW_SRCS := tests/sdk/flow_worker.c $(filter-out %_test.c,$(wildcard sdk/c/*.c))

$(BUILD)/san/tests/sdk/flow_worker.o: tests/sdk/flow_worker.c
	@mkdir -p $(@D)
	@echo "CC      $<"
	@$(CCACHE) $(CC) $(SDK_CPPFLAGS) $(WARN) $(CFLAGS_san) -MMD -MP -c $< -o $@

$(BUILD)/san/sdk/flow_worker: $(patsubst %.c,$(BUILD)/san/%.o,$(FLOW_SRCS))
	@mkdir -p $(@D)
	@echo "LINK    $@"
	@$(CC) $(MOLD) $(LDFLAGS_san) -o $@ $^ $(SDK_LIBS)

.PHONY: sdk-flow
sdk-flow: $(BUILD)/ironflow-san $(BUILD)/san/sdk/flow_worker
	@IRONFLOW_BIN=$(BUILD)/ironflow-san IRONFLOW_FLOW_WORKER=$(BUILD)/san/sdk/flow_worker \
		$(NODE) --test tests/sdk/*.test.mjs

tests-system: sdk-flow
