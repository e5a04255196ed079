# Everything one types here. Each target sets up what it needs, on a fresh Debian machine with rustup too:
# Debian packages when root, else the name of what is missing.
#
# Cargo's output is kept outside the clone, so that clones and clean checkouts share the compiled dependencies.

SHELL := /bin/bash
.DELETE_ON_ERROR:

export HODOSCOPE_CACHE ?= $(HOME)/.cache/hodoscope
export CARGO_TARGET_DIR ?= $(HODOSCOPE_CACHE)/target
export PATH := $(PATH):$(HOME)/.cargo/bin
# Without a terminal nothing may ask.
export CARGO_TERM_PROGRESS_WHEN ?= auto
# On a build machine a test that cannot run is a failure, not a skip.
ifeq ($(CI),true)
export HODOSCOPE_REQUIRE_ALL ?= 1
endif

BINARY := $(CARGO_TARGET_DIR)/release/hodoscope
# What `make run` hands to the collector: make run ARGS="--data /var/lib/hodoscope"
ARGS ?=
# What `make demo` hands to the sender: make demo DEMO_ARGS="--rate 50"
DEMO_ARGS ?=

# $(call stage,NAME,COMMAND): runs the command, says how long it took.
define stage
@echo "── $(1)"; from=$$SECONDS; if $(2); then echo "── $(1): ok after $$((SECONDS - from)) s"; else echo "── $(1): FAILED after $$((SECONDS - from)) s: $(2)"; exit 1; fi
endef

HODOSCOPE_FUZZ_TARGETS ?=

.PHONY: help run demo test test-long fuzz bench fmt lint ui docs build deny sbom tools

help: ## say what can be typed
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS=$$'\t' read -r name text; do printf '  make %-9s %s\n' "$$name" "$$text"; done

run: build ## build everything and start the collector on 127.0.0.1 (4317 gRPC, 4318 HTTP, 4319 page)
	@exec "$(BINARY)" $(ARGS)

demo: build ## send a made-up shop's telemetry to the running collector, or start one first; Ctrl-C ends both
	@exec .make/demo "$(BINARY)" $(DEMO_ARGS)

test: tools ## the whole gate: format, lints, docs, page, every test
	$(call stage,format,cargo fmt --all --check)
	$(call stage,lints,cargo clippy --workspace --all-targets --locked -- -D warnings)
	$(call stage,rustdoc,RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet)
	$(call stage,page,ui/build.sh)
	$(call stage,test set-up,{ tests/setup.sh || [ -z "$$HODOSCOPE_REQUIRE_ALL" ]; })
	$(call stage,tests,cargo test --workspace --locked)

test-long: tools ## the long forms of the fault tests: hours; HODOSCOPE_SEEDS (from HODOSCOPE_FIRST_SEED on), HODOSCOPE_SECONDS_MAX, HODOSCOPE_KILL_CYCLES, HODOSCOPE_SOAK_S set how much
	$(call stage,test set-up,{ HODOSCOPE_LONG=1 tests/setup.sh || [ -z "$$HODOSCOPE_REQUIRE_ALL" ]; })
	$(call stage,real senders and readers,HODOSCOPE_LONG=1 timeout 1h cargo test --workspace --locked --test tests -- sdks:: senders:: openapi:: hostile:: --nocapture --test-threads 1)
	$(call stage,simulated power cuts,HODOSCOPE_LONG=1 HODOSCOPE_SEEDS=$${HODOSCOPE_SEEDS:-10000} HODOSCOPE_SECONDS_MAX=$${HODOSCOPE_SECONDS_MAX:-14400} timeout 5h cargo test --workspace --locked --lib -- f02_ f03_ f04_ f05_ --nocapture)
	$(call stage,damaged requests,HODOSCOPE_REQUESTS=$${HODOSCOPE_REQUESTS:-20000} timeout 2h cargo test --workspace --locked --lib -- damaged_requests)
	$(call stage,kills and faults,HODOSCOPE_LONG=1 HODOSCOPE_KILL_CYCLES=$${HODOSCOPE_KILL_CYCLES:-200} timeout 4h cargo test --workspace --locked --test tests -- crash:: faults:: bad_start:: --nocapture --test-threads 1)
	$(call stage,memory under bombs,timeout 1h cargo test --workspace --locked --test tests -- bombs:: --nocapture)
	$(call stage,a release build,cargo build --release --locked --workspace --bin hodoscope)
	$(call stage,memory under 64 clients with 64 MiB,HODOSCOPE_LONG=1 HODOSCOPE_TEST_BINARY="$(BINARY)" timeout 1h cargo test --workspace --locked --test tests -- bombs:: --nocapture)
	$(call stage,a soak,HODOSCOPE_SOAK_S=$${HODOSCOPE_SOAK_S:-1800} HODOSCOPE_TEST_BINARY="$(BINARY)" timeout 25h cargo test --workspace --locked --test tests -- soak:: --nocapture)

fuzz: tools ## look for inputs that break something: a minute for each target (HODOSCOPE_FUZZ_SECONDS, HODOSCOPE_FUZZ_TARGETS)
	@tests/fuzz/run.sh $(HODOSCOPE_FUZZ_TARGETS)

bench: ui ## measure every stage, ingest and look-up against the real binary, release build (about 5 minutes)
	cargo bench --locked --workspace --bench decode --bench write_path --bench ingest --bench sustained --bench trace_by_id --bench analysis --bench journey_by_id --bench map_day --bench digest

fmt: ## format the code
	cargo fmt --all

lint: tools ## clippy and rustdoc, warnings are errors
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet

ui: tools ## build the page into ui/dist
	@ui/build.sh

docs: tools ## write the generated pages anew: docs/tables.md, docs/attributes.md, the README's table of settings
	UPDATE_DOCS=1 cargo test --workspace --locked --bin hodoscope -- settings_table
	UPDATE_DOCS=1 cargo test --workspace --locked --test tests -- docs::

deny: tools ## licences, bans, sources and advisories by deny.toml, with cargo-deny; the gate holds all but advisories without it
	@cargo deny --version >/dev/null 2>&1 || { echo "cargo-deny is missing: cargo install cargo-deny --locked" >&2; exit 1; }
	cargo deny --locked check

sbom: tools ## write the bill of materials (CycloneDX 1.5) to sbom.cdx.json
	cargo run --locked --quiet --example sbom > sbom.cdx.json.new && mv sbom.cdx.json.new sbom.cdx.json

build: ui
	cargo build --release --locked --workspace --bin hodoscope

tools:
	@.make/need cc:build-essential c++:build-essential cargo:rustup
	@.make/own-target
