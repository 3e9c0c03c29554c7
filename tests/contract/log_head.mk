# The head of the log on PostgreSQL, on a private server unless IRONFLOW_TEST_PG_URL names one.
LOG_HEAD_LAYERS := svc store engine txn db rt codec base

$(BUILD)/san/log_head: $(BUILD)/san/tests/contract/log_head.o $(call need_libs,san,$(LOG_HEAD_LAYERS))
	@echo "LINK    $@"
	@$(CC) $(MOLD) $(LDFLAGS_san) -o $@ $< $(call link_libs,san,$(LOG_HEAD_LAYERS)) -lcmocka $(LIBS)

.PHONY: log-head
log-head: $(BUILD)/san/log_head
	@echo "TEST    $<"
	@set -e; if [ -n "$$IRONFLOW_TEST_PG_URL" ]; then exec $<; fi; \
	dir=$$(mktemp -d); trap 'sh tests/lib/pg.sh stop $$dir; rm -rf $$dir' EXIT INT TERM; \
	IRONFLOW_TEST_PG_URL=$$(sh tests/lib/pg.sh start $$dir); export IRONFLOW_TEST_PG_URL; $<

tests-system: log-head
