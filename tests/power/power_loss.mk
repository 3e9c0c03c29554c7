# Power cuts under the whole engine; it links what the simulator is made of.
include tests/sim/objects.mk

$(BUILD)/san/power_loss: $(BUILD)/san/tests/power/power_loss.o $(call sim_objs,san) \
		$(call sim_archives,san)
	@echo "LINK    $@"
	@$(CC) $(MOLD) $(LDFLAGS_san) $(SIM_LDFLAGS) -o $@ $(filter %.o,$^) $(call sim_libs,san) $(LIBS)

.PHONY: power power-nightly
power: $(BUILD)/san/power_loss
	@echo "POWER   8 seeds"
	@$<

power-nightly: $(BUILD)/san/power_loss
	@POWER_SEEDS=300 $<

tests-system: power
nightly: power-nightly
