# Everything is built outside the checkout, so that a fresh clone is quick once the engine has been compiled.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/damson/target

SEGMENTS ?= 4
SF ?= 1
# Where `make demo` keeps its tables.
DATA ?= $(HOME)/.local/share/damson/demo
# Seeds of `make nightly`'s random queries.
SEEDS ?= $(shell seq 1 20)
# Seconds that `make fuzz` spends on each target.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := route_stream opening pg_messages pg_rows pg_values
# More arguments for the benchmarks and the demo: make tpch ARGS="--queries 1,9 --runs 5", make demo ARGS="--pg-port 5434"
ARGS ?=
# make bench-interconnect QUICK=1: a few seconds, without TPC-H and without a report; bench-clients: less than a minute.
QUICK ?=

CARGO ?= cargo
RUST_MINIMUM := 1.94
BIN := $(CARGO_TARGET_DIR)/release

.DEFAULT_GOAL := help
.PHONY: help demo build test tpch bench-tpch bench-dml bench-copy bench-clients bench-interconnect demo-expand nightly fuzz fmt fmt-check clippy lint clean-data rust

help: ## Shows this list.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

rust:
	@scripts/check-rust $(RUST_MINIMUM)

demo: rust ## Serves a cluster of 4 segments with TPC-H (SF=1) in it; kept in DATA.
	$(CARGO) build --release --locked -p damson
	$(BIN)/damson demo --segments $(SEGMENTS) --tpch $(SF) --data $(DATA) $(ARGS)

build: rust ## Builds the damson binary.
	$(CARGO) build --release --locked -p damson
	@echo "built $(BIN)/damson"

# Tests need the binary when they run. All in one build: `-p damson` alone would compile what it uses again, with other features.
test: rust ## Runs the tests: what CI runs.
	$(CARGO) build --release --workspace --all-targets --locked
	$(CARGO) test --release --workspace --locked --no-fail-fast

tpch: rust ## Compares Damson with DataFusion and DuckDB on TPC-H (SF=1).
	$(CARGO) build --release --locked -p damson -p damson-tpch
	DAMSON_DUCKDB_PYTHON="$$(scripts/duckdb-python)" $(BIN)/damson-tpch --sf $(SF) $(ARGS)

bench-tpch: tpch ## The same as tpch.

bench-interconnect: rust ## Measures the interconnect beside a plain TCP copy; the report is in docs/benchmarks.
	$(CARGO) build --release --locked -p damson-bench-interconnect $(if $(QUICK),,-p damson -p damson-tpch)
	$(BIN)/damson-bench-interconnect $(if $(QUICK),--quick) $(ARGS)

bench-copy: rust ## Measures COPY FROM beside DuckDB (SF=1); the report is in docs/benchmarks.
	$(CARGO) build --release --locked -p damson -p damson-bench-copy
	mkdir -p "$(HOME)/.cache/damson/bench"
	TMPDIR="$(HOME)/.cache/damson/bench" DAMSON_BINARY="$(BIN)/damson" DAMSON_DUCKDB_PYTHON="$$(scripts/duckdb-python)" \
	    $(BIN)/damson-bench-copy --sf $(SF) $(ARGS)

bench-clients: rust ## Measures how fast clients fetch, and how long small statements take; the report is in docs/benchmarks.
	$(CARGO) build --release --locked -p damson -p damson-bench-clients
	mkdir -p "$(HOME)/.cache/damson/bench"
	TMPDIR="$(HOME)/.cache/damson/bench" DAMSON_BINARY="$(BIN)/damson" \
	    DAMSON_CLIENTS_PYTHON="$$(scripts/python-env benches/clients/requirements.txt)" \
	    DAMSON_PG_JDBC_DRIVER="$$(scripts/jdbc-driver postgresql)" \
	    $(BIN)/damson-bench-clients $(if $(QUICK),--quick) $(ARGS)

bench-dml: rust ## Measures INSERT, UPDATE and DELETE, and what they leave to scans.
	$(CARGO) build --release --locked -p damson-bench-dml
	$(BIN)/damson-bench-dml $(ARGS)

demo-expand: rust ## Grows a cluster with TPC-H (SF=1) from 2 segments to 4 under load; the report is in docs/benchmarks.
	$(CARGO) build --release --locked -p damson -p damson-bench-expand
	DAMSON_BINARY=$(BIN)/damson $(BIN)/damson-bench-expand --sf $(SF) $(ARGS)

nightly: rust fuzz ## Longer tests: the SF1 answers, random queries from SEEDS, 10,000 random changes and slice graphs, 200 kills, 100 expansions, ten minutes of takeovers, fuzz targets.
	$(CARGO) build --release --workspace --all-targets --locked
	$(CARGO) test --release --workspace --locked --no-fail-fast -- --include-ignored
	DAMSON_SIM_SEEDS=10000 $(CARGO) test --release --locked -p damson-interconnect --lib -- sim::
	@set -e; for seed in $(SEEDS); do \
	    DAMSON_SEED=$$seed $(CARGO) test --release --locked -p damson-tests --test main -- --nocapture random::; \
	done
	DAMSON_DML_STATEMENTS=10000 $(CARGO) test --release --locked -p damson-tests --test main -- --nocapture dml::as_the_model_says
	DAMSON_TRANSACTIONS=200 DAMSON_HISTORY_SECONDS=300 $(CARGO) test --release --locked -p damson-tests --test main -- --nocapture transactions::histories
	DAMSON_KILLS=200 $(CARGO) test --release --locked -p damson-tests --test main -- --nocapture crash::
	DAMSON_EXPANSIONS=100 $(CARGO) test --release --locked -p damson-tests --test main -- --nocapture expand_crash::
	DAMSON_COPIES=200 $(CARGO) test --release --locked -p damson-tests --test main -- --nocapture copy_once::

# The sanitizer is not stable, but in every stable compiler.
fuzz: rust ## Feeds damaged bytes to what reads from peers and clients, for FUZZ_SECONDS a target.
	@command -v cargo-fuzz >/dev/null || $(CARGO) install cargo-fuzz --locked
	@set -e; for target in $(FUZZ_TARGETS); do \
	    RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --release $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 \
	        -malloc_limit_mb=512 -rss_limit_mb=2048 -print_final_stats=1; \
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
