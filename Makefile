# GNU make, no configure step. `make help` lists the targets.
#
#   BUILD=dir     where everything goes (default build)
#   CC=clang      another compiler

BUILD ?= build
CC    = gcc
VERSION := 0.1.0

# The layers, lowest first; the linker sees them in the other order.
LAYERS := base codec rt http db txn bus engine store svc jobs api cli main

# What a folder's unit tests link: the folder itself and what stands below it (style: layering).
DEPS_base   := base
DEPS_codec  := codec base
DEPS_rt     := rt base
DEPS_http   := http rt codec base
DEPS_db     := db base
DEPS_txn    := txn db rt base
DEPS_engine := engine codec base
DEPS_store  := store engine db codec base
DEPS_svc    := svc store engine txn db rt codec base
DEPS_jobs   := jobs svc store engine txn http db rt codec base
DEPS_api    := api jobs svc store engine txn http db rt codec base
DEPS_cli    := cli http rt codec base
DEPS_main   := main cli api jobs svc store engine txn http db rt codec base

PKGS := libuv libnghttp2 sqlite3 libpq libcrypto yaml-0.1
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
LLHTTP := /usr/share/llhttp

CCACHE := $(shell command -v ccache 2>/dev/null)
MOLD   := $(shell command -v mold >/dev/null 2>&1 && echo -fuse-ld=mold)

WARN := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wstrict-prototypes \
        -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wcast-qual -Wformat=2 -Wvla -Walloca \
        -Wundef -Wimplicit-fallthrough -Wdouble-promotion -fno-common -Wno-format-zero-length
ifneq ($(findstring clang,$(CC)),clang)
WARN += -Wduplicated-cond -Wlogical-op
endif

CPPFLAGS := -std=c17 -D_GNU_SOURCE -DLLHTTP_STRICT_MODE=1 -DIRONFLOW_VERSION='"$(VERSION)"' \
            -Isrc -I$(BUILD)/gen -isystem /usr/share/include/llhttp \
            $(patsubst -I%,-isystem %,$(PKG_CFLAGS))
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE
CFLAGS_san     := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
LDFLAGS_release := -pie -Wl,-z,relro,-z,now
LDFLAGS_san     := -fsanitize=address,undefined
LDFLAGS_tsan    := -fsanitize=thread
LIBS := $(PKG_LIBS) -ldl -lm -lpthread

SRCS  := $(filter-out %_test.c %_fuzz.c,$(wildcard src/*/*.c))
TESTS := $(wildcard src/*/*_test.c)
FUZZ  := $(wildcard src/*/*_fuzz.c)

.PHONY: all
all: $(BUILD)/ironflow

# Objects of tests are kept, so that a second run compiles nothing.
.SECONDARY:

# ---- generated code ------------------------------------------------------------------------------
-include scripts/gen/gen.mk

# ---- objects and one archive a folder, in each flavour ---------------------------------------------
define flavour
$(BUILD)/$(1)/%.o: %.c | $(GENERATED)
	@mkdir -p $$(@D)
	@echo "CC      $$<"
	@$(CCACHE) $(CC) $(CPPFLAGS) $(WARN) $(CFLAGS_$(1)) -MMD -MP -c $$< -o $$@

$(BUILD)/$(1)/gen/%.o: $(BUILD)/gen/%.c | $(GENERATED)
	@mkdir -p $$(@D)
	@echo "CC      $$<"
	@$(CCACHE) $(CC) $(CPPFLAGS) $(WARN) $(CFLAGS_$(1)) -MMD -MP -c $$< -o $$@

$(BUILD)/$(1)/llhttp/%.o: $(LLHTTP)/%.c
	@mkdir -p $$(@D)
	@$(CCACHE) $(CC) -std=gnu17 -DLLHTTP_STRICT_MODE=1 -isystem /usr/share/include/llhttp \
		$(CFLAGS_$(1)) -w -c $$< -o $$@

$(foreach l,$(LAYERS),$(call archive,$(1),$(l)))
endef

# An archive holds the folder's sources, what is generated for it (GEN_<folder>), and for http the
# llhttp parser.
EXTRA_http = llhttp/api.o llhttp/http.o llhttp/llhttp.o
define archive
$(BUILD)/$(1)/$(2).a: $(patsubst %.c,$(BUILD)/$(1)/%.o,$(filter src/$(2)/%,$(SRCS))) \
		$(patsubst %.c,$(BUILD)/$(1)/gen/%.o,$(GEN_$(2))) $(addprefix $(BUILD)/$(1)/,$(EXTRA_$(2)))
	@rm -f $$@ && ar rcs $$@ $$^

endef

$(eval $(call flavour,release))
$(eval $(call flavour,san))
$(eval $(call flavour,tsan))

link_libs = -Wl,--start-group $(foreach l,$(2),$(if $(wildcard src/$(l)/*.c),$(BUILD)/$(1)/$(l).a)) -Wl,--end-group
need_libs = $(foreach l,$(2),$(if $(wildcard src/$(l)/*.c),$(BUILD)/$(1)/$(l).a))

$(BUILD)/ironflow: $(call need_libs,release,$(LAYERS))
	@echo "LINK    $@"
	@$(CC) $(MOLD) $(LDFLAGS_release) -o $@ $(call link_libs,release,$(LAYERS)) $(LIBS)

# The same program with sanitizers, for the end-to-end tests.
$(BUILD)/ironflow-san: $(call need_libs,san,$(LAYERS))
	@echo "LINK    $@"
	@$(CC) $(MOLD) $(LDFLAGS_san) -o $@ $(call link_libs,san,$(LAYERS)) $(LIBS)

$(BUILD)/ironflow-tsan: $(call need_libs,tsan,$(LAYERS))
	@echo "LINK    $@"
	@$(CC) $(MOLD) $(LDFLAGS_tsan) -o $@ $(call link_libs,tsan,$(LAYERS)) $(LIBS)

# ---- unit tests: one program a file, sanitized -------------------------------------------------------
# $(1) folder, $(2) flavour, $(3) target
define unit
$(BUILD)/$(2)/unit/$(1)/%_test: $(BUILD)/$(2)/src/$(1)/%_test.o $(call need_libs,$(2),$(DEPS_$(1)))
	@mkdir -p $$(@D)
	@echo "LINK    $$@"
	@$(CC) $(MOLD) $(LDFLAGS_$(2)) -o $$@ $$< $(call link_libs,$(2),$(DEPS_$(1))) -lcmocka $(LIBS)

.PHONY: $(3)-$(1)
$(3)-$(1): $(patsubst src/%.c,$(BUILD)/$(2)/unit/%,$(filter src/$(1)/%,$(TESTS)))
	@set -e; for t in $$^; do echo "TEST    $$$$t"; $$$$t; done
endef
$(foreach l,$(LAYERS),$(eval $(call unit,$(l),san,unit)))
$(foreach l,$(LAYERS),$(eval $(call unit,$(l),tsan,tsan)))

.PHONY: unit
unit: $(addprefix unit-,$(LAYERS))

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(wildcard tests/tests.mk scripts/check/check.mk bench/bench.mk sdk/sdk.mk scripts/targets.mk)
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
