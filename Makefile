# Everything a person does with this repository. `make` alone lists it.
# A fresh machine needs GNU make and Python 3.11 or newer, nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# The first Python on the path that is new enough. `make PYTHON=/opt/python/bin/python3.12 ...` chooses another.
PYTHON ?= $(shell for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	if $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	command -v $$name; break; fi; done)

# What an environment is built from: when one of these changes, it is brought up to date.
PINS := pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-input --constraint constraints.txt

# The whole suite runs in two processes, file by file; tests/conftest.py says what must stay in one.
TWO_AT_A_TIME := --numprocesses 2 --no-loadscope-reorder

# Which browser the page tests drive.
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

.PHONY: help
help:
	@echo 'make demo ARGS="..."   a practice, its clearinghouse and its payer, live on this machine'
	@echo 'make bench ARGS="..."  what the durable path carries on this machine; ARGS=claims, start, loaded: see hub bench --help'
	@echo 'make test              everything that must hold: lint, types, import layers, all tests'
	@echo 'make unit              the quick tests: no processes, no browser, no PostgreSQL'
	@echo 'make e2e               the tests that run real processes, browsers and databases'
	@echo 'make chaos ARGS="..."  misfortune after misfortune, by a seed, against a hub whose peers keep books'
	@echo 'make lint              style, formatting, types and import layers'
	@echo 'make format            put the code into the shape that lint wants'
	@echo 'make screenshots       pictures of every page, in build/screenshots'
	@echo 'make clean             remove what was built, caches included'

.PHONY: demo
demo: $(VENV)/.demo
	@exec $(BIN)/hub demo $(ARGS)

.PHONY: bench
bench: $(VENV)/.demo
	@$(BIN)/hub bench $(ARGS)
ifeq ($(ARGS),)
	@exec $(BIN)/hub bench --remittance 5000
endif

.PHONY: test
test: browser strace lint
	$(BIN)/pytest $(TWO_AT_A_TIME)

.PHONY: unit
unit: $(VENV)/.dev
	$(BIN)/pytest -m "not e2e and not browser and not postgresql"

.PHONY: e2e
e2e: $(VENV)/.dev browser strace
	$(BIN)/pytest -m "e2e or browser or postgresql"

.PHONY: chaos
chaos: $(VENV)/.dev
	@exec $(BIN)/python -m tests.chaos $(ARGS)

.PHONY: screenshots
screenshots: $(VENV)/.dev browser
	$(BIN)/python tests/web/screenshots.py --into build/screenshots $(ARGS)

.PHONY: lint
lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The page tests need a browser. They are never skipped for the want of one.
.PHONY: browser
browser:
ifeq ($(CHROMIUM),)
	@if [ "$$(id -u)" != 0 ]; then \
		echo 'Chromium is missing, and only root can install it: apt-get install chromium' >&2; exit 1; fi
	@echo 'Installing Chromium for the page tests.'
	@export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get install -y -q chromium || { apt-get update -q && apt-get install -y -q chromium; }; } \
		>$(VENV).chromium.log 2>&1 </dev/null || { \
		tail -n 5 $(VENV).chromium.log >&2; \
		echo 'Chromium could not be installed (apt-get install chromium); the page tests cannot run.' >&2; exit 1; }
	@rm -f $(VENV).chromium.log
endif

# The proof that answers follow their syncs needs to see the system calls.
.PHONY: strace
strace:
ifeq ($(shell command -v strace),)
	@if [ "$$(id -u)" != 0 ]; then \
		echo 'strace is missing, and only root can install it: apt-get install strace' >&2; exit 1; fi
	@echo 'Installing strace for the proof of the syncs.'
	@export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get install -y -q strace || { apt-get update -q && apt-get install -y -q strace; }; } \
		>$(VENV).strace.log 2>&1 </dev/null || { \
		tail -n 5 $(VENV).strace.log >&2; \
		echo 'strace could not be installed (apt-get install strace); the proof cannot run.' >&2; exit 1; }
	@rm -f $(VENV).strace.log
endif

$(VENV)/.python:
	@[ -n "$(PYTHON)" ] || { echo 'Python 3.11 or newer with its venv module is needed.' >&2; exit 1; }
	@echo 'Building $(VENV) with $(PYTHON).'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(PINS) | $(VENV)/.python
	@echo 'Installing what the hub and its demonstration need.'
	@$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(PINS) | $(VENV)/.python
	@echo 'Installing what the hub and its tests need.'
	@$(INSTALL) --editable '.[demo,postgresql,dev]'
	@touch $@ $(VENV)/.demo

.PHONY: clean
clean:
	rm -rf $(VENV) build var *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
