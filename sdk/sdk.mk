# The C client library: it stands by itself and includes nothing from src/.
#   make sdk            $(BUILD)/libironflow.a, ironflow.pc and the examples
#   make unit-sdk       its unit tests, sanitized; tsan-sdk: looking for data races

SDK_SRCS     := $(filter-out %_test.c,$(wildcard sdk/c/*.c))
SDK_TESTS    := $(wildcard sdk/c/*_test.c)
SDK_EXAMPLES := $(patsubst examples/%/,%,$(wildcard examples/*/))
SDK_CPPFLAGS := -std=c17 -D_GNU_SOURCE -Isdk/c
SDK_LIBS     := -lcurl -lnghttp2 -lpthread
OBJCOPY      ?= objcopy

define sdk_flavour
$(BUILD)/$(1)/sdk/c/%.o: sdk/c/%.c
	@mkdir -p $$(@D)
	@echo "CC      $$<"
	@$(CCACHE) $(CC) $(SDK_CPPFLAGS) $(WARN) $(CFLAGS_$(1)) -fvisibility=hidden -MMD -MP -c $$< -o $$@

$(BUILD)/$(1)/examples/%.o: examples/%.c
	@mkdir -p $$(@D)
	@echo "CC      $$<"
	@$(CCACHE) $(CC) $(SDK_CPPFLAGS) $(WARN) $(CFLAGS_$(1)) -MMD -MP -c $$< -o $$@

# One object in which only the names of ironflow.h are visible to others.
$(BUILD)/$(1)/sdk/ironflow.o: $(patsubst %.c,$(BUILD)/$(1)/%.o,$(SDK_SRCS))
	@$(LD) -r -o $$@ $$^ && $(OBJCOPY) --localize-hidden $$@
endef
$(foreach f,release san tsan,$(eval $(call sdk_flavour,$(f))))

$(BUILD)/libironflow.a: $(BUILD)/release/sdk/ironflow.o
	@echo "AR      $@"
	@rm -f $@ && ar rcs $@ $^

$(BUILD)/ironflow.pc: sdk/c/ironflow.pc.in Makefile
	@mkdir -p $(@D)
	@sed 's|@VERSION@|$(VERSION)|' $< >$@

# One program an example, from all sources of its folder.
define sdk_example
$(BUILD)/examples/$(1): $(patsubst %.c,$(BUILD)/release/%.o,$(wildcard examples/$(1)/*.c)) $(BUILD)/libironflow.a
	@mkdir -p $$(@D)
	@echo "LINK    $$@"
	@$(CC) $(MOLD) $(LDFLAGS_release) -o $$@ $$^ $(SDK_LIBS)
endef
$(foreach e,$(SDK_EXAMPLES),$(eval $(call sdk_example,$(e))))

.PHONY: sdk
sdk: $(BUILD)/libironflow.a $(BUILD)/ironflow.pc $(addprefix $(BUILD)/examples/,$(SDK_EXAMPLES))

# $(1) flavour, $(2) target
define sdk_unit
$(BUILD)/$(1)/unit/sdk/%_test: $(BUILD)/$(1)/sdk/c/%_test.o $(BUILD)/$(1)/sdk/c/test/stub.o \
		$(patsubst %.c,$(BUILD)/$(1)/%.o,$(SDK_SRCS))
	@mkdir -p $$(@D)
	@echo "LINK    $$@"
	@$(CC) $(MOLD) $(LDFLAGS_$(1)) -o $$@ $$^ -lcmocka $(SDK_LIBS)

.PHONY: $(2)
$(2): $(patsubst sdk/c/%.c,$(BUILD)/$(1)/unit/sdk/%,$(SDK_TESTS))
	@set -e; for t in $$^; do echo "TEST    $$$$t"; $$$$t; done
endef
$(eval $(call sdk_unit,san,unit-sdk))
$(eval $(call sdk_unit,tsan,tsan-sdk))

unit: unit-sdk
all: sdk
