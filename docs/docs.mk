# make docs          writes docs/reference/ from the tables the program runs on
# make check-docs    fails when what is there is not what would be written
#
# DOCS_PAGES: pages of generators in scripts/gen/docs_<page>.c, each linked with our own archives.
# DOCS_CLI:   pages that the program prints itself, by its hidden command `docs <page>`.
DOCS_PAGES := routes errors states metrics
DOCS_CLI   := cli
DOCS_OUT   := $(BUILD)/docs/reference

$(BUILD)/gen-tools/docs_%: $(BUILD)/release/scripts/gen/docs_%.o $(call need_libs,release,$(LAYERS))
	@mkdir -p $(@D)
	@echo "GENTOOL $@"
	@$(CC) $(MOLD) $(LDFLAGS_release) -o $@ $< $(call link_libs,release,$(LAYERS)) $(LIBS)

$(DOCS_PAGES:%=$(DOCS_OUT)/%.md): $(DOCS_OUT)/%.md: $(BUILD)/gen-tools/docs_%
	@mkdir -p $(@D)
	@$< >$@.new && mv $@.new $@

$(DOCS_CLI:%=$(DOCS_OUT)/%.md): $(DOCS_OUT)/%.md: $(BUILD)/ironflow
	@mkdir -p $(@D)
	@$< docs $* >$@.new && mv $@.new $@

DOCS_WRITTEN := $(addprefix $(DOCS_OUT)/,$(addsuffix .md,$(DOCS_PAGES) $(DOCS_CLI)))

.PHONY: docs check-docs
docs: $(DOCS_WRITTEN)
	@mkdir -p docs/reference
	@for p in $^; do cmp -s $$p docs/reference/$${p##*/} || { cp $$p docs/reference/ && \
		echo "WROTE   docs/reference/$${p##*/}"; }; done

check-docs: $(DOCS_WRITTEN)
	@for p in $^; do diff -u docs/reference/$${p##*/} $$p >&2 || { \
		echo "docs/reference/$${p##*/} is not what the program says; run make docs" >&2; exit 1; }; done
	@sh scripts/check/docs.sh
