# Every command, once. Each target does its own set-up: Python >= 3.11, a Rust toolchain and a package index are enough.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-host test-kernels test-emulator test-emulator-sorting check bench bench-gpu bench-compare docs wheel develop test-gpu sanitize-gpu format lock clean

PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
NATIVE_SOURCES := $(shell find rust cuda -type f) Cargo.toml Cargo.lock pyproject.toml
WHEEL_SOURCES := $(NATIVE_SOURCES) README.md LICENSE \
    $(shell find python/argrad -type f -not -name '*.so' -not -path '*/__pycache__/*')
# Nothing may be imported from the source tree when the wheel is tested: -P keeps the current folder off sys.path.
WHEEL_PYTHON := .venv-test/bin/python -P

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
# uv reads neither the machine's list of certificate authorities nor pip's choice of index by itself.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= true
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: .venv-demo/.argrad ## install the wheel into .venv-demo and run the main job on real data
	.venv-demo/bin/python -P -m argrad._demo

test: .venv-test/.argrad ## install the wheel into .venv-test and run every test on it; a skip fails
	cargo test --workspace --locked --quiet
	$(MAKE) --no-print-directory -j2 test-host test-kernels test-emulator test-emulator-sorting

# Two processes at a time, the longest first: each kernel is compiled and emulated by one thread.
EMULATED := tests/test_emulator.py $(wildcard tests/test_cuda*.py)
EMULATED_SORTING := $(filter tests/test_cuda_sorting%,$(EMULATED))
TEST_WHEEL := ARGRAD_TEST_INSTALLED=1 $(WHEEL_PYTHON) -m pytest -q

test-host: .venv-test/.argrad
	$(TEST_WHEEL) tests $(addprefix --ignore=,tests/test_kernels.py $(EMULATED))

test-kernels: .venv-test/.argrad
	$(TEST_WHEEL) tests/test_kernels.py

test-emulator: .venv-test/.argrad
	$(TEST_WHEEL) $(filter-out $(EMULATED_SORTING),$(EMULATED))

test-emulator-sorting: .venv-test/.argrad
	$(TEST_WHEEL) $(EMULATED_SORTING)

check: develop ## format, lint, types, stub, layers, doc examples, benchmark smoke run
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --no-cache .
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	$(BIN)/mypy
	$(BIN)/python -P -m mypy.stubtest argrad._native
	$(BIN)/python -P -m pytest -q tests/test_layers.py tests/test_docs.py
	$(BIN)/python -P -m pytest -q --doctest-modules --pyargs argrad
	$(BIN)/python -m benches.smoke
	$(BIN)/python -m benches.gpu --device cpu --quick

bench: develop .venv/.rivals ## measure the table of the README: ours beside the rivals
	$(BIN)/python -m benches.table

bench-gpu: develop .venv/.rivals ## measure the kernels on a GPU beside rivals on the same device
	$(BIN)/python -m benches.gpu

bench-compare: develop ## measure the guard list against its base commit; fails on what is flagged twice
	$(BIN)/python -m benches.compare

docs: develop ## build the documentation, without warnings, into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

wheel: dist/.built ## build the wheel into dist/

develop: .venv/.argrad ## install into .venv so that Python sources take effect at once

test-gpu: develop ## host and device agree: the tests that need a GPU
	ARGRAD_TEST_GPU=1 $(BIN)/python -P -m pytest tests/test_gpu.py tests/test_cuda_*.py

# Without torch's pool each allocation has its own bounds. A tool other than memcheck: make sanitize-gpu TOOL=racecheck
TOOL ?= memcheck
sanitize-gpu: develop .venv/.sanitizer ## the calls of every operator on a GPU, looked through by compute-sanitizer
	PYTORCH_NO_CUDA_MEMORY_CACHING=1 .venv/lib/python3*/site-packages/nvidia/cu13/bin/compute-sanitizer \
	    --tool $(TOOL) --error-exitcode 1 $(BIN)/python -P -m pytest -q tests/test_gpu.py -k gives_what_the_host_gives

format: .venv/.ready ## format Python and Rust sources, apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cargo fmt --all

LOCK := $(UV) pip compile --quiet --python $(BIN)/python --no-header --no-annotate --upgrade pyproject.toml \
    --extra sklearn --extra parquet --extra plot --extra cli
lock: .venv/.tools ## choose new versions for requirements/*.txt
	$(LOCK) --extra dev --extra torch -o requirements/dev.txt
	$(LOCK) --constraint requirements/dev.txt -o requirements/demo.txt

clean: ## remove what was built and the virtual environments
	rm -rf .venv .venv-test .venv-demo target dist docs/_build docs/auto_examples .mypy_cache .ruff_cache .pytest_cache

# --- set-up: each file marks a finished step, so that a repeated call costs nothing ---

.venv/.tools: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("make: PYTHON must be Python 3.11 or later, got " + sys.version.split()[0] \
	    if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(UV) || $(BIN)/python -m pip install --quiet $$(grep '^uv==' requirements/dev.txt)
	$(UV) pip install --quiet --python $(BIN)/python $$(grep -E '^(uv|maturin)==' requirements/dev.txt)
	touch $@

# Rivals of the tests with a wheel for one version of Python alone.
ONLY = $(wildcard requirements/cpython-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt)

.venv/.ready: .venv/.tools requirements/dev.txt $(ONLY)
	$(UV) pip install --quiet --python $(BIN)/python $(addprefix -r ,requirements/dev.txt $(ONLY))
	touch $@

# Rivals without a wheel, built without isolation so that they find torch.
.venv/.rivals: .venv/.ready requirements/rivals.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-build-isolation -r requirements/rivals.txt
	touch $@

.venv/.sanitizer: .venv/.ready requirements/gpu.txt
	$(UV) pip install --quiet --python $(BIN)/python -r requirements/gpu.txt
	touch $@

.venv/.argrad: .venv/.ready $(NATIVE_SOURCES)
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --release --locked --uv --quiet
	touch $@

.venv-test/.ready: requirements/dev.txt $(ONLY)
.venv-demo/.ready: requirements/demo.txt
.venv-test/.ready .venv-demo/.ready: .venv/.tools
	$(UV) venv --quiet --allow-existing --python $(BIN)/python $(@D)
	$(UV) pip install --quiet --python $(@D)/bin/python $(addprefix -r ,$(filter requirements/%,$^))
	touch $@

dist/.built: .venv/.tools $(WHEEL_SOURCES)
	rm -rf dist
	$(BIN)/maturin build --release --locked --quiet --interpreter $(BIN)/python --out dist
	touch $@

.venv-%/.argrad: dist/.built .venv-%/.ready
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --reinstall-package argrad dist/*.whl
	touch $@
