# What the command line prints, byte for byte, against a server that plays from a script.
.PHONY: golden
golden: $(BUILD)/ironflow-san
	@echo "GOLDEN  tests/golden"
	@IRONFLOW_BIN=$(abspath $(BUILD))/ironflow-san $(NODE) tests/golden/golden.mjs tests/golden/*.txt
