# The simulator: SIM_SEED=n $(BUILD)/release/sim repeats one seed; with sanitizers: $(BUILD)/san/sim.
include tests/sim/objects.mk

define sim_program
$(BUILD)/$(1)/sim: $(BUILD)/$(1)/tests/sim/main.o $(call sim_objs,$(1)) $(call sim_archives,$(1))
	@echo "LINK    $$@"
	@$$(CC) $$(MOLD) $$(LDFLAGS_$(1)) $$(SIM_LDFLAGS) -o $$@ $$(filter %.o,$$^) $(call sim_libs,$(1)) $$(LIBS)

endef
$(eval $(call sim_program,san))
$(eval $(call sim_program,release))

# Many short seeds explore more than few long ones; the long ones are for the nights.
.PHONY: sim sim-nightly nightly
sim: $(BUILD)/release/sim $(BUILD)/san/sim
	@echo "SIM     1,000 seeds of 300 steps"
	@SIM_SEEDS=1000 $(BUILD)/release/sim
	@echo "SIM     40 seeds of 300 steps, sanitized"
	@SIM_SEEDS=40 $(BUILD)/san/sim

sim-nightly: $(BUILD)/release/sim $(BUILD)/san/sim
	@SIM_SEEDS=20000 SIM_FIRST=100000 $(BUILD)/release/sim
	@SIM_SEEDS=500 SIM_FIRST=200000 SIM_STEPS=10000 $(BUILD)/release/sim
	@SIM_SEEDS=400 SIM_FIRST=300000 SIM_STEPS=1000 $(BUILD)/san/sim

tests-system: sim
nightly: sim-nightly
