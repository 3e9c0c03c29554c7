# The simulator: 20 seeds in `make test`, 1,000 in `make nightly`; SIM_SEED=n $(BUILD)/san/sim repeats one.
include tests/sim/objects.mk

$(BUILD)/san/sim: $(BUILD)/san/tests/sim/main.o $(SIM_OBJS) $(SIM_ARCHIVES)
	@echo "LINK    $@"
	@$(CC) $(MOLD) $(LDFLAGS_san) -o $@ $(filter %.o,$^) $(SIM_LIBS) $(LIBS)

.PHONY: sim sim-nightly nightly
sim: $(BUILD)/san/sim
	@echo "SIM     20 seeds"
	@SIM_SEEDS=20 $<

sim-nightly: $(BUILD)/san/sim
	@SIM_SEEDS=1000 $<

tests-system: sim
nightly: sim-nightly
