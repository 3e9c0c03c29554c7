# The demo must work: it counts the steps that ran and fails when one ran twice.
.PHONY: demo-check
demo-check: $(BUILD)/ironflow $(BUILD)/examples/order
	@echo "DEMO    ./demo"
	@BUILD=$(BUILD) ./demo >$(BUILD)/demo.out 2>&1 || { cat $(BUILD)/demo.out >&2; exit 1; }

tests-system: demo-check
