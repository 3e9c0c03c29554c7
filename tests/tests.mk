# make test: everything, in the order of the cheapest first. SQLite and PostgreSQL run the same suites.
E2E := $(wildcard tests/e2e/*.test.mjs)
NODE := $(shell command -v node 2>/dev/null)
E2E_FLAGS := --test --test-concurrency=2
# Each suite ends within this many seconds, whatever hangs.
E2E_S ?= 1800
e2e_run = timeout -k 10 $(E2E_S) $(NODE) $(E2E_FLAGS) $(E2E)

.PHONY: test e2e
test: check-quick unit fuzz-replay unit-sdk golden e2e test-pg tests-system
	@echo "All tests passed."

# Format and structure; the slow analyzers are `make check`.
.PHONY: check-quick
check-quick: check-format check-layers check-lengths check-banned check-contracts check-docs

e2e: $(BUILD)/ironflow-san
	@echo "E2E     sqlite"
	@IRONFLOW_BIN=$(BUILD)/ironflow-san $(e2e_run)

# A private PostgreSQL for the unit, contract and end-to-end suites, stopped whatever happens.
.PHONY: test-pg
test-pg: $(BUILD)/ironflow-san $(patsubst src/%.c,$(BUILD)/san/unit/%,$(filter src/db/% src/txn/% src/svc/% src/store/%,$(TESTS)))
	@set -e; dir=$$(mktemp -d); trap 'sh tests/lib/pg.sh stop $$dir; rm -rf $$dir' EXIT INT TERM; \
	url=$$(sh tests/lib/pg.sh start $$dir); export IRONFLOW_TEST_PG_URL="$$url"; \
	for t in $(filter %_test,$^); do echo "TEST    $$t (postgresql)"; $$t; done; \
	echo "E2E     postgresql"; IRONFLOW_BIN=$(BUILD)/ironflow-san $(e2e_run)

# Data races: the threaded folders under the thread sanitizer, then the whole server.
.PHONY: tsan
tsan: tsan-base tsan-rt tsan-http tsan-db tsan-txn tsan-svc $(BUILD)/ironflow-tsan
	@IRONFLOW_BIN=$(BUILD)/ironflow-tsan TSAN_OPTIONS=halt_on_error=1 $(e2e_run)

# Crash, power loss and simulation: tests/<kind>/<kind>.mk add themselves.
.PHONY: tests-system
-include $(wildcard tests/*/*.mk)
