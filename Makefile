# PayRail. `make demo` runs it, `make test` proves it; both set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.DEFAULT_GOAL := help
.PHONY: help demo test migrate psql audit lint bench torture screenshots clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Installed again only when the dependencies change, so that the second run works offline.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "PayRail needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "This Python has no venv: install it (Debian: apt-get install python3-venv)"; exit 1; }
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(BIN)/python -m tests.browsers || true
	@touch $@

demo: $(STAMP) ## run PayRail with demo merchants: API, worker, embedded PostgreSQL (PORT=8000, RESET_DATA=1)
	@$(BIN)/payrail demo

test: $(STAMP) ## run all tests
	@$(BIN)/pytest -n auto -q -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true $(ARGS)

migrate: $(STAMP) ## bring the database up to date
	@$(BIN)/payrail migrate

psql: $(STAMP) ## open psql as an operator (ROLE=admin for everything)
	@$(BIN)/payrail psql $(if $(ROLE),--role $(ROLE))

audit: $(STAMP) ## check every invariant of the money
	@$(BIN)/payrail audit

lint: $(STAMP) ## check style and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint --disable-progress-bar --processes 0 sql migrations

bench: $(STAMP) ## measure, against pgbench on the same server
	@$(BIN)/python -m bench $(ARGS)

torture: $(STAMP) ## run the long runs, and say what they found (ARGS=--quick takes minutes)
	@$(BIN)/python -m tests.torture $(ARGS)

screenshots: $(STAMP) ## take the pictures in docs/screenshots, from a demo of its own
	@$(BIN)/python docs/screenshots.py

clean: ## remove what was set up and built; the data in .payrail stays (DATA=1 removes it too)
	@if [ -e $(STAMP) ]; then $(BIN)/python -c 'from pyapp import embedded, settings; embedded.clean(settings.load(), remove_data="$(DATA)" == "1")'; fi
	@rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .hypothesis .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
