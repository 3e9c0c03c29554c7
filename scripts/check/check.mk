# make check: format, layering, lengths, contracts, banned calls, analyzers.
FORMATTED := $(wildcard src/*/*.c src/*/*.h sdk/c/*.c sdk/c/*.h examples/*/*.c bench/*.c tests/*/*.c \
	tests/*/*.h scripts/gen/*.c)

.PHONY: check check-format check-layers check-lengths check-banned check-contracts check-tidy check-cppcheck
check: check-format check-layers check-lengths check-banned check-contracts check-docs check-cppcheck check-tidy

check-format:
	@clang-format --dry-run -Werror $(FORMATTED)
check-layers:
	@sh scripts/check/layers.sh
check-lengths:
	@sh scripts/check/lengths.sh
check-banned:
	@sh scripts/check/banned.sh
check-contracts:
	@sh scripts/check/contracts.sh
check-cppcheck: $(GENERATED)
	@cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
		--inline-suppr --suppress=missingIncludeSystem -Isrc -I$(BUILD)/gen $(SRCS)
check-tidy: $(GENERATED)
	@printf '%s\n' $(SRCS) $(SDK_SRCS) | \
		TIDY_FLAGS="$(subst ",\",$(CPPFLAGS)) -Isdk/c" xargs -P$$(nproc) -n1 sh scripts/check/tidy.sh

.PHONY: format
format:
	@clang-format -i $(FORMATTED)
