# What the end-to-end suites preload into the server: a disk that fails on demand, a wall clock that can
# be set. Sanitizers do not go together with preloading, so those tests run the release binary.
PRELOADS := $(BUILD)/tests/diskfault.so $(BUILD)/tests/wallclock.so

$(PRELOADS): $(BUILD)/tests/%.so: tests/lib/%.c
	@mkdir -p $(@D)
	@echo "CC      $<"
	@$(CC) -std=c17 -O1 -Wall -Wextra -Werror -shared -fPIC -o $@ $<

e2e test-pg tsan: $(PRELOADS) $(BUILD)/ironflow
