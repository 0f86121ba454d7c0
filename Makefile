# Everything is built outside the checkout, so that a fresh clone is quick once the engine has been compiled.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/damson/target

SEGMENTS ?= 4
SF ?= 1
# Where `make demo` keeps its tables.
DATA ?= $(HOME)/.local/share/damson/demo
# Seeds of `make nightly`'s random queries.
SEEDS ?= $(shell seq 1 20)
# More arguments for the benchmark: make tpch ARGS="--queries 1,9 --runs 5"
ARGS ?=

CARGO ?= cargo
RUST_MINIMUM := 1.94
BIN := $(CARGO_TARGET_DIR)/release

.DEFAULT_GOAL := help
.PHONY: help demo build test tpch bench-tpch nightly fmt fmt-check clippy lint clean-data rust

help: ## Shows this list.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

rust:
	@scripts/check-rust $(RUST_MINIMUM)

demo: rust ## Serves a cluster of 4 segments with TPC-H (SF=1) in it; kept in DATA.
	$(CARGO) build --release --locked -p damson
	$(BIN)/damson demo --segments $(SEGMENTS) --tpch $(SF) --data $(DATA)

build: rust ## Builds the damson binary.
	$(CARGO) build --release --locked -p damson
	@echo "built $(BIN)/damson"

test: rust ## Runs the tests: what CI runs.
	$(CARGO) build --release --locked -p damson
	$(CARGO) test --release --workspace --locked --no-fail-fast

tpch: rust ## Compares Damson with DataFusion and DuckDB on TPC-H (SF=1).
	$(CARGO) build --release --locked -p damson -p damson-tpch
	DAMSON_DUCKDB_PYTHON="$$(scripts/duckdb-python)" $(BIN)/damson-tpch --sf $(SF) $(ARGS)

bench-tpch: tpch ## The same as tpch.

nightly: rust ## Longer tests: the SF1 answers, random queries from SEEDS, 10,000 random slice graphs.
	$(CARGO) build --release --workspace --all-targets --locked
	$(CARGO) test --release --workspace --locked --no-fail-fast -- --include-ignored
	DAMSON_SIM_SEEDS=10000 $(CARGO) test --release --locked -p damson-interconnect --lib -- sim::
	@set -e; for seed in $(SEEDS); do \
	    DAMSON_SEED=$$seed $(CARGO) test --release --locked -p damson-tests --test main -- --nocapture random::; \
	done

fmt: ## Formats the sources.
	$(CARGO) fmt --all

fmt-check:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

lint: fmt-check clippy ## Checks the format, and runs clippy with warnings as errors.

clean-data: ## Removes the demo's tables, and the benchmark's.
	rm -rf -- "$(DATA)" "$(HOME)/.cache/damson/tpch" "$(HOME)/.cache/damson/bench"
