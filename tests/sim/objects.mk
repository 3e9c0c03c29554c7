# What the simulator is made of, without its main; tests/power links it, too.
SIM_LAYERS := jobs svc store engine txn db rt codec base
SIM_SRCS := $(filter-out tests/sim/main.c,$(wildcard tests/sim/*.c)) tests/power/vfs_torn.c
SIM_OBJS := $(patsubst %.c,$(BUILD)/san/%.o,$(SIM_SRCS))
SIM_ARCHIVES := $(call need_libs,san,$(SIM_LAYERS))
SIM_LIBS := $(call link_libs,san,$(SIM_LAYERS))
