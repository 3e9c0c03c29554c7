# kill -9 under load: the release build, 36 kills on SQLite, 10 on a private PostgreSQL.
.PHONY: crash crash-nightly
crash: $(BUILD)/ironflow
	@echo "CRASH   36 kills, and 10 on PostgreSQL"
	@set -e; dir=$$(mktemp -d); trap 'sh tests/lib/pg.sh stop $$dir; rm -rf $$dir' EXIT INT TERM; \
	IRONFLOW_TEST_PG_URL=$$(sh tests/lib/pg.sh start $$dir); export IRONFLOW_TEST_PG_URL; \
	IRONFLOW_BIN=$(BUILD)/ironflow $(NODE) --test tests/crash/crash.test.mjs

crash-nightly: export CRASH_KILLS = 1000
crash-nightly: export CRASH_PG_KILLS = 200
crash-nightly: crash

tests-system: crash
nightly: crash-nightly
