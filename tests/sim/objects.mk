# What the simulator is made of, without its main, in a flavour; tests/power links it, too.
SIM_LAYERS := api jobs svc store engine txn http db rt codec base
SIM_SRCS := $(filter-out tests/sim/main.c,$(wildcard tests/sim/*.c)) tests/power/vfs_torn.c
sim_objs = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(SIM_SRCS))
sim_archives = $(call need_libs,$(1),$(SIM_LAYERS))
sim_libs = $(call link_libs,$(1),$(SIM_LAYERS))
# The simulator owns time.
SIM_LDFLAGS := -Wl,--wrap=clock_mono_ns
