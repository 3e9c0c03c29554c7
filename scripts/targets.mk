# Targets that live beside what they serve.
-include fuzz/fuzz.mk
-include docs/docs.mk

# ---- install ---------------------------------------------------------------------------------------
# make install PREFIX=/usr DESTDIR=/tmp/pkg     program, completions, systemd unit, C library
PREFIX  ?= /usr/local
DESTDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system
UNIT    := deploy/systemd/ironflow.service

# The program writes its own completions; the unit learns where the program is.
.PHONY: install uninstall
install: $(BUILD)/ironflow $(BUILD)/libironflow.a $(BUILD)/ironflow.pc
	install -D -m 755 $(BUILD)/ironflow $(DESTDIR)$(PREFIX)/bin/ironflow
	@mkdir -p $(BUILD)/completion
	@for s in bash zsh fish; do $(BUILD)/ironflow completion $$s >$(BUILD)/completion/$$s || exit 1; done
	install -D -m 644 $(BUILD)/completion/bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/ironflow
	install -D -m 644 $(BUILD)/completion/zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ironflow
	install -D -m 644 $(BUILD)/completion/fish \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ironflow.fish
	@sed 's|/usr/local/bin/|$(PREFIX)/bin/|' $(UNIT) >$(BUILD)/ironflow.service
	install -D -m 644 $(BUILD)/ironflow.service $(DESTDIR)$(UNITDIR)/ironflow.service
	install -D -m 644 sdk/c/ironflow.h $(DESTDIR)$(PREFIX)/include/ironflow.h
	install -D -m 644 $(BUILD)/libironflow.a $(DESTDIR)$(PREFIX)/lib/libironflow.a
	@sed 's|^prefix=.*|prefix=$(PREFIX)|' $(BUILD)/ironflow.pc >$(BUILD)/ironflow-install.pc
	install -D -m 644 $(BUILD)/ironflow-install.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/ironflow.pc

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/ironflow \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/ironflow \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ironflow \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ironflow.fish \
		$(DESTDIR)$(UNITDIR)/ironflow.service $(DESTDIR)$(PREFIX)/include/ironflow.h \
		$(DESTDIR)$(PREFIX)/lib/libironflow.a $(DESTDIR)$(PREFIX)/lib/pkgconfig/ironflow.pc

# ---- release ---------------------------------------------------------------------------------------
# The committed tree as an archive whose bytes depend on the commit alone.
DIST := $(BUILD)/ironflow-$(VERSION).tar.gz
.PHONY: dist
dist:
	@mkdir -p $(BUILD)
	git archive --format=tar --prefix=ironflow-$(VERSION)/ HEAD | gzip -n -9 >$(DIST)
	@sha256sum $(DIST)

# ---- help ------------------------------------------------------------------------------------------
.PHONY: help
help:
	@echo 'make              build $(BUILD)/ironflow'
	@echo 'make test         every test: unit, corpora, golden, end-to-end, SQLite and PostgreSQL'
	@echo 'make unit         unit tests only; unit-<folder> for one folder of src/'
	@echo 'make e2e          end-to-end tests on SQLite'
	@echo 'make connect      the Connect client of npm against the server'
	@echo 'make check        format, layers, lengths, contracts, docs, cppcheck, clang-tidy'
	@echo 'make check-quick  the same without the two analyzers; part of make test'
	@echo 'make format       clang-format over our sources'
	@echo 'make docs         docs/reference/ from the tables the program runs on'
	@echo 'make bench        measure against budgets; BENCH=emit,runs,lanes picks'
	@echo 'make fuzz         FUZZ_S=60 seconds for every parser; needs clang'
	@echo 'make fuzz-replay  every corpus through its parser'
	@echo 'make install      PREFIX=/usr/local DESTDIR= ; make uninstall takes it away'
	@echo 'make dist         source archive of the commit'
	@echo 'make clean        remove $(BUILD)'
	@echo
	@echo 'BUILD=dir builds elsewhere, CC=clang with another compiler.'
	@echo './demo and ./test install what is missing on Debian 12 and call make.'
