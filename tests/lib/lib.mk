# What the end-to-end suites preload into the server: a disk that fails on demand. Sanitizers do not
# go together with preloading, so those tests run the release binary.
DISKFAULT := $(BUILD)/tests/diskfault.so

$(DISKFAULT): tests/lib/diskfault.c
	@mkdir -p $(@D)
	@echo "CC      $<"
	@$(CC) -std=c17 -O1 -Wall -Wextra -Werror -shared -fPIC -o $@ $<

e2e test-pg tsan: $(DISKFAULT) $(BUILD)/ironflow
