# The simulator: 20 seeds in `make test`, 1,000 in `make nightly`. SIM_SEED=n $(BUILD)/san/sim repeats one.
SIM_LAYERS := jobs svc store engine txn db rt codec base
SIM_OBJS := $(patsubst %.c,$(BUILD)/san/%.o,$(filter-out tests/sim/main.c,$(wildcard tests/sim/*.c)) \
	tests/power/vfs_torn.c)

$(BUILD)/san/sim: $(BUILD)/san/tests/sim/main.o $(SIM_OBJS) $(call need_libs,san,$(SIM_LAYERS))
	@echo "LINK    $@"
	@$(CC) $(MOLD) $(LDFLAGS_san) -o $@ $(filter %.o,$^) $(call link_libs,san,$(SIM_LAYERS)) $(LIBS)

.PHONY: sim sim-nightly nightly
sim: $(BUILD)/san/sim
	@echo "SIM     20 seeds"
	@SIM_SEEDS=20 $<

sim-nightly: $(BUILD)/san/sim
	@SIM_SEEDS=1000 $<

tests-system: sim
nightly: sim-nightly
