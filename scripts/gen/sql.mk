# The migrations of src/store as a C table.

MIGRATIONS := $(sort $(wildcard src/store/migrations/*.sql))
GENERATED += $(BUILD)/gen/store/migrations.c
GEN_store += store/migrations.c

$(BUILD)/gen-tools/embed: scripts/gen/embed.c
	@mkdir -p $(@D)
	@echo "GENTOOL $@"
	@$(CC) -std=c17 -D_GNU_SOURCE $(WARN) -Wno-overlength-strings -O1 -g -o $@ $<

$(BUILD)/gen/store/migrations.c: $(BUILD)/gen-tools/embed $(MIGRATIONS)
	@mkdir -p $(@D)
	@echo "GEN     $@"
	@$(BUILD)/gen-tools/embed $@ $(MIGRATIONS)
