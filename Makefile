# Two commands need nothing but Python 3.11 or later, make and the package registry: `make run` and
# `make test`. Everything they install goes into .venv, with the hashes of the lock files; the stamp
# files in .venv make a second run free.

PYTHON ?= python3
PROCESSES ?= logical
ARGS ?=
FIGURE ?=
SHOP_PORT ?= 8080
PADDLE_PORT ?= 8090

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/pytest $(ARGS)

MADE := .venv/.made
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed

TYPE_GENERATOR := tests/openapi/node_modules/.package-lock.json

.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.PHONY: help run shop test torture mutants bench bench-quick check format docs clients lock release

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: $(RUNTIME) ## Start the service with its own PostgreSQL, worker and a demo store (ARGS="--port 9000")
	@exec $(BIN)/storecredit serve --demo $(ARGS)

shop: $(RUNTIME) ## Run with a stand-in for Paddle on port 8090, in data/shop: purchases that nobody pays
	@exec $(BIN)/python -m stand_ins.shop --port $(SHOP_PORT) --paddle-port $(PADDLE_PORT) $(ARGS)

test: $(DEV) ## Run every test but the torture (ARGS="-k refund", PROCESSES=1)
	$(PYTEST) -n $(PROCESSES) --maxprocesses 8 --dist worksteal

torture: $(DEV) ## Run the long tests that `make test` leaves out
	$(PYTEST) -m torture --timeout 0

mutants: $(DEV) ## Change a word of the code, and see that a test fails (ARGS="--only spend --limit 50 --seed 7")
	$(BIN)/python -m tests.mutants $(ARGS)

bench: $(DEV) ## Measure every figure of benchmarks/README.md, about ten minutes (FIGURE=F1); needs wrk
	$(BIN)/python -m benchmarks $(FIGURE) $(ARGS)

bench-quick: $(DEV) ## Measure three of them in about a minute (FIGURE=F6: that one)
	$(BIN)/python -m benchmarks $(FIGURE) --quick $(ARGS)

check: $(DEV) ## Lint, format, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(DEV) ## Write the pages of docs/ that are made from the code
	$(BIN)/python -m docs.write

clients: $(DEV) $(TYPE_GENERATOR) ## Write what of clients/ is made from docs/openapi.json; needs Node.js
	$(BIN)/python -m clients.generate

# One lock for every platform and Python version. The development lock is constrained by the other,
# so that tests run against what is shipped. No option here writes an index address into a lock.
UV_COMPILE := $(BIN)/uv --no-config pip compile --quiet --upgrade --universal \
	--python-version 3.11 --generate-hashes --custom-compile-command 'make lock'

release: $(DEV) ## Build the wheel of the last commit and the list of its materials, in dist/
	$(BIN)/python -m release.wheel dist
	$(BIN)/python -m release.materials dist/storecredit.cdx.json

lock: $(DEV) ## Bring the lock files up to date with pyproject.toml and the newest releases
	$(UV_COMPILE) pyproject.toml --group build --output-file requirements.lock
	$(UV_COMPILE) pyproject.toml --group dev --constraints requirements.lock \
		--output-file requirements-dev.lock
	$(UV_COMPILE) tests/openapi/requirements.in --output-file tests/openapi/requirements.lock

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "storecredit needs Python 3.11 \
	or later, and $(PYTHON) is %d.%d: name another with make PYTHON=…" % sys.version_info[:2])'
	@echo 'Making a virtual environment in .venv'
	@$(PYTHON) -m venv --clear .venv
	@touch $@

# setuptools is in the lock and the build is not isolated: nothing is fetched without a hash.
$(RUNTIME): $(MADE) requirements.lock pyproject.toml
	@echo 'Installing storecredit and what it needs (once; about half a minute)'
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.lock
	@echo 'Installing the development tools (once)'
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

# npm writes this file last.
$(TYPE_GENERATOR): tests/openapi/package-lock.json
	npm ci --prefix tests/openapi --ignore-scripts --no-audit --no-fund --loglevel=error
