# demo · test · soak · check · bench · docs: the same verbs for everybody, CI included.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
METAFLOW := .venv-metaflow
AZURITE := .azurite
export MFC_METAFLOW_PYTHON := $(CURDIR)/$(METAFLOW)/bin/python
PIP_QUIET := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# What a user of the demo needs; all others are installed for the tests.
BASIC := core plugins/mfc-local
DEMO := $(BASIC) plugins/mfc-testing
# What a user of S3 needs; the benchmark starts it.
ALONE := .venv-s3
STORED := $(BASIC) plugins/mfc-objectstore plugins/mfc-s3
CONTRIB := $(wildcard contrib/mfc-*)
DISTRIBUTIONS := core $(wildcard plugins/mfc-*) $(CONTRIB)
manifests = constraints.txt pyproject.toml $(1:%=%/pyproject.toml)

.PHONY: demo test test-fast coverage dist oracle soak check bench fuzz kit matrix docs format clean
.DEFAULT_GOAL := demo

## demo: show the main job on a recorded sample, or on your own results: make demo FROM=/some/dir
demo: .venv-demo/installed
	@.venv-demo/bin/python docs/demo.py $(if $(FROM),"$(FROM)")

.venv-demo/installed: $(call manifests,$(DEMO))
	@echo "Making an environment for the demo (once) …"
	@$(PYTHON) -m venv .venv-demo
	@$(PIP_QUIET) .venv-demo/bin/pip install --quiet --constraint constraints.txt $(DEMO:%=--editable %)
	@touch $@

## test: everything that can fail, from nothing
test: $(VENV)/installed $(METAFLOW)/installed $(AZURITE)/installed
	@echo "Running all tests, three at a time (about 20 minutes on two cores); Ctrl-C ends them and their servers …"
	$(BIN)/python -m pytest -n 3 --dist loadgroup

## test-fast: the tests without servers and without Metaflow, in a few minutes
test-fast: $(VENV)/installed
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "not slow and not nightly" --kit-quick

## coverage: all tests, and which lines and branches of what is released they miss
coverage: $(VENV)/installed $(METAFLOW)/installed $(AZURITE)/installed
	$(BIN)/python -m pytest -n 2 --dist loadgroup --cov --cov-report=term:skip-covered --cov-fail-under=90

## dist: build every distribution into dist/, and import each alone
dist: $(VENV)/installed
	$(BIN)/python tests/dist.py

## soak: readers beside real writers, for MINUTES=15; the server is killed meanwhile
soak: $(VENV)/installed $(METAFLOW)/installed
	$(BIN)/python -m tests.live.soak --minutes $(or $(MINUTES),15)

## check: style, types, layers, documents
check: $(VENV)/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python tests/layers.py
	$(MAKE) docs

## bench: ratios against real Metaflow and against the floor
bench: $(VENV)/installed $(METAFLOW)/installed $(ALONE)/installed
	$(BIN)/python tests/benchmarks
	$(BIN)/python -m tests.benchmarks.service
	$(BIN)/python -m tests.benchmarks.stores --alone $(ALONE)/bin/python

## fuzz: hostile pickles for long, guided by coverage: make fuzz RUNS=10000000 SEED=1
fuzz: .venv-fuzz/installed
	mkdir -p .cache/fuzz
	.venv-fuzz/bin/python tests/fuzz/pickles.py -runs=$(or $(RUNS),10000000) -seed=$(or $(SEED),1) \
		-max_len=600 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 .cache/fuzz

.venv-fuzz/installed: $(call manifests,core)
	$(PYTHON) -m venv .venv-fuzz
	$(PIP_QUIET) .venv-fuzz/bin/pip install --quiet --editable core atheris numpy pandas pyarrow
	touch $@

## kit: how many faulty plugins the kit finds, and whether right ones pass: make kit ONLY="Values right"
kit: $(VENV)/installed
	@echo "Asking faulty and right plugins, two at a time; Ctrl-C ends it …"
	$(BIN)/python -m tests.kit.faulty.measure $(ONLY)

## matrix: read what other versions wrote with other versions, and check the frames of tables
matrix: .venv-pandas1.5/installed .venv-pandas2.2/installed .venv-pyarrow/installed
	.venv-pandas1.5/bin/python tests/pickles/reading.py
	.venv-pandas2.2/bin/python tests/pickles/reading.py
	.venv-pyarrow/bin/python tests/pickles/reading.py
	.venv-pandas1.5/bin/python tests/frames.py
	.venv-pandas2.2/bin/python tests/frames.py
	.venv-pyarrow/bin/python tests/frames.py

.venv-pandas1.5/installed: PACKAGES = "pandas==1.5.*" "numpy<2"
.venv-pandas2.2/installed: PACKAGES = "pandas==2.2.*" "numpy<2.3"
.venv-pyarrow/installed: PACKAGES = pandas pyarrow polars
.venv-pandas1.5/installed .venv-pandas2.2/installed .venv-pyarrow/installed: $(call manifests,core)
	$(PYTHON) -m venv $(@D)
	$(PIP_QUIET) $(@D)/bin/pip install --quiet --editable core $(PACKAGES)
	touch $@

## docs: build the site, warnings are errors
docs: $(VENV)/installed
	$(BIN)/zensical build --clean --strict

## format: let the formatter decide
format: $(VENV)/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(VENV)/installed: $(call manifests,$(DISTRIBUTIONS))
	@echo "Installing mfc and the tools that test and check it into $(VENV), once (1 to 3 minutes) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_QUIET) $(BIN)/pip install --quiet --upgrade "pip>=25.1"
	@$(PIP_QUIET) $(BIN)/pip install --quiet --constraint constraints.txt --group test --group check $(DISTRIBUTIONS:%=--editable %)
	@touch $@

$(METAFLOW)/installed: constraints.txt pyproject.toml
	@echo "Installing real Metaflow into $(METAFLOW), to compare with, once (about a minute) …"
	@$(PYTHON) -m venv $(METAFLOW)
	@$(PIP_QUIET) $(METAFLOW)/bin/pip install --quiet --upgrade "pip>=25.1"
	@$(PIP_QUIET) $(METAFLOW)/bin/pip install --quiet --group metaflow
	@touch $@

# Not editable, as users have it: how long a process takes to start depends on that.
$(ALONE)/installed: $(call manifests,$(STORED)) $(shell find $(STORED:%=%/src) -name '*.py')
	@echo "Installing what a user of S3 has into $(ALONE), for the benchmark …"
	@$(PYTHON) -m venv --clear $(ALONE)
	@$(PIP_QUIET) $(ALONE)/bin/pip install --quiet --constraint constraints.txt $(STORED:%=./%)
	touch $@

# A server of Azure, for tests alone; what needs it is skipped where npm is not installed.
$(AZURITE)/installed: Makefile
	@echo "Installing azurite, a server of Azure's protocol, into $(AZURITE), once …"
	@mkdir -p $(AZURITE)
	@if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix $(AZURITE) azurite@3.37.0; fi
	touch $@

## oracle: let real Metaflow record and answer anew what the differential tests compare with
oracle: $(VENV)/installed $(METAFLOW)/installed
	$(BIN)/python -m tests.differential.oracle

clean:
	rm -rf .venv .venv-demo .venv-s3 .venv-fuzz .venv-pandas1.5 .venv-pandas2.2 .venv-pyarrow .venv-metaflow .azurite .cache site
