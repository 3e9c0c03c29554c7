# make bench: see bench/bench.mjs. BENCH=emit,lanes picks rows; BENCH_SCALE=0.1 shortens.
BENCH_CC = @mkdir -p $(@D) && $(CC) -std=c17 -D_GNU_SOURCE $(WARN) -O2

$(BUILD)/bench/load: bench/load.c
	$(BENCH_CC) $< -o $@

$(BUILD)/bench/seed: bench/seed.c
	$(BENCH_CC) $< -o $@ -lsqlite3

$(BUILD)/bench/stream: bench/stream.c
	$(BENCH_CC) $< -o $@ -lnghttp2

$(BUILD)/bench/match: bench/match.c $(call need_libs,release,engine codec base)
	$(BENCH_CC) -Isrc $< $(call link_libs,release,engine codec base) -o $@ $(LIBS)

$(BUILD)/bench/worker: bench/worker.c $(BUILD)/libironflow.a
	$(BENCH_CC) -Isdk/c $< $(BUILD)/libironflow.a -o $@ -lcurl -lnghttp2 -lpthread

.PHONY: bench
bench: $(BUILD)/ironflow $(addprefix $(BUILD)/bench/,load seed stream match worker)
	@ulimit -n 20000 2>/dev/null; BUILD=$(BUILD) node bench/bench.mjs
