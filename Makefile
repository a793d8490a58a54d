# `make` lists the commands.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run test lint format fuzz bench month lock clean tools packages servers

# Much of what runs here are short-lived interpreters: none compiles what another has compiled.
export PYTHONDONTWRITEBYTECODE :=

help: ## List the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,$(shell $(name) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $(name))))

$(STAMP): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "Northgate needs Python 3.11, 3.12 or 3.13 on the path."; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

run: $(STAMP) ## Show a gateway at work, and leave it running
	$(BIN)/northgate quickstart

test: $(STAMP) tools packages servers ## Run every test
	$(BIN)/python -m pytest -n auto -m "not fuzz"

# What the tests need, each independent of the others.
tools:
	sh bench/tools.sh

packages: $(STAMP)
	$(BIN)/python -m tests.live.install

servers: $(STAMP)
	$(BIN)/python -m tests.live.python_servers

lint: $(STAMP) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

fuzz: $(STAMP) ## Run the long random tests
	$(BIN)/python -m pytest -n auto -m fuzz --timeout 7200

bench: $(STAMP) tools ## Measure, as ratios within one run
	$(BIN)/python -m bench

month: $(STAMP) ## Make a month of a million decisions, and prove replay on it
	$(BIN)/python -m bench.month

COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

lock: ## Write the lock files anew (needs uv on the path)
	$(COMPILE) --group dev --output-file requirements.lock pyproject.toml
	$(COMPILE) --no-annotate --constraint requirements.lock --output-file docker/requirements.lock pyproject.toml
	echo setuptools | $(COMPILE) --no-annotate --constraint requirements.lock --output-file docker/build.lock -

clean: ## Remove what the other commands made
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
