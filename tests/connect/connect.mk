# The published Connect client against the real server: npm installs what the lock file names, protoc
# makes descriptors from our contract. Without a registry in reach the target fails and says so.
CONNECT_NPM := tests/connect/node_modules/.package-lock.json
CONNECT_SET := $(BUILD)/tests/connect/contract.binpb
CONNECT_PROTOS := $(filter-out %/rest.proto,$(wildcard proto/ironflow/v1/*.proto))

# A lock file that named a registry would tie everybody to it.
$(CONNECT_NPM): tests/connect/package-lock.json tests/connect/package.json
	@if grep -n '"resolved"' $<; then echo "$<: take the addresses of packages out"; exit 1; fi
	@echo "NPM     tests/connect"
	@cd tests/connect && npm ci --ignore-scripts --loglevel=error || { \
		echo "tests/connect: npm could not install the Connect client; is its registry in reach?"; \
		exit 1; }

$(CONNECT_SET): $(CONNECT_PROTOS)
	@mkdir -p $(@D)
	@echo "PROTOC  $@"
	@protoc -Iproto --include_imports --descriptor_set_out=$@ $(CONNECT_PROTOS)

.PHONY: connect
connect: $(BUILD)/ironflow-san $(CONNECT_NPM) $(CONNECT_SET)
	@echo "CONNECT the client of npm"
	@IRONFLOW_BIN=$(BUILD)/ironflow-san IRONFLOW_DESCRIPTORS=$(abspath $(CONNECT_SET)) \
		timeout -k 10 $(E2E_S) $(NODE) --test tests/connect/*.test.mjs

tests-system: connect
