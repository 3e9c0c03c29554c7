# Generated code. GENERATED must exist before anything is compiled; GEN_<folder> lists generated
# sources, relative to $(BUILD)/gen, that belong to a folder's library.

PROTOS := $(sort $(wildcard proto/ironflow/v1/*.proto))
GENERATED += $(BUILD)/gen/proto/ironflow.h $(BUILD)/gen/proto/ironflow.c
GEN_codec += proto/ironflow.c

$(BUILD)/gen-tools/proto_gen: scripts/gen/proto_gen.c scripts/gen/proto_gen_out.h \
		src/codec/proto_desc.h src/codec/proto.h
	@mkdir -p $(@D)
	@echo "GENTOOL $@"
	@$(CC) -std=c17 -D_GNU_SOURCE -Isrc $(WARN) $(if $(findstring clang,$(CC)),,-Wno-format-truncation) -O1 -g -o $@ $<

$(BUILD)/gen/proto/ironflow.h $(BUILD)/gen/proto/ironflow.c &: $(BUILD)/gen-tools/proto_gen $(PROTOS)
	@mkdir -p $(@D)
	@echo "GEN     $(BUILD)/gen/proto/ironflow.h"
	@$(BUILD)/gen-tools/proto_gen $(BUILD)/gen/proto/ironflow.h $(BUILD)/gen/proto/ironflow.c $(PROTOS)

include scripts/gen/sql.mk
