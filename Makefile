# Everything a newcomer needs: `make demo` shows it, `make test` proves it.
#
# Needs Rust and a CPython >= 3.11 on the machine, and nothing else: tools are installed into a virtual environment of
# the project's own, one for each Python (.venv-3.11, .venv-3.12, ...), and each Python has its own cargo target
# directory, so that going from one to the other rebuilds nothing.
#
#   PYTHON=...        the interpreter, a name or a path; default: the first of the list below that runs and is new enough
#                     (runs: a version manager's shim exists on PATH, but fails where its version is not selected)
#   PROFILE=...       cargo profile, release, dev, or checked (release with every assertion on); default: release for demo, test,
#                     bench and stress, dev for everything else
#   RUST_TESTS=no     `make test` leaves out the crates that know no Python (they are the same for every Python)
#   BENCH_FLAGS=...   handed to benchmarks/run.py
#   CONFORMANCE_FLAGS=...  handed to tests/conformance/run.py, for example CONFORMANCE_FLAGS="test__event test__pool"
#   PYTEST_FLAGS=...  handed to pytest, for example PYTEST_FLAGS="-x tests/test_event.py"
#   SECONDS=...       how long `make stress` lasts; default: 600
#   SEED=...          what `make stress` runs, as a failure of it says: SEED=random_mixture:1042
#   SANITIZER=address `make stress` runs under AddressSanitizer

runs = $(shell $(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(1))
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,$(call runs,$(name))))
TAG := $(shell $(or $(PYTHON),false) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)

PROFILE ?= $(if $(filter demo test test-rust test-python bench conformance foreign leaks stress,$(MAKECMDGOALS)),release,dev)
RUST_TESTS ?= yes
BENCH_FLAGS ?=
CONFORMANCE_FLAGS ?=
PYTEST_FLAGS ?=
SECONDS ?= 600
SEED ?=
SANITIZER ?=

VENV := $(CURDIR)/.venv-$(TAG)
BIN := $(VENV)/bin
# A target directory given from outside is kept, with a folder for each Python inside it.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
LOAD := $(TARGET)/load/release/verdigris-load
FOR_PYTHON := VIRTUAL_ENV=$(VENV) PYO3_PYTHON=$(BIN)/python CARGO_TARGET_DIR=$(TARGET)/py$(TAG)
WHEELS := $(TARGET)/py$(TAG)/wheels

.DEFAULT_GOAL := help
.PHONY: help bench bench-loop demo loom miri test test-rust test-python build conformance foreign leaks lint format asan clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@sed -n 's/^#   \([A-Z_]*=.*\)/  \1/p' $(firstword $(MAKEFILE_LIST))

demo: build  ## an unmodified blocking program, as it is and under `verdigris run`
	@$(BIN)/python examples/demo.py

test: $(if $(filter yes,$(RUST_TESTS)),test-rust) test-python  ## all tests

test-rust:  ## the tests of the crates that know no Python
	@echo "» cargo test (crates without Python, profile $(PROFILE))"
	@CARGO_TARGET_DIR=$(TARGET) cargo test --profile $(PROFILE)

test-python: build  ## the tests of the Python package
	@echo "» pytest on $$($(BIN)/python -VV)"
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

build: $(VENV)/.ready  ## the extension module, installed editable into the virtual environment
	@echo "» building for Python $(TAG), profile $(PROFILE)"
	@$(FOR_PYTHON) $(BIN)/maturin develop --profile $(PROFILE)

bench: build $(VENV)-peers/.ready $(LOAD)  ## benchmarks, alternately with gevent, uvloop and others; writes docs/performance*.md (BENCH_FLAGS="--quick")
	@$(BIN)/python benchmarks/run.py --peer $(VENV)-peers/bin/python --load $(LOAD) $(BENCH_FLAGS)

# The load generator: a workspace of its own, because nothing but the benchmarks needs it.
LOAD_SOURCE := benchmarks/load/Cargo.toml
$(LOAD): $(LOAD_SOURCE) benchmarks/load/Cargo.lock $(wildcard benchmarks/load/src/*.rs)
	@echo "» building the load generator"
	@CARGO_TARGET_DIR=$(TARGET)/load cargo build --release --manifest-path $(LOAD_SOURCE)
	@touch $@

conformance: build $(VENV)-conformance/.ready  ## greenlet's, gevent's and CPython's own tests on verdigris (CONFORMANCE_FLAGS="test__event")
	@rm -rf $(VENV)-conformance/lib/python$(TAG)/site-packages/verdigris*
	@cp -r $(VENV)/lib/python$(TAG)/site-packages/verdigris* $(VENV)-conformance/lib/python$(TAG)/site-packages/
	@$(VENV)-conformance/bin/python tests/conformance/run.py $(CONFORMANCE_FLAGS)

loom:  ## the cross-thread wake-up of the loop in every interleaving
	@RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(TARGET)/loom cargo test --package verdigris-loop --lib --release every_interleaving

miri:  ## the loop's parts without system calls under Miri (a nightly toolchain with miri and rust-src)
	@MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR=$(TARGET)/miri cargo +nightly miri test --package verdigris-loop --lib -- --skip behaves_like

foreign: build $(VENV)-foreign/.ready  ## gevent's examples, geventhttpclient's, gipc's and SQLAlchemy's own tests, and Playwright, on verdigris, from a wheel of it
	@rm -rf $(WHEELS)
	@$(FOR_PYTHON) $(BIN)/maturin build --quiet --profile $(PROFILE) --interpreter $(BIN)/python --out $(WHEELS)
	@$(VENV)-foreign/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEELS)/*.whl
	@$(VENV)-foreign/bin/python tests/foreign.py --folder $(TARGET)/foreign

LIBEV_HEADER := $(firstword $(wildcard /usr/include/ev.h /usr/include/libev/ev.h /usr/local/include/ev.h))

# The figures of crates/loop/BENCHMARKS.md: make bench-loop BENCH_FLAGS="--instructions --write crates/loop/BENCHMARKS.md" (valgrind)
bench-loop:  ## the event loop alternately with C libev, which must be installed (libev-dev) (BENCH_FLAGS="--rounds 5 timers")
	@CARGO_TARGET_DIR=$(TARGET)/libev cargo run --quiet --release --manifest-path benchmarks/libev/Cargo.toml -- $(BENCH_FLAGS)

leaks: build  ## what is done a million times leaves nothing behind: memory, greenlets, descriptors, threads
	@VERDIGRIS_GROWTH_ROUNDS=1000000 VERDIGRIS_TEST_LIMIT=3600 $(BIN)/python -m pytest -q -s tests/test_growth.py $(PYTEST_FLAGS)

asan: build  ## the tests of the Python package under AddressSanitizer
	@echo "» AddressSanitizer on $$($(BIN)/python -VV)"
	@CARGO_TARGET_DIR=$(TARGET) $(BIN)/python tests/address_sanitizer.py $(PYTEST_FLAGS)

stress: build  ## random programs for SECONDS, until one fails: threads, fork, collector, trace functions, exceptions mixed
	@echo "» stress on $$($(BIN)/python -VV), profile $(PROFILE)$(if $(SANITIZER), with AddressSanitizer)"
	@$(if $(SANITIZER),CARGO_TARGET_DIR=$(TARGET) $(BIN)/python tests/address_sanitizer.py --run) \
	  $(BIN)/python tests/stress.py --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# Systems with kqueue: the loop is compiled for them where Rust has their standard library.
OTHER_SYSTEMS := x86_64-unknown-freebsd aarch64-apple-darwin

lint: build  ## formatting, clippy, ruff, mypy, stubs against the package as it runs
	cargo fmt --all --check
	cargo fmt --manifest-path $(LOAD_SOURCE) --check
	cargo fmt --manifest-path benchmarks/libev/Cargo.toml --check
	$(FOR_PYTHON) cargo clippy --quiet --workspace --all-targets -- --deny warnings
	CARGO_TARGET_DIR=$(TARGET)/load cargo clippy --quiet --manifest-path $(LOAD_SOURCE) -- --deny warnings
	$(if $(LIBEV_HEADER),CARGO_TARGET_DIR=$(TARGET)/libev cargo clippy --quiet --manifest-path benchmarks/libev/Cargo.toml -- --deny warnings,@echo "not linted: benchmarks/libev, for want of libev's header")
	@for target in $(OTHER_SYSTEMS); do \
	  if [ -d "$$(rustc --print sysroot)/lib/rustlib/$$target" ]; then \
	    echo "cargo clippy --package verdigris-loop --target $$target"; \
	    CARGO_TARGET_DIR=$(TARGET) cargo clippy --quiet --package verdigris-loop --all-targets --target $$target -- --deny warnings || exit 1; \
	  else \
	    echo "» not checked for $$target (kqueue): rustup target add $$target"; \
	  fi; \
	done
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/mypy --strict --config-file= tests/typed_program.py
	$(BIN)/stubtest verdigris --mypy-config-file pyproject.toml --allowlist tests/stubtest_allowlist.txt --ignore-unused-allowlist

format: $(VENV)/.ready  ## put the source in the project's shape
	cargo fmt --all
	cargo fmt --manifest-path $(LOAD_SOURCE)
	cargo fmt --manifest-path benchmarks/libev/Cargo.toml
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:  ## remove all that was built
	rm -rf target .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find python tests examples -name __pycache__ -prune -exec rm -rf {} +
	rm -f python/verdigris/_core.*.so

# The virtual environment; made again when the pinned tools change.
$(VENV)/.ready: requirements-dev.txt
ifeq ($(TAG),)
	@echo "make: no Python >= 3.11 found that runs; name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1
endif
	@echo "» making $(notdir $(VENV)) with the tools of requirements-dev.txt (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed, this is " + sys.version)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

# What greenlet's and gevent's tests need.
$(VENV)-conformance/.ready: requirements-conformance.txt
	@echo "» making $(notdir $(VENV)-conformance) with the libraries of requirements-conformance.txt (once)"
	@$(PYTHON) -m venv $(VENV)-conformance
	@$(VENV)-conformance/bin/python -m pip install --disable-pip-version-check --requirement requirements-conformance.txt
	@touch $@

# What the tests of foreign programs need.
$(VENV)-foreign/.ready: requirements-foreign.txt
	@echo "» making $(notdir $(VENV)-foreign) with the libraries of requirements-foreign.txt (once)"
	@$(PYTHON) -m venv $(VENV)-foreign
	@$(VENV)-foreign/bin/python -m pip install --disable-pip-version-check --requirement requirements-foreign.txt
	@touch $@

# The libraries that the benchmarks compare with.
$(VENV)-peers/.ready: requirements-peers.txt
	@echo "» making $(notdir $(VENV)-peers) with the libraries of requirements-peers.txt (once)"
	@$(PYTHON) -m venv $(VENV)-peers
	@$(VENV)-peers/bin/python -m pip install --disable-pip-version-check --requirement requirements-peers.txt
	@touch $@
