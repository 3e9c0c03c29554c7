# make bench: see bench/bench.mjs. BENCH=emit,runs,start,growth picks; BENCH_SCALE=0.1 shortens.
$(BUILD)/bench/load: bench/load.c
	@mkdir -p $(@D)
	@$(CC) -std=c17 -D_GNU_SOURCE $(WARN) -O2 $< -o $@

$(BUILD)/bench/seed: bench/seed.c
	@mkdir -p $(@D)
	@$(CC) -std=c17 -D_GNU_SOURCE $(WARN) -O2 $< -o $@ -lsqlite3

$(BUILD)/bench/worker: bench/worker.c $(BUILD)/libironflow.a
	@mkdir -p $(@D)
	@$(CC) -std=c17 -D_GNU_SOURCE $(WARN) -O2 -Isdk/c $< $(BUILD)/libironflow.a -o $@ -lcurl -lpthread

.PHONY: bench
bench: $(BUILD)/ironflow $(BUILD)/bench/load $(BUILD)/bench/seed $(BUILD)/bench/worker
	@BUILD=$(BUILD) node bench/bench.mjs

.PHONY: bench-wakes
bench-wakes: $(BUILD)/ironflow
	@BUILD=$(BUILD) node bench/wakes.mjs
